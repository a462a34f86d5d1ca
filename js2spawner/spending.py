"""What an instance has cost so far, in service units (SU). Pure.

Nova's ACTIVE counts in full; an instance that is built, shelved or deleted counts nothing (Jetstream2's documentation,
"Instance management actions"). One that is switched off costs half, and is ended after ten minutes: counted in full.
"""

from __future__ import annotations

from dataclasses import replace

from js2spawner.instance import (
    Assigned,
    Booting,
    Ending,
    Greeted,
    Instant,
    Leaving,
    Record,
    Running,
    Shelving,
)

_HOUR_S = 3600.0


def counted(before: Record | None, record: Record, now: Instant) -> Record:
    """The record with what this step means for its bill: since when it is ACTIVE, and for how long it was before."""
    state = record.state
    # An instance that is being deleted costs until it is gone, if it cost anything before.
    active = isinstance(state, Booting | Greeted | Assigned | Running | Leaving | Shelving) or (
        isinstance(state, Ending) and before is not None and before.active_since is not None
    )
    since = record.active_since
    if active and since is None:
        return replace(record, active_since=now)
    if not active and since is not None:
        return replace(record, active_since=None, active_s=record.active_s + max(0.0, now - since))
    return record


def active_s(record: Record, now: Instant) -> float:
    """Seconds for which it was ACTIVE in all."""
    running_s = 0.0 if record.active_since is None else max(0.0, now - record.active_since)
    return record.active_s + running_s


def su_so_far(record: Record, su_per_hour: float | None, now: Instant) -> float | None:
    """What it has cost until now; None where the flavor's price is not known."""
    return None if su_per_hour is None else active_s(record, now) / _HOUR_S * su_per_hour


def su_per_hour_now(record: Record, su_per_hour: float | None) -> float | None:
    """What the coming hour costs if nothing changes."""
    return 0.0 if record.active_since is None else su_per_hour
