"""Failing too often is stopped; everything else is not."""

from __future__ import annotations

from hub_config import attempts
from hub_config.attempts import FailureLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limit(clock: Clock) -> FailureLimit:
    return FailureLimit(3, 60, clock)


def test_an_address_is_blocked_after_its_failures_and_no_other_is():
    tries = limit(Clock())
    for _ in range(3):
        assert not tries.blocked("a")
        tries.failed("a")
    assert tries.blocked("a")
    assert not tries.blocked("b")


def test_old_failures_are_forgotten():
    clock = Clock()
    tries = limit(clock)
    for _ in range(3):
        tries.failed("a")
    clock.now = 60
    assert not tries.blocked("a")


def test_many_addresses_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(attempts, "_MOST_KEYS", 10)
    tries = limit(Clock())
    for _ in range(3):
        tries.failed("kept")
    for number in range(9):
        tries.failed(f"made-up-{number}")
    assert tries.blocked("kept")
    assert len(tries._failures) == 10
