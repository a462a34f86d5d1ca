"""A server's lease as pages and scripts get it. Pure: values in, a dictionary out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from js2spawner.lease import Lease, sentence


def lease_model(
    lease: Lease | None, server_name: str, now: datetime, parting: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A server's lease for pages and scripts; of a server that is not running, everything is empty.

    `parting` is what becomes of it then (`farewell.farewell`).
    """
    if lease is None:
        text = "This server is not running, so nothing ends."
        empty = {"ends_at": None, "seconds_left": None, "why": None, "warn": False, "ended": False}
        return {
            "server": server_name,
            **empty,
            "can_extend": False,
            "extend_minutes": 0,
            "sentence": text,
            "then": None,
        }
    minutes = lease.extend_s / 60
    return {
        "server": server_name,
        "ends_at": lease.ends_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds_left": round(lease.seconds_left(now)),
        "why": lease.why,
        "warn": lease.warn,
        "ended": lease.ended(now),
        "can_extend": lease.can_extend,
        "extend_minutes": int(minutes) if minutes == int(minutes) else round(minutes, 1),
        "sentence": sentence(lease, now),
        "then": dict(parting) if parting else None,
    }
