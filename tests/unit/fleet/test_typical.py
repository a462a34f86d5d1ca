"""Typical times come from this hub's own history."""

from __future__ import annotations

from js2spawner.fleet.inventory import Pace
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


def test_a_look_is_worth_it_from_a_little_before_the_usual_time_on() -> None:
    typical = Typical(10, 20)
    assert typical.worth_a_look_s(0) == 7.5
    assert typical.worth_a_look_s(5) == 2.5
    assert typical.worth_a_look_s(7) == 1
    assert typical.worth_a_look_s(29) == 1


def test_what_takes_longer_than_usual_is_done_nobody_knows_when() -> None:
    assert Typical(10, 20).worth_a_look_s(31) is None


def test_lists_come_when_something_is_likely_but_never_rarer_or_much_more_often() -> None:
    pace = Pace(moving_s=2, least_s=0.4)
    assert pace.while_moving(None) == 2
    assert pace.while_moving(30) == 2
    assert pace.while_moving(1.1) == 1.1
    assert pace.while_moving(0.01) == 0.4
