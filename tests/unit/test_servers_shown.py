"""The list of servers: in which state each is, what it costs, when it ends, what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from js2spawner.failures import failure
from js2spawner.handshake.messages import Gpu, Health, HomeReport
from js2spawner.instance import Ending, HomeUse, Leaving, Owner, Returning, Running, Shelved, Shelving, State
from js2spawner.limits import Use
from js2spawner.servers_shown import Seen, Terms, limits_told, listed, row
from tests.unit.lives import ADDRESS, PLAN, SERVER_ID, T0, assigned, booting, building, record

HOME = HomeUse("volume", "v", "js2-home-alice", 10)
TERMS = Terms("Minimal", "Small", "Indiana", 2, ("delete", "shelve"))
LEASE = {
    "ends_at": "2027-01-15T08:00:00Z", "seconds_left": 600, "why": "idle", "warn": True, "can_extend": True
}  # fmt: skip
RUNNING = Running(T0 + 60, SERVER_ID, ADDRESS, "hash")
SHELVED = Shelved(T0 + 900, SERVER_ID, ADDRESS, "hash")


def seen(state: State | None = None, **changes: Any) -> Seen:
    of_record = record(state, plan=replace(PLAN, home=HOME), active_since=T0) if state else None
    return Seen(
        **({"owner": Owner("alice", ""), "title": "Default server", "terms": TERMS, "record": of_record} | changes)
    )


def leaving(then: Any) -> Leaving:
    return Leaving(T0, failure("stopped"), SERVER_ID, ADDRESS, "hash", then)


@pytest.mark.parametrize(
    ("state", "said", "actions"),
    [
        (building().state, "starting", ["watch", "stop"]),
        (booting().state, "starting", ["watch", "stop"]),
        (assigned().state, "starting", ["watch", "stop"]),
        (RUNNING, "running", ["open", "stop", "shelve"]),
        (leaving("delete"), "ending", []),
        (leaving("shelve"), "shelving", ["back"]),
        (Shelving(T0, SERVER_ID, ADDRESS, "hash"), "shelving", ["back"]),
        (SHELVED, "shelved", ["back", "delete"]),
        (Returning(T0, SERVER_ID, "hash", T0), "returning", ["watch", "stop"]),
        (Ending(T0, failure("stopped"), SERVER_ID), "ending", []),
        (None, "stopped", ["start"]),
    ],
)
def test_a_server_is_in_the_state_a_person_would_name_and_offers_what_fits(state, said, actions):
    told = row(seen(state), T0 + 1000)
    assert (told["state"], told["actions"]) == (said, actions)


def test_who_waits_in_the_line_may_watch_and_leave():
    told = row(seen(place={"position": 2}), T0)
    assert (told["state_text"], told["actions"]) == ("in line", ["watch", "leave"])


def test_a_running_server_tells_its_cost_and_when_and_why_it_ends():
    told = row(seen(RUNNING, lease=LEASE), T0 + 1800)
    assert (told["su_so_far"], told["su_per_hour_now"]) == (1, 2)
    assert (told["ends"], told["warn"]) == ("in 10 minutes: if nobody uses it", True)
    assert told["actions"] == ["open", "extend", "stop", "shelve"]
    assert "Your home stays" in told["then_sentence"]


def test_one_that_is_shelved_at_its_end_can_also_be_deleted_for_good():
    on_shelf = replace(record(RUNNING), plan=replace(PLAN, home=HOME, idle="shelve"))
    told = row(seen(record=on_shelf), T0)
    assert told["then"] == "shelve"
    assert told["actions"] == ["open", "shelve", "delete"]


def test_the_shelf_costs_nothing_and_says_when_it_is_over():
    shelved = replace(record(SHELVED), active_s=3600, expires_at=T0 + 2 * 86400)
    told = row(seen(record=shelved), T0 + 86400)
    assert (told["su_so_far"], told["su_per_hour_now"]) == (2, 0)
    assert told["ends"] == "deleted in 24 hours if not brought back"


def test_the_guest_s_words_are_shown_while_it_runs_and_not_after():
    health = Health(0, 1, 2, 3, 4, 5, (Gpu("NVIDIA A100", 42.4, 10240, 20480),))
    home = HomeReport("mounted", 3.21, 9.78)
    told = row(seen(RUNNING, health=health, home=home), T0)
    assert told["gpus"] == [
        {"name": "NVIDIA A100", "utilisation_percent": 42, "memory_used_gb": 10.0, "memory_total_gb": 20.0}
    ]
    assert (told["home"]["used_gb"], told["home"]["total_gb"]) == (3.2, 9.8)
    assert row(seen(leaving("delete"), health=health), T0)["gpus"] == []


def test_a_named_server_that_is_stopped_can_be_removed():
    assert row(seen(owner=Owner("alice", "box")), T0)["actions"] == ["start", "remove"]


def test_what_others_use_is_opened_only_by_who_may():
    assert "open" not in row(seen(RUNNING, may_open=False), T0)["actions"]


def test_a_search_finds_all_its_words_anywhere_and_counts_what_it_found():
    rows = [
        row(seen(RUNNING), T0 + 3600),
        row(seen(RUNNING, owner=Owner("bob", "box"), title="GPU box"), T0 + 3600),
        row(seen(SHELVED, owner=Owner("carol", "")), T0 + 3600),
    ]
    assert [each["user"] for each in listed(rows, "BOX bob")["servers"]] == ["bob"]
    assert [each["user"] for each in listed(rows, "shelf")["servers"]] == ["carol"]
    everything = listed(rows)
    assert everything["su_so_far"] == 6
    assert [each["user"] for each in listed(rows, most=2)["servers"]] == ["alice", "bob"]
    assert listed(rows, most=2)["left_out"] == 1


def test_limits_are_told_with_what_is_in_use_and_what_has_none_is_not():
    assert limits_told(Use(2, 1, 34), Use(3, 1, inf)) == [
        "You have 2 of 3 servers that you may have at once.",
        "They use 1 of 1 GPU.",
    ]
    assert limits_told(Use(2, 1, 34), Use(inf, inf, 64)) == ["They cost 34 of at most 64 SU an hour."]
