"""When a server ends, and what an extension does to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.lease import Lease, Policy, duration, lease, sentence

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = Policy(idle_s=3600, longest_s=24 * 3600, warn_s=600, extend_s=1800, extensions=2)


def at(
    now_s: float,
    *,
    active_s: float = 0,
    extended_s: float = 0,
    used: int = 0,
    policy: Policy = POLICY,
    latest_h: float = 1000,
    held: bool = False,
) -> Lease:
    """The lease `now_s` seconds after the start of a server last used `active_s` after it."""
    return lease(
        policy,
        started=T0,
        last_activity=T0 + timedelta(seconds=active_s),
        extended_s=extended_s,
        extensions_used=used,
        latest=T0 + timedelta(hours=latest_h),
        now=T0 + timedelta(seconds=now_s),
        held=held,
    )


def test_a_policy_that_grew_later_promises_no_more_than_the_instance_was_made_for():
    busy = at(7000, active_s=7000, latest_h=2)
    assert (busy.ends_at, busy.why, busy.can_extend) == (T0 + timedelta(hours=2), "age", False)


def test_an_unused_server_ends_when_its_idle_time_is_over():
    assert (at(0).ends_at, at(0).why) == (T0 + timedelta(hours=1), "idle")


def test_use_moves_the_idle_end():
    assert at(1000, active_s=1000).ends_at == T0 + timedelta(seconds=4600)


def test_however_busy_a_server_is_it_ends_at_its_longest_age():
    busy = at(86000, active_s=86000)
    assert (busy.ends_at, busy.why) == (T0 + timedelta(hours=24), "age")


def test_activity_of_an_earlier_life_does_not_end_a_fresh_server():
    assert at(0, active_s=-50_000).ends_at == T0 + timedelta(hours=1)


def test_the_warning_begins_its_time_before_the_end():
    assert not at(2999).warn
    assert at(3000).warn


@pytest.mark.parametrize("active_s", [0, 86_000])
def test_an_extension_moves_either_end_by_its_time(active_s: float):
    before, after = at(active_s, active_s=active_s), at(active_s, active_s=active_s, extended_s=1800, used=1)
    assert after.ends_at - before.ends_at == timedelta(seconds=1800)
    assert after.extensions_left == 1


def test_there_are_no_more_extensions_than_the_policy_has():
    assert at(0, used=1).can_extend
    assert not at(0, used=2, extended_s=3600).can_extend
    assert at(0, used=7).extensions_left == 0


def test_a_server_past_its_end_can_be_kept_while_that_brings_it_back():
    assert at(3600 + 1799).can_extend
    assert not at(3600 + 1800).can_extend


def test_the_end_itself_counts_as_ended():
    assert not at(3599).ended(T0 + timedelta(seconds=3599))
    assert at(3600).ended(T0 + timedelta(seconds=3600))


def test_the_time_left_is_never_negative():
    assert at(9999).seconds_left(T0 + timedelta(seconds=9999)) == 0


@given(now_s=st.integers(0, 10**6), active_s=st.integers(0, 10**6), used=st.integers(0, 5))
def test_no_lease_outlives_the_longest_age_and_its_extensions(now_s: int, active_s: int, used: int):
    longest = POLICY.longest_s + POLICY.extend_s * used
    assert at(now_s, active_s=active_s, extended_s=POLICY.extend_s * used, used=used).ends_at <= T0 + timedelta(
        seconds=longest
    )


@pytest.mark.parametrize(
    ("now_s", "active_s", "expected"),
    [
        (0, 0, "Your server ends in 1 hour unless you use it."),
        (3000, 0, "Your server ends in 10 minutes because nobody has used it."),
        (3599, 0, "Your server ends in 1 second because nobody has used it."),
        (85_800, 85_800, "Your server ends in 10 minutes because it has then run as long as it may."),
        (3700, 0, "Your server is about to end because nobody has used it."),
    ],
)
def test_the_sentence_says_when_and_why(now_s: float, active_s: float, expected: str):
    assert sentence(at(now_s, active_s=active_s), T0 + timedelta(seconds=now_s)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (89, "89 seconds"),
        (90, "2 minutes"),
        (3600, "1 hour"),
        (7500, "2 hours 5 minutes"),
    ],
)
def test_spans_are_said_as_people_say_them(seconds: float, expected: str):
    assert duration(seconds) == expected


def test_a_server_that_is_being_saved_does_not_end_before_that_is_done():
    assert at(4000).ended(T0 + timedelta(seconds=4000))
    saved = at(4000, held=True)
    assert not saved.ended(T0 + timedelta(seconds=4000))
    assert saved.ends_at == T0 + timedelta(seconds=4300)
    assert at(100, held=True).ends_at == at(100).ends_at
