"""Starts pass one at a time, and other work passes between them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from hub_config.pacing import PacedStarts


async def test_between_two_starts_other_work_gets_its_turn():
    paced, events = PacedStarts(), []

    async def start(number: int) -> None:
        await paced.refresh_user(SimpleNamespace(name="a"))
        events.append(number)
        asyncio.get_running_loop().call_soon(events.append, "other")

    await asyncio.gather(*(start(number) for number in range(3)))
    await asyncio.sleep(0)
    assert events == [0, "other", 1, "other", 2, "other"]
