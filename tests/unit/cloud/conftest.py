"""Fixtures of the cloud's tests: a stand-in to talk to, and a caller that needs no sign-in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from js2spawner.cloud.caller import Caller
from js2spawner.cloud.settings import CloudSettings
from js2spawner.cloud.signin import SignIn

from .stand_in import StandIn, standing_in


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    async with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
async def caller(stand_in: StandIn) -> AsyncIterator[Caller]:
    settings = CloudSettings(calls_per_second=10_000, burst=1000)
    caller = Caller("test", SignIn(stand_in.grant, cloud="test", deadline_s=5), settings)
    yield caller
    await caller.close()
