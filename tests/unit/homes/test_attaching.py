"""How a cloud is asked for a home while it has other things to do."""

from __future__ import annotations

import asyncio

import pytest

from js2spawner.cloud.errors import Conflict
from js2spawner.sightings import HomeAttached
from tests.unit.homes.scenes import QUICK, Scene


async def test_a_cloud_that_is_busy_for_long_is_asked_ever_less_often(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = here.attempt(await here.used_home())
    here.iu.faults.errors["attach"] = [Conflict("Instance is busy")] * 12
    rests: list[float] = []
    sleep = asyncio.sleep

    async def noted(rest_s: float) -> None:
        rests.append(rest_s)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    assert await here.attach(record) == HomeAttached()
    busy = rests[:12]
    assert busy == sorted(busy)
    assert busy[-1] == QUICK.latest_look_s
