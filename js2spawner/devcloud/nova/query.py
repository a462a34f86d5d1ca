"""What Nova has against the query of a list of servers, before it looks for any."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import yaml

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.schema import refuse_query
from js2spawner.devcloud.nova.status import STATES_OF_STATUS

_KNOWN = yaml.safe_load((Path(__file__).parents[1] / "data" / "list_query.yaml").read_text(encoding="utf-8"))
SORT_KEYS: list[str] = _KNOWN["sort_keys"]
MEMBERS: frozenset[str] = frozenset((*SORT_KEYS, *_KNOWN["others"]))
_YES, _NO = ("1", "t", "true", "on", "y", "yes"), ("0", "f", "false", "off", "n", "no")


def check_query(call: Call) -> None:
    """Refuse a list whose query is malformed, in Nova's order."""
    for name, value in call.query.items():
        if name == "limit" and not re.fullmatch("[0-9]*", value):
            raise refuse_query(name, value, f"{value!r} does not match '^[0-9]*$'")
        if name == "sort_key" and value not in SORT_KEYS:
            raise refuse_query(name, value, f"{value!r} is not one of {SORT_KEYS}")
        if name == "changes-since" and instant(value) is None:
            raise refuse_query(name, value, f"{value!r} is not a 'date-time'")
        if call.at_least(75) and name not in MEMBERS and not name.startswith("_"):
            raise Refusal(400, f"{name!r} does not match any of the regexes: '^_'")
    if any(direction not in ("asc", "desc") for direction in call.query.getall("sort_dir", [])):
        raise Refusal(400, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'")
    _check_filters(call)


def is_true(text: str) -> bool:
    """A yes or a no in a query (oslo's strict words for them). Raises Refusal."""
    if text.lower() not in (*_YES, *_NO):
        known = ", ".join(repr(word) for word in sorted((*_YES, *_NO)))
        raise Refusal(400, f"Unrecognized value '{text}', acceptable values are: {known}")
    return text.lower() in _YES


def instant(text: str) -> datetime | None:
    """The moment a text names, None when it names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.astimezone()


def _check_filters(call: Call) -> None:
    statuses = {text.lower() for text in call.query.getall("status", [])}
    if statuses and not statuses & STATES_OF_STATUS.keys() and call.at_least(38):
        raise Refusal(400, "Invalid status value")
    if "deleted" in statuses and not call.caller.admin:
        raise Refusal(403, "Only administrators may list deleted instances")
    if call.caller.admin and "metadata" in call.query:
        raise Refusal(400, "Invalid filter field: metadata.")
