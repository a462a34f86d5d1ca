"""What is said of a server's end: what becomes of it, whether the home stays, what each way costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from js2spawner.farewell import farewell
from js2spawner.instance import HomeUse, Idle, Plan
from tests.unit.lives import PLAN

VOLUME = HomeUse("volume", "v", "js2-home-alice", 10)


def plan(idle: Idle, home: HomeUse = VOLUME) -> Plan:
    return replace(PLAN, idle=idle, home=home)


def test_an_end_that_deletes_says_that_the_home_stays():
    told = farewell(plan("delete"))
    assert (told["then"], told["home_stays"]) == ("delete", True)
    assert "Your home stays" in told["then_sentence"]


@pytest.mark.parametrize("idle", ["delete", "keep", "shelve"])
def test_without_a_home_every_end_says_that_the_files_go(idle: Idle):
    told = farewell(plan(idle, HomeUse()))
    assert told["home_stays"] is False
    assert "no home that stays" in told["then_sentence"]


def test_the_shelf_says_for_how_long_and_costs_nothing():
    told = farewell(plan("shelve"), ("shelve", "delete"), 32)
    assert "for 14 days" in told["then_sentence"]
    assert [(way["name"], way["su_per_hour"]) for way in told["ways"]] == [("on", 32), ("shelve", 0), ("delete", 0)]


def test_a_shelf_is_named_only_where_it_may_be_had():
    assert [way["name"] for way in farewell(plan("delete"), ("delete", "keep"), 2)["ways"]] == ["on", "delete"]
    assert [way["name"] for way in farewell(plan("delete"), ("delete", "shelve"), 2)["ways"]] == [
        "on", "delete", "shelve"
    ]  # fmt: skip


def test_a_server_that_idleness_does_not_end_is_deleted_at_its_longest():
    assert farewell(plan("keep"))["then"] == "delete"
