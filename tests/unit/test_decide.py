"""The life of one instance, decision by decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from js2spawner.cloud.records import Server
from js2spawner.decide import begin, decide, recover
from js2spawner.failures import failure
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Ended,
    Ending,
    Greeted,
    Leaving,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    Unsure,
)
from js2spawner.sightings import (
    Accepted,
    BackWanted,
    Broken,
    Claimed,
    Confirm,
    Create,
    Delete,
    DeleteAnswered,
    DetachHome,
    EndWanted,
    Hello,
    HomeAttached,
    HomeDetached,
    HomeTrouble,
    Left,
    Listed,
    Listening,
    Progressed,
    Refused,
    ShelfWanted,
    Shelve,
    ShelveAnswered,
    Taken,
    Tick,
    Unanswered,
    Unclaimed,
    Unshelve,
    UnshelveAnswered,
)
from tests.unit.lives import (
    ADDRESS,
    PLAN,
    SERVER_ID,
    T0,
    assigned,
    at_home,
    booting,
    broken_server,
    building,
    greeted,
    kept,
    record,
    returning,
    running,
    server,
    shelved,
    shelving,
)

STOPPED = failure("stopped")
LIMITS = PLAN.deadlines


def end_reason(rec: Record) -> str:
    assert isinstance(rec.state, Ending | Ended)
    return rec.state.because.name


def test_a_fresh_attempt_is_created_once() -> None:
    assert begin(record()).effects == (Create(),)


def test_the_whole_way_from_create_to_a_listening_notebook() -> None:
    rec = record()
    for sighting in (
        Accepted(SERVER_ID),
        Listed(server("BUILD", addresses=(), task_state="spawning"), T0),
        Listed(server(), T0 + 2),
        Hello("channel-hash"),
        Taken(),
        Progressed("notebook"),
        Listening(),
    ):
        step = decide(rec, sighting, T0 + 3)
        assert step.effects == ()
        rec = step.record
    assert rec.state == Running(T0 + 3, SERVER_ID, ADDRESS, "channel-hash")


def test_the_list_may_show_the_server_before_the_create_is_answered() -> None:
    step = decide(record(), Listed(server(), T0), T0 + 1)
    assert isinstance(step.record.state, Booting)


def test_an_active_server_without_an_address_is_not_taken_for_booted() -> None:
    # A server deleted while spawning shows ACTIVE for about a second, without addresses, before it is gone.
    step = decide(building(), Listed(server(addresses=()), T0 + 5), T0 + 5)
    assert isinstance(step.record.state, Building)


def test_an_active_server_with_a_task_is_not_taken_for_booted() -> None:
    step = decide(building(), Listed(server(task_state="deleting"), T0 + 5), T0 + 5)
    assert isinstance(step.record.state, Building)


def test_no_valid_host_is_told_as_no_capacity_and_the_server_is_deleted() -> None:
    step = decide(building(), Listed(broken_server("No valid host was found. "), T0 + 1), T0 + 1)
    assert end_reason(step.record) == "capacity"
    assert step.effects == (Delete(SERVER_ID),)


def test_a_refused_create_leaves_nothing() -> None:
    step = decide(record(), Refused(failure("quota")), T0 + 1)
    assert step.record.state == Ended(T0 + 1, failure("quota"))


def test_a_lost_create_answer_never_leads_to_a_second_create() -> None:
    step = decide(record(), Unanswered("timeout"), T0 + 1)
    assert step.effects == ()
    for _ in range(5):
        step = decide(step.record, Listed(None, T0 + 60), T0 + 60)
        assert step.effects == ()


def test_a_lost_create_that_worked_is_adopted() -> None:
    lost = decide(record(), Unanswered("timeout"), T0 + 1).record
    assert isinstance(decide(lost, Listed(server(), T0 + 30), T0 + 30).record.state, Booting)


def test_a_lost_create_is_given_up_only_after_two_minutes_of_fresh_lists() -> None:
    lost = record(Unsure(T0))
    # The picture must have been asked for after the look-up's time, not merely arrive after it.
    early = decide(lost, Listed(None, T0 + LIMITS.look_up_s - 1), T0 + LIMITS.look_up_s + 50)
    assert isinstance(early.record.state, Unsure)
    late = decide(lost, Listed(None, T0 + LIMITS.look_up_s + 1), T0 + LIMITS.look_up_s + 2)
    assert end_reason(late.record) == "create-lost"


def test_a_create_that_comes_true_after_everybody_gave_up_is_deleted() -> None:
    over = record(Ended(T0, failure("create-lost")))
    assert decide(over, Listed(server(), T0 + 500), T0 + 500).effects == (Delete(SERVER_ID),)


@pytest.mark.parametrize("rec", [building(), booting(), greeted(), assigned(), running()])
def test_gone_needs_two_passes_and_a_direct_404(rec: Record) -> None:
    once = decide(rec, Listed(None, T0 + 10, absences=1), T0 + 10)
    assert once.effects == ()
    twice = decide(rec, Listed(None, T0 + 12, absences=2), T0 + 12)
    assert twice.effects == (Confirm(SERVER_ID),)
    assert twice.record == rec
    gone = decide(rec, Listed(None, T0 + 13, confirmed=True), T0 + 13)
    assert end_reason(gone.record) == "vanished"


def test_a_picture_older_than_the_create_says_nothing() -> None:
    step = decide(building(), Listed(None, T0 - 1, absences=2), T0 + 1)
    assert step.effects == ()


@pytest.mark.parametrize(
    ("rec", "after_s", "reason"),
    [
        (building(), LIMITS.build_s, "build-slow"),
        (booting(), LIMITS.boot_s, "boot-silent"),
        (greeted(), LIMITS.assign_s, "assign-slow"),
        (assigned("account"), LIMITS.notebook_s, "notebook-slow"),
        (assigned("home"), LIMITS.home_s, "home-slow"),
        (assigned("notebook"), LIMITS.notebook_s, "notebook-slow"),
    ],
)
def test_every_phase_has_a_deadline(rec: Record, after_s: float, reason: str) -> None:
    assert decide(rec, Tick(), T0 + after_s).record == rec
    late = decide(rec, Tick(), T0 + after_s + 1)
    assert end_reason(late.record) == reason
    assert late.effects == (Delete(SERVER_ID),)


def test_each_stage_of_a_guest_has_its_own_time_and_going_back_gains_none() -> None:
    checked = decide(assigned("home"), Progressed("gpu"), T0 + 500).record
    assert decide(checked, Tick(), T0 + 500 + LIMITS.gpu_s).record == checked
    assert end_reason(decide(checked, Tick(), T0 + 501 + LIMITS.gpu_s).record) == "gpu"
    back = decide(checked, Progressed("home"), T0 + 600).record
    forth = decide(back, Progressed("notebook"), T0 + 700).record
    assert end_reason(decide(forth, Tick(), T0 + 701 + LIMITS.notebook_s).record) == "notebook-slow"
    assert end_reason(decide(back, Tick(), T0 + 501 + LIMITS.home_s).record) == "home-slow"


@pytest.mark.parametrize("rec", [record(), record(Unsure(T0))])
def test_a_create_without_any_answer_or_list_has_a_deadline_too(rec: Record) -> None:
    late = decide(rec, Tick(), T0 + LIMITS.build_s + 1)
    assert end_reason(late.record) == "create-lost"
    assert isinstance(late.record.state, Ending)


def test_the_absolute_end_comes_whatever_the_state() -> None:
    step = decide(running(), Tick(), T0 + PLAN.longest_s)
    assert end_reason(step.record) == "expired"


def test_a_running_instance_is_never_ended_by_a_complaint_of_its_guest() -> None:
    step = decide(running(), Broken(failure("notebook")), T0 + 10)
    assert step.record == running()
    assert step.effects == ()


def test_an_error_of_the_cloud_does_not_end_a_running_instance() -> None:
    assert decide(running(), Listed(broken_server("libvirt"), T0 + 9), T0 + 9).record == running()


def test_a_switched_off_instance_is_ended_after_a_grace() -> None:
    off = decide(running(), Listed(server("SHUTOFF"), T0 + 9), T0 + 9).record
    assert not off.over
    late = T0 + 10 + LIMITS.powered_off_s
    assert end_reason(decide(off, Listed(server("SHUTOFF"), late), late).record) == "powered-off"
    back = decide(off, Listed(server(), late), late).record
    assert back == running()


def test_a_cloud_that_stopped_answering_after_a_switch_off_ends_nothing() -> None:
    off = decide(running(), Listed(server("SHUTOFF"), T0 + 9), T0 + 9).record
    assert not decide(off, Tick(), T0 + 10 + LIMITS.powered_off_s).record.over


@pytest.mark.parametrize("rec", [building(), booting(), greeted(), assigned("notebook")])
def test_the_time_a_hub_was_away_does_not_count_against_a_start(rec: Record) -> None:
    found = recover(rec, T0 + 5000)
    assert not decide(found, Tick(), T0 + 5001).record.over


def test_an_instance_whose_end_is_decided_can_still_be_told_so() -> None:
    ending = decide(running(), EndWanted(STOPPED), T0 + 50).record
    assert (ending.address, ending.channel_hash) == (ADDRESS, "channel-hash")


def test_a_stop_asks_for_the_deletion_at_once_and_keeps_a_tombstone() -> None:
    step = decide(running(), EndWanted(STOPPED), T0 + 50)
    assert step.effects == (Delete(SERVER_ID),)
    accepted = decide(step.record, DeleteAnswered(gone=False), T0 + 51).record
    assert isinstance(accepted.state, Ending)


def test_the_tombstone_goes_only_with_a_404() -> None:
    ending = decide(running(), EndWanted(STOPPED), T0 + 50).record
    absent = decide(ending, Listed(None, T0 + 53, absences=1), T0 + 53)
    assert absent.effects == (Confirm(SERVER_ID),)
    assert decide(absent.record, Listed(None, T0 + 54, confirmed=True), T0 + 54).record.state == Ended(T0 + 54, STOPPED)


def test_a_deletion_that_does_not_happen_is_asked_for_again() -> None:
    ending = decide(running(), EndWanted(STOPPED), T0).record
    soon = decide(ending, Listed(server(task_state="deleting"), T0 + 5), T0 + 5)
    assert soon.effects == ()
    later = decide(ending, Listed(server(), T0 + 40), T0 + LIMITS.delete_again_s + 10)
    assert later.effects == (Delete(SERVER_ID),)


def test_an_end_wanted_twice_is_one_end() -> None:
    once = decide(running(), EndWanted(STOPPED), T0 + 50).record
    again = decide(once, EndWanted(failure("cancelled")), T0 + 51)
    assert again.record == once
    assert again.effects == ()


def test_a_start_cancelled_while_the_create_is_on_its_way_still_deletes_what_it_made() -> None:
    ending = decide(record(), EndWanted(failure("cancelled")), T0 + 1).record
    assert isinstance(ending.state, Ending)
    assert decide(ending, Accepted(SERVER_ID), T0 + 2).effects == (Delete(SERVER_ID),)
    assert decide(ending, Listed(server(), T0 + 2), T0 + 2).effects == (Delete(SERVER_ID),)


def test_a_start_cancelled_with_an_unanswered_create_waits_for_its_fate() -> None:
    ending = decide(record(Unsure(T0)), EndWanted(failure("cancelled")), T0 + 1).record
    assert isinstance(decide(ending, Listed(None, T0 + 60), T0 + 60).record.state, Ending)
    gone = decide(ending, Listed(None, T0 + LIMITS.look_up_s + 1), T0 + LIMITS.look_up_s + 1)
    assert isinstance(gone.record.state, Ended)


def test_a_deleted_server_that_shows_up_active_once_more_stays_ending() -> None:
    ending = decide(building(), EndWanted(STOPPED), T0).record
    assert isinstance(decide(ending, Listed(server(addresses=()), T0 + 1), T0 + 1).record.state, Ending)


def test_a_restarted_hub_takes_an_unanswered_create_for_unsure() -> None:
    assert isinstance(recover(record(), T0 + 9).state, Unsure)


@pytest.mark.parametrize("rec", [building(), booting(), greeted(), assigned(), running()])
def test_a_restarted_hub_keeps_what_runs_and_waits_for_somebody_to_claim_it(rec: Record) -> None:
    found = recover(rec, T0 + 9)
    assert (type(found.state), found.server_id) == (type(rec.state), rec.server_id)
    assert found.unclaimed_since == T0 + 9
    assert decide(found, Claimed(), T0 + 10).record.unclaimed_since is None


def test_what_nobody_claims_is_ended_after_its_time() -> None:
    found = recover(booting(), T0)
    assert not decide(found, Tick(), T0 + LIMITS.unclaimed_starting_s).record.over
    assert end_reason(decide(found, Tick(), T0 + LIMITS.unclaimed_starting_s + 1).record) == "unclaimed"


def test_an_unclaimed_running_instance_is_kept_longer_than_one_that_was_starting() -> None:
    let_go = decide(running(), Unclaimed(), T0 + 100).record
    assert not decide(let_go, Tick(), T0 + 100 + LIMITS.unclaimed_starting_s + 60).record.over
    assert end_reason(decide(let_go, Tick(), T0 + 101 + LIMITS.unclaimed_running_s).record) == "unclaimed"


def test_an_unclaimed_greeting_waits_for_its_user_longer_than_an_assignment_may_take() -> None:
    found = recover(greeted(), T0)
    assert not decide(found, Tick(), T0 + LIMITS.assign_s + 1).record.over


# ---- what holds for every sequence of sightings ----------------------------------------------------------------------

servers = st.one_of(
    st.none(),
    st.builds(
        lambda status, task, addresses: server(status, task_state=task, addresses=addresses),
        st.sampled_from(["BUILD", "ACTIVE", "ERROR", "SHUTOFF", "DELETED", "SHELVED", "SHELVED_OFFLOADED"]),
        st.sampled_from([None, "spawning", "deleting", "shelving", "unshelving"]),
        st.sampled_from([(), (ADDRESS,)]),
    ),
)
sightings = st.one_of(
    st.builds(Listed, servers, st.floats(T0, T0 + 1e5), st.integers(0, 3), st.just(False)),
    st.builds(Accepted, st.just(SERVER_ID)),
    st.builds(Unanswered, st.text(max_size=5)),
    st.sampled_from(
        [
            Hello("c"),
            Taken(),
            Progressed("notebook"),
            Listening(),
            Tick(),
            Claimed(),
            Unclaimed(),
            DeleteAnswered(gone=False),
            EndWanted(STOPPED),
            ShelfWanted(STOPPED),
            BackWanted(),
            Broken(failure("notebook")),
            Broken(failure("gpu")),
            HomeAttached(),
            HomeDetached(),
            HomeTrouble(failure("home-slow")),
            Left(clean=True),
            Left(clean=False),
            ShelveAnswered(taken=True),
            UnshelveAnswered(taken=True),
            UnshelveAnswered(taken=False),
        ]
    ),
)
CALM = (Tick(), HomeAttached(), HomeDetached(), ShelveAnswered(taken=False), ShelfWanted(STOPPED), Left(clean=True))


class Calm:
    """A cloud that does what it is asked, at once."""

    status = "ACTIVE"

    def server(self) -> Server:
        return server(self.status)

    def answers(self, rec: Record, effects: tuple) -> list:
        told: list = []
        for effect in effects:
            match effect:
                case DetachHome():
                    told.append(HomeDetached())
                case Shelve():
                    self.status = "SHELVED_OFFLOADED"
                    told.append(ShelveAnswered(taken=True))
                case Unshelve():
                    self.status = "ACTIVE"
        return told


beginnings = st.sampled_from(
    [
        record(),
        running(),
        assigned("home"),
        at_home(running()),
        at_home(booting(), attached=False),
        kept(running()),
        at_home(kept(running()), idle="shelve"),
        at_home(shelving(), idle="shelve"),
        shelved(),
        returning(),
    ]
)


@given(beginnings, st.lists(st.tuples(sightings, st.floats(0, 1000)), max_size=30))
def test_no_sequence_without_a_refusal_or_a_404_loses_a_server_that_may_exist(rec: Record, story: list) -> None:
    now = T0
    known = ""
    for sighting, passed in story:
        now += passed
        step = decide(rec, sighting, now)
        assert all(not isinstance(effect, Create) for effect in step.effects), "a create is never repeated"
        rec = step.record
        known = known or rec.server_id
        if known:
            assert not isinstance(rec.state, Ended), "ended although no answer ever said the server is gone"


@given(beginnings, st.lists(st.tuples(sightings, st.floats(0, 1000)), max_size=30))
def test_an_end_once_decided_is_never_taken_back(rec: Record, story: list) -> None:
    now, over = T0, False
    for sighting, passed in story:
        now += passed
        rec = decide(rec, sighting, now).record
        assert rec.over or not over
        over = rec.over


@given(beginnings, st.lists(st.tuples(sightings, st.floats(0, 1000)), max_size=20))
def test_a_crash_between_any_two_steps_loses_no_server(rec: Record, story: list) -> None:
    now = T0
    for sighting, passed in story:
        now += passed
        rec = decide(rec, sighting, now).record
        found = recover(rec, now)
        assert found.server_id == rec.server_id
        assert not isinstance(found.state, Planned)


@given(beginnings, st.lists(st.tuples(sightings, st.floats(0, 1000)), max_size=30))
def test_what_holds_work_is_deleted_only_when_somebody_wants_it_or_its_time_is_over(rec: Record, story: list) -> None:
    now = T0
    for sighting, passed in story:
        now += passed
        # No picture comes from the future.
        seen = replace(sighting, as_of=now) if isinstance(sighting, Listed) else sighting
        before, rec = rec, decide(rec, seen, now).record
        if rec.over and before.has_run and not before.over and before.plan.idle == "shelve":
            wanted = isinstance(sighting, EndWanted) or now >= before.expires_at
            assert wanted or end_reason(rec) in ("vanished", "no-shelf")


@given(st.lists(st.tuples(st.sampled_from([*CALM]), st.booleans()), min_size=12, max_size=12))
def test_a_crash_at_any_point_of_the_way_to_the_shelf_and_back_still_gets_there(story: list) -> None:
    """A cloud and a guest that do what they are asked, and a hub that may die after each step before it is done."""
    rec, now = decide(at_home(kept(running()), idle="shelve"), ShelfWanted(STOPPED), T0).record, T0
    cloud = Calm()
    for _ in range(60):
        now += 40
        sighting, dies = story.pop() if story else (None, False)
        step = decide(rec, sighting or Listed(cloud.server(), now), now)
        rec = recover(step.record, now) if dies else step.record
        for answer in () if dies else cloud.answers(rec, step.effects):
            rec = decide(rec, answer, now).record
        if isinstance(rec.state, Leaving):
            rec = decide(rec, Left(clean=True), now).record
    assert isinstance(rec.state, Shelved)
    assert not rec.home_attached
    assert cloud.status == "SHELVED_OFFLOADED"


def test_every_state_survives_every_sighting_of_the_family() -> None:
    states = [
        Planned(T0),
        Unsure(T0),
        Building(T0, SERVER_ID),
        Booting(T0, SERVER_ID, ADDRESS),
        Greeted(T0, SERVER_ID, ADDRESS, "c"),
        Assigned(T0, SERVER_ID, ADDRESS, "c"),
        Running(T0, SERVER_ID, ADDRESS, "c"),
        Leaving(T0, STOPPED, SERVER_ID, ADDRESS, "c", "delete"),
        Leaving(T0, STOPPED, SERVER_ID, ADDRESS, "c", "shelve"),
        Shelving(T0, SERVER_ID, ADDRESS, "c"),
        Shelved(T0, SERVER_ID, ADDRESS, "c"),
        Returning(T0, SERVER_ID, "c"),
        Ending(T0, STOPPED, SERVER_ID),
        Ended(T0, STOPPED),
    ]
    family = (Taken(), Listening(), Hello("x"), Refused(failure("quota")), DeleteAnswered(gone=True), *CALM)
    for state in states:
        for sighting in family:
            step = decide(replace(record(), state=state), sighting, T0 + 1)
            assert isinstance(step.record, Record)
