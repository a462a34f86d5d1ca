"""What an instance has cost: ACTIVE counts, all else does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from js2spawner import spending
from js2spawner.failures import failure
from js2spawner.instance import Booting, Building, Ended, Ending, Record, Returning, Running, Shelved, Shelving, State
from tests.unit.lives import T0, record


def lived(*states: tuple[float, State]) -> Record:
    """A record that went through these states at these seconds after its beginning."""
    told = spending.counted(None, record(), T0)
    for second, state in states:
        told = spending.counted(told, replace(told, state=state), T0 + second)
    return told


BUILDING = (0.0, Building(T0, "s"))
BOOTING = (60.0, Booting(T0 + 60, "s", "10.0.0.9"))
RUNNING = (90.0, Running(T0 + 90, "s", "10.0.0.9", "hash"))
SHELVING = (3660.0, Shelving(T0 + 3660, "s", "10.0.0.9", "hash"))
SHELVED = (3720.0, Shelved(T0 + 3720, "s", "10.0.0.9", "hash"))


def test_building_costs_nothing_and_booting_does():
    assert spending.active_s(lived(BUILDING), T0 + 50) == 0
    assert spending.active_s(lived(BUILDING, BOOTING, RUNNING), T0 + 60 + 1800) == 1800
    assert spending.su_so_far(lived(BUILDING, BOOTING), 32, T0 + 60 + 1800) == 16


def test_the_shelf_costs_nothing_and_what_was_spent_before_stays():
    shelved = lived(BUILDING, BOOTING, RUNNING, SHELVING, SHELVED)
    assert spending.active_s(shelved, T0 + 10**6) == 3660
    assert spending.su_per_hour_now(shelved, 32) == 0
    back = spending.counted(shelved, replace(shelved, state=Returning(T0 + 9000, "s", "hash", T0 + 9000)), T0 + 9000)
    again = spending.counted(back, replace(back, state=Booting(T0 + 9100, "s", "10.0.0.9", "hash")), T0 + 9100)
    assert spending.active_s(again, T0 + 9200) == 3660 + 100
    assert spending.su_per_hour_now(again, 32) == 32


def test_an_instance_costs_until_it_is_gone_and_one_that_never_came_costs_nothing():
    ending = (3660.0, Ending(T0 + 3660, failure("stopped"), "s"))
    ended = (3690.0, Ended(T0 + 3690, failure("stopped")))
    assert spending.active_s(lived(BUILDING, BOOTING, ending, ended), T0 + 10**6) == 3630
    assert spending.active_s(lived(BUILDING, (30.0, Ending(T0 + 30, failure("cancelled"), "s"))), T0 + 99) == 0


def test_where_a_price_is_not_known_none_is_told():
    assert spending.su_so_far(lived(BUILDING, BOOTING), None, T0 + 100) is None


@pytest.mark.parametrize("backwards_s", [1, 5000])
def test_a_clock_that_goes_back_takes_nothing_back(backwards_s):
    assert spending.active_s(lived(BUILDING, BOOTING), T0 + 60 - backwards_s) == 0
