from __future__ import annotations

import asyncio

import pytest

from js2spawner.cloud.settings import LONGEST_PAUSE_S
from js2spawner.cloud.throttle import Throttle


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def throttle(clock: Clock, pace: float = 10, burst: int = 5) -> Throttle:
    return Throttle(pace, burst, clock=clock, sleep=clock.sleep)


async def turns(bucket: Throttle, clock: Clock, count: int) -> list[float]:
    """When each of these turns came, in seconds from now."""
    start = clock.now
    times = []
    for _ in range(count):
        await bucket.turn()
        times.append(round(clock.now - start, 3))
    return times


async def test_a_burst_goes_at_once_and_the_rest_at_the_pace(clock: Clock) -> None:
    assert await turns(throttle(clock), clock, 8) == [0, 0, 0, 0, 0, 0.1, 0.2, 0.3]


async def test_a_quiet_minute_earns_no_more_than_one_burst(clock: Clock) -> None:
    bucket = throttle(clock)
    await turns(bucket, clock, 5)
    clock.now += 60
    assert await turns(bucket, clock, 6) == [0, 0, 0, 0, 0, 0.1]


async def test_a_refusal_pauses_for_what_the_cloud_asks_and_halves_the_pace(clock: Clock) -> None:
    bucket = throttle(clock)
    bucket.slow_down(4)
    assert await turns(bucket, clock, 3) == [4, 4.2, 4.4]


async def test_a_pause_is_never_longer_than_a_minute(clock: Clock) -> None:
    bucket = throttle(clock)
    bucket.slow_down(86_400)
    assert await turns(bucket, clock, 1) == [LONGEST_PAUSE_S]


async def test_a_pause_does_not_end_in_a_burst(clock: Clock) -> None:
    bucket = throttle(clock)
    bucket.slow_down(60)
    waiting = [asyncio.create_task(bucket.turn()) for _ in range(4)]
    await asyncio.gather(*waiting)
    assert round(clock.now - 1000, 3) == 60 + 3 * 0.2


async def test_calls_refused_together_slow_down_once(clock: Clock) -> None:
    bucket = throttle(clock)
    for _ in range(20):
        bucket.slow_down(1)
    assert bucket.calls_per_second == 5


async def test_the_pace_never_falls_to_nothing(clock: Clock) -> None:
    bucket = throttle(clock, pace=16)
    for _ in range(50):
        bucket.slow_down(1)
        clock.now += 2
    assert bucket.calls_per_second == 1


async def test_good_answers_win_the_pace_back(clock: Clock) -> None:
    bucket = throttle(clock)
    bucket.slow_down(1)
    for _ in range(30):
        bucket.ease()
    assert bucket.calls_per_second == 10


async def test_turns_come_in_the_order_they_were_asked_for(clock: Clock) -> None:
    bucket = throttle(clock, burst=1)
    order: list[int] = []

    async def ask(number: int) -> None:
        await bucket.turn()
        order.append(number)

    await asyncio.gather(*(ask(number) for number in range(10)))
    assert order == list(range(10))


async def test_whoever_is_cancelled_in_the_line_takes_no_turn() -> None:
    clock = Clock()
    never = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await never.wait()

    bucket = Throttle(1, 1, clock=clock, sleep=sleep)
    await bucket.turn()
    waiting = asyncio.create_task(bucket.turn())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    clock.now += 1
    await asyncio.wait_for(bucket.turn(), 5)
