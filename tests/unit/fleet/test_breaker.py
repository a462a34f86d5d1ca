"""When a region counts as away, when as back, and that nobody has to ask for it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from js2spawner.cloud.errors import (
    BadAnswer,
    CloudError,
    Gone,
    NoAnswer,
    QuotaExceeded,
    ServerFault,
    Throttled,
    Unreachable,
)
from js2spawner.cloud.hearing import heard
from js2spawner.fleet.breaker import FAILURES_AT_MOST, SILENCE_AT_MOST_S, Breaker

LIST = "list-servers"


@dataclass
class Regions:
    """Two regions, their breaker, and a clock that a test moves."""

    now: float = 1000.0
    told: list[tuple[str, str]] = field(default_factory=list)
    breaker: Breaker = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(["IU", "TACC"], log=logging.getLogger("test"), clock=lambda: self.now)
        self.breaker.when_changed(lambda region, state: self.told.append((region, state)))

    def question(self, outcome: BaseException | None = None, *, operation: str = LIST, region: str = "IU") -> None:
        """One question of a region's client, as the client tells of it."""
        try:
            with heard(self.breaker.ear(region), operation):
                if outcome is not None:
                    raise outcome
        except (CloudError, asyncio.CancelledError):
            pass

    def away(self) -> None:
        for _ in range(FAILURES_AT_MOST):
            self.question(Unreachable())


@pytest.fixture
async def regions():
    regions = Regions()
    yield regions
    regions.breaker.close()


@pytest.mark.parametrize("error", [Unreachable(), NoAnswer(), ServerFault(), BadAnswer()])
async def test_a_region_whose_cloud_fails_five_times_in_a_row_is_down_and_no_other(regions: Regions, error: CloudError):
    for _ in range(FAILURES_AT_MOST - 1):
        regions.question(error)
    assert not regions.breaker.is_open("IU")
    regions.question(error)
    assert regions.breaker.is_open("IU")
    assert not regions.breaker.is_open("TACC")
    assert regions.told == [("IU", "down")]


@pytest.mark.parametrize("refusal", [Gone(), QuotaExceeded(), Throttled()])
async def test_a_refusal_is_an_answer(regions: Regions, refusal: CloudError):
    for _ in range(3 * FAILURES_AT_MOST):
        regions.question(refusal)
    assert regions.breaker.state("IU") == "up"


async def test_one_good_answer_between_failures_keeps_a_region_up(regions: Regions):
    for _ in range(3 * FAILURES_AT_MOST):
        regions.question(ServerFault())
        regions.question(ServerFault())
        regions.question()
    assert regions.breaker.state("IU") == "up"


async def test_a_region_that_is_down_is_tried_again_after_a_good_list_and_after_nothing_else(regions: Regions):
    regions.away()
    regions.question(operation="limits")
    assert regions.breaker.is_open("IU")
    regions.question()
    assert regions.breaker.state("IU") == "trying"
    assert not regions.breaker.is_open("IU")
    regions.question(operation="limits")
    assert regions.told == [("IU", "down"), ("IU", "trying"), ("IU", "up")]


async def test_one_failure_closes_a_region_that_is_only_being_tried(regions: Regions):
    regions.away()
    regions.question()
    regions.question(NoAnswer(), operation="create-server")
    assert regions.breaker.is_open("IU")


async def test_a_region_that_leaves_a_question_open_for_half_a_minute_is_down(regions: Regions):
    with heard(regions.breaker.ear("IU"), LIST):
        regions.now += SILENCE_AT_MOST_S - 1
        assert not regions.breaker.is_open("IU")
        regions.now += 1
        assert regions.breaker.is_open("IU")
    # The answer came after all.
    assert regions.breaker.state("IU") == "trying"


async def test_an_answer_to_anything_shows_that_a_slow_region_is_there(regions: Regions):
    with heard(regions.breaker.ear("IU"), "create-server"):
        for _ in range(5):
            regions.now += SILENCE_AT_MOST_S - 1
            regions.question()
        assert regions.breaker.state("IU") == "up"


async def test_a_region_that_nobody_asks_is_not_taken_for_silent(regions: Regions):
    regions.question(Unreachable())
    regions.now += 100 * SILENCE_AT_MOST_S
    with heard(regions.breaker.ear("IU"), LIST):
        assert regions.breaker.state("IU") == "up"


async def test_whoever_leaves_before_an_answer_says_nothing_of_the_region(regions: Regions):
    for _ in range(3 * FAILURES_AT_MOST):
        with pytest.raises(asyncio.CancelledError), heard(regions.breaker.ear("IU"), LIST):
            raise asyncio.CancelledError
    regions.now += 100 * SILENCE_AT_MOST_S
    assert regions.breaker.state("IU") == "up"


async def test_a_keystone_that_answers_is_no_sign_of_a_region_and_one_that_does_not_is(regions: Regions):
    for _ in range(FAILURES_AT_MOST):
        regions.question(operation="")
        regions.question(Unreachable())
    assert regions.breaker.is_open("IU")
    for _ in range(FAILURES_AT_MOST):
        regions.question(Unreachable(), operation="", region="TACC")
    assert regions.breaker.is_open("TACC")


async def test_silence_is_told_when_it_has_lasted_too_long_though_nobody_looks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("js2spawner.fleet.breaker.SILENCE_AT_MOST_S", 0.05)
    breaker = Breaker(["IU"], log=logging.getLogger("test"))
    down = asyncio.Event()
    breaker.when_changed(lambda _region, state: down.set() if state == "down" else None)
    with heard(breaker.ear("IU"), LIST):
        async with asyncio.timeout(60):
            await down.wait()
    breaker.close()


async def test_the_metric_says_which_region_is_down(regions: Regions):
    def shown() -> float | None:
        return REGISTRY.get_sample_value("js2_region_open", {"region": "IU"})

    assert shown() == 0
    regions.away()
    assert shown() == 1
    regions.question()
    assert shown() == 0


async def test_a_region_of_which_nothing_is_heard_counts_as_up(regions: Regions):
    assert regions.breaker.state("elsewhere") == "up"


async def test_who_waits_for_an_answer_is_told_at_once_when_the_region_goes_down(regions: Regions):
    watch = regions.breaker.watch("IU")
    waiting = asyncio.create_task(watch.unless_down(asyncio.Event().wait()))
    await asyncio.sleep(0)
    regions.away()
    async with asyncio.timeout(60):
        with pytest.raises(Unreachable, match="region IU does not answer"):
            await waiting
    with pytest.raises(Unreachable):
        await watch.unless_down(asyncio.Event().wait())


async def test_an_answer_and_a_refusal_of_a_region_that_is_up_are_passed_on(regions: Regions):
    async def refuse() -> None:
        raise Gone

    watch = regions.breaker.watch("IU")
    assert await watch.unless_down(asyncio.sleep(0, "there")) == "there"
    with pytest.raises(Gone):
        await watch.unless_down(refuse())
