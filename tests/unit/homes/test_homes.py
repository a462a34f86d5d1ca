"""Homes as values: whose is which, what their terms say, which copies stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from js2spawner.catalog_entries import Home as Terms
from js2spawner.home_copies import BY_SCHEDULE, EXPORT, ON_REQUEST, Snapshot, snapshot_due, superfluous
from js2spawner.homes import (
    CURRENT,
    DELETE_AT,
    FORMATTED,
    OLD,
    ROLE,
    SNAPSHOTS,
    USED_AT,
    USER_ID,
    Home,
    choose,
    current_words,
    end_is_due,
    instant_of,
    meaning,
    new_metadata,
    schedule_of,
    text_of,
    user_key,
)

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 24 * 3600.0


def a_home(home_id: str = "h1", *, created: float = NOW - 30 * DAY, status: str = "available", **marks: str) -> Home:
    metadata = {
        ROLE: CURRENT,
        USER_ID: "1",
        FORMATTED: "yes",
        USED_AT: text_of(NOW - HOUR),
        SNAPSHOTS: "24h/2",
        **marks,
    }
    attached = ("server",) if status == "in-use" else ()
    return Home("volume", home_id, "IU", "js2-home-alice", status, 10, metadata, created, attached)


def a_snapshot(name: str, age_s: float, *, taken: str = BY_SCHEDULE, status: str = "available") -> Snapshot:
    return Snapshot(name, "h1", "IU", status, 10, NOW - age_s, taken, clean=True, user="alice", user_id="1")


def test_a_number_that_is_given_again_is_another_person() -> None:
    first = user_key(7, datetime(2026, 1, 1, tzinfo=UTC))
    second = user_key(7, datetime(2026, 9, 1, 12, 0, 1))  # SQLite keeps no time zone
    assert first != second
    assert second == user_key(7, datetime(2026, 9, 1, 12, 0, 1, tzinfo=UTC))


def test_of_two_homes_the_one_with_data_counts_and_then_the_older_one() -> None:
    empty = replace(a_home("older", created=0), metadata={ROLE: CURRENT, USER_ID: "1"})
    data, newer = a_home("data", created=5), a_home("newer", created=9)
    chosen = choose([newer, empty, data], "1", "volume")
    assert chosen.home == data
    assert chosen.others == (newer, empty)


@pytest.mark.parametrize("marks", [{ROLE: OLD}, {USER_ID: "2"}, {ROLE: ""}])
def test_what_was_replaced_or_is_somebody_elses_is_no_home(marks: dict[str, str]) -> None:
    assert choose([a_home(**marks)], "1", "volume").home is None


def test_terms_are_known_from_the_home_itself() -> None:
    terms = Terms.model_validate(
        {"kind": "volume", "size_gb": 10, "most_gb": 40, "grace_days": 3, "snapshots": {"every_hours": 12, "keep": 5}}
    )
    home = replace(a_home(), metadata=new_metadata("hub", "alice", "1", terms))
    assert (home.most_gb, home.grace_s) == (40, 3 * DAY)
    assert home.schedule is not None
    assert (home.schedule.every_s, home.schedule.keep) == (12 * HOUR, 5)
    assert current_words("alice", Terms.model_validate({"kind": "volume"}))[SNAPSHOTS] == "none"


@pytest.mark.parametrize("words", ["", "none", "0h/3", "h/7", "24h/", "24h/7; rm -rf", "9" * 400 + "h/1"])
def test_words_that_are_no_schedule_mean_none(words: str) -> None:
    assert schedule_of(words) is None


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-01-01", "9" * 40])
def test_an_end_that_cannot_be_read_is_no_end(text: str) -> None:
    assert instant_of(text) is None
    assert not end_is_due(a_home(**{DELETE_AT: text}), NOW)


def test_a_home_is_deleted_only_after_its_grace_and_when_nobody_has_it() -> None:
    over, later = {DELETE_AT: text_of(NOW - 1)}, {DELETE_AT: text_of(NOW + 60)}
    assert end_is_due(a_home(**over), NOW)
    assert not end_is_due(a_home(**later), NOW)
    assert not end_is_due(a_home(status="in-use", **over), NOW)
    assert not end_is_due(a_home(), NOW)


def test_a_snapshot_is_due_only_after_use_and_after_its_hours() -> None:
    assert snapshot_due(a_home(), [], NOW)
    assert not snapshot_due(a_home(), [a_snapshot("s", 2 * HOUR)], NOW)
    assert snapshot_due(a_home(), [a_snapshot("s", 25 * HOUR)], NOW)
    unused = a_home(**{USED_AT: text_of(NOW - 30 * HOUR)})
    assert not snapshot_due(unused, [a_snapshot("s", 25 * HOUR)], NOW)
    # What somebody asked for is no reason to leave out one of the schedule; a failed one neither.
    others = [a_snapshot("s", HOUR, taken=ON_REQUEST), a_snapshot("s", HOUR, status="error")]
    assert snapshot_due(a_home(), others, NOW)


def test_a_mounted_home_waits_a_while_for_being_let_go_of_and_not_for_ever() -> None:
    used = a_home(status="in-use")
    assert not snapshot_due(used, [a_snapshot("s", 25 * HOUR)], NOW)
    assert snapshot_due(used, [a_snapshot("s", 31 * HOUR)], NOW)


@pytest.mark.parametrize("marks", [{SNAPSHOTS: "none"}, {FORMATTED: ""}, {ROLE: OLD}, {USED_AT: ""}])
def test_nothing_is_copied_without_a_schedule_or_anything_to_copy(marks: dict[str, str]) -> None:
    assert not snapshot_due(a_home(**marks), [], NOW)


def test_the_last_few_snapshots_stay_and_so_does_what_somebody_asked_for() -> None:
    snapshots = [
        a_snapshot("newest", 1 * DAY),
        a_snapshot("newer", 2 * DAY),
        a_snapshot("old", 3 * DAY),
        a_snapshot("asked", 90 * DAY, taken=ON_REQUEST),
        a_snapshot("failed", 1 * DAY, status="error"),
        a_snapshot("being made", 0, status="creating"),
        a_snapshot("exported", 3 * DAY, taken=EXPORT),
        a_snapshot("being exported", HOUR, taken=EXPORT),
    ]
    assert [each.id for each in superfluous(a_home(), snapshots, NOW)] == ["failed", "old", "exported"]
    assert [each.id for each in superfluous(a_home(**{SNAPSHOTS: "none"}), snapshots, NOW)] == ["failed", "exported"]


@pytest.mark.parametrize(
    ("status", "means"),
    [
        ("available", "ready"),
        ("in-use", "used"),
        ("attaching", "moving"),
        ("uploading", "moving"),
        ("error_extending", "broken"),
        ("deleting", "gone"),
        ("a word of tomorrow", "moving"),
    ],
)
def test_what_a_state_means(status: str, means: str) -> None:
    assert meaning(a_home(status=status)) == means


def test_a_share_that_grows_can_be_used_all_the_while() -> None:
    share = replace(a_home(status="extending"), kind="share")
    assert meaning(share) == "ready"
