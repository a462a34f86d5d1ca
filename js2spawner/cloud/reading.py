"""From JSON to values, with one kind of complaint when a service does not keep its word."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from .errors import BadAnswer

Json = Mapping[str, Any]
Record = TypeVar("Record")


def parse(body: bytes) -> Json:
    """The JSON object in a good answer; an empty body is an empty object. Raises BadAnswer."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"The answer is not JSON: {type(error).__name__}.") from None
    if not isinstance(value, dict):
        raise BadAnswer("The answer is JSON, but no object.")
    return value


def read(build: Callable[[Json], Record], value: object, what: str) -> Record:
    """Build a record from one JSON object. Raises BadAnswer that says what could not be read."""
    if not isinstance(value, Mapping):
        raise BadAnswer(f"The answer holds no {what}.")
    try:
        return build(value)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadAnswer(f"The {what} in the answer cannot be read: {type(error).__name__}: {error}"[:300]) from None


def objects(value: Json, key: str) -> list[Json]:
    """The list of objects below `key`. Raises BadAnswer."""
    items = value.get(key)
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise BadAnswer(f"The answer holds no list of {key}.")
    return items


def text(value: Json, key: str) -> str:
    """A string that must be there and must not be empty. Raises KeyError or TypeError, for `read`."""
    found = value[key]
    if not isinstance(found, str) or not found:
        raise TypeError(f"{key} is no text")
    return found


def words(value: Json, key: str) -> str:
    """A string that may be missing or null: then it is empty."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def instant(value: str) -> datetime:
    """An ISO 8601 time; OpenStack means UTC when it names no zone. Raises ValueError, for `read`."""
    time = datetime.fromisoformat(value)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def strings(value: object) -> dict[str, str]:
    """A flat object of strings (metadata, extra specs); null is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError("metadata is no object")
    return {str(key): str(item) for key, item in value.items()}
