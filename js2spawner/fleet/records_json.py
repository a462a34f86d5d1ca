"""Records of attempts as JSON and back, for the hub's own table.

The shape is versioned by `RECORD_VERSION`; a row of an unknown version is refused loudly rather than misread.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from js2spawner.failures import Failure
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Deadlines,
    Ended,
    Ending,
    Greeted,
    HomeUse,
    Leaving,
    Owner,
    Plan,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    State,
    Unsure,
)

RECORD_VERSION = 1

_STATES: dict[str, type[State]] = {
    state.__name__: state
    for state in (
        Planned,
        Unsure,
        Building,
        Booting,
        Greeted,
        Assigned,
        Running,
        Leaving,
        Shelving,
        Shelved,
        Returning,
        Ending,
        Ended,
    )
}
STATE_NAMES = tuple(_STATES)


class UnknownRecord(ValueError):
    """A stored record this version cannot read. Says which version wrote it."""


def state_name(record: Record) -> str:
    """The state's name as it stands in the table and in logs, e.g. `Building`."""
    return type(record.state).__name__


def dump(record: Record) -> str:
    """One record as JSON text. It holds the server's API token: the table is as secret as JupyterHub's own."""
    body = dataclasses.asdict(record)
    body["state"]["name"] = state_name(record)
    body["version"] = RECORD_VERSION
    return json.dumps(body, separators=(",", ":"))


def load(text: str) -> Record:
    """The record that `dump` wrote. Raises UnknownRecord for anything else."""
    try:
        body: dict[str, Any] = json.loads(text)
        if body.pop("version") != RECORD_VERSION:
            raise UnknownRecord("written by another version of this hub")
        plan = body["plan"]
        plan["deadlines"] = Deadlines(**plan["deadlines"])
        plan["security_groups"] = tuple(plan["security_groups"])
        # Records of before there were homes have none.
        plan["home"] = HomeUse(**plan.get("home", {}))
        body["plan"] = Plan(**plan)
        body["owner"] = Owner(**body["owner"])
        body["state"] = _load_state(body["state"])
        return Record(**body)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise UnknownRecord(f"not a record: {error}") from None


def _load_state(body: dict[str, Any]) -> State:
    kind = _STATES[body.pop("name")]
    if "because" in body:
        body["because"] = Failure(**body["because"])
    return kind(**body)
