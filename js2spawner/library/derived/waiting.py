"""Waiting for the cloud: look again and again until there is what is waited for, or the time is up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from js2spawner.cloud.errors import BadAnswer, NoAnswer, ServerFault, Throttled, Unreachable

T = TypeVar("T")

PASSING = (Unreachable, NoAnswer, ServerFault, Throttled, BadAnswer)
"""What says nothing about what is waited for: a cloud that is away for a moment loses no build."""


async def seen(look: Callable[[], Awaitable[T | None]], within_s: float, every_s: float) -> T | None:
    """What `look` gives once it gives something; None when it did not in time. Raises whatever else it raises."""
    until = time.monotonic() + within_s
    while True:
        try:
            found = await look()
        except PASSING:
            found = None
        if found is not None or time.monotonic() >= until:
            return found
        await asyncio.sleep(every_s)
