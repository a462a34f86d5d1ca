"""One address cannot use up the hub's patience for all others."""

from __future__ import annotations

import pytest

from js2spawner.handshake.limits import RateLimit


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_what_follows_is_told_how_long_to_wait() -> None:
    limit = RateLimit(0.5, 3, Clock())
    assert [limit.wait_s("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    limit = RateLimit(0.5, 1, clock)
    limit.wait_s("a")
    clock.now += limit.wait_s("a")
    assert limit.wait_s("a") == pytest.approx(0.0)


def test_a_long_silence_earns_no_more_than_one_burst() -> None:
    clock = Clock()
    limit = RateLimit(10.0, 2, clock)
    limit.wait_s("a")
    clock.now += 3600
    assert [limit.wait_s("a") > 0 for _ in range(3)] == [False, False, True]


def test_addresses_do_not_pay_for_each_other() -> None:
    limit = RateLimit(0.1, 1, Clock())
    limit.wait_s("a")
    assert limit.wait_s("b") == 0.0


def test_a_crowd_of_addresses_costs_no_more_memory_than_agreed() -> None:
    limit = RateLimit(0.1, 1, Clock(), addresses=100)
    for number in range(1000):
        limit.wait_s(f"10.0.0.{number}")
    assert len(limit) == 100
