"""Time as an argument: the cloud asks a clock, tests bring their own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, in UTC."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def iso(moment: datetime) -> str:
    """Nova's and Neutron's way to write an instant: seconds and a Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micro(moment: datetime | None) -> str | None:
    """Cinder's way, and Nova's for launched_at: microseconds, always zero, and no zone."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000000") if moment else None
