"""Typical times come from this hub's own history."""

from __future__ import annotations

from js2spawner.fleet.store import Timing
from js2spawner.fleet.typical import TOTAL, History, Typical


def timing(seconds: float, stage: str = "boot", flavor: str = "m3.small") -> Timing:
    return Timing("minimal", flavor, stage, seconds, 0.0)


def test_nothing_is_claimed_before_the_first_start() -> None:
    assert History().typical("minimal", "m3.small", "boot") is None


def test_one_start_is_typical_of_itself() -> None:
    assert History([timing(7)]).typical("minimal", "m3.small", "boot") == Typical(7, 7)


def test_half_and_nine_tenths_of_the_starts() -> None:
    history = History([timing(float(n)) for n in range(1, 12)])
    assert history.typical("minimal", "m3.small", "boot") == Typical(6, 10)


def test_flavors_are_told_apart() -> None:
    history = History([timing(1), timing(100, flavor="g3.large")])
    assert history.typical("minimal", "g3.large", "boot") == Typical(100, 100)


def test_old_starts_are_forgotten() -> None:
    history = History([timing(1000)] + [timing(1)] * 50)
    assert history.typical("minimal", "m3.small", "boot") == Typical(1, 1)


def test_totals_are_of_whole_starts_only() -> None:
    history = History([timing(3), timing(20, TOTAL)])
    assert history.totals() == {("minimal", "m3.small"): (20, 20)}
