"""How an instance goes: told to leave, deleted or put on the shelf, and brought back from there."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import js2spawner
from js2spawner.decide import decide, recover
from js2spawner.failures import failure
from js2spawner.instance import (
    Assigned,
    Booting,
    Ended,
    Ending,
    Greeted,
    HomeUse,
    Leaving,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
)
from js2spawner.sightings import (
    AttachHome,
    BackWanted,
    Broken,
    Confirm,
    Delete,
    DetachHome,
    EndWanted,
    Hello,
    HomeAttached,
    HomeDetached,
    HomeTrouble,
    Left,
    Listed,
    ShelfWanted,
    Shelve,
    TellEnd,
    Tick,
    Unshelve,
    UnshelveAnswered,
)
from tests.unit.lives import (
    ADDRESS,
    PLAN,
    SERVER_ID,
    T0,
    VOLUME_ID,
    assigned,
    at_home,
    booting,
    building,
    greeted,
    kept,
    returning,
    running,
    server,
    shelved,
    shelving,
)

STOPPED = failure("stopped")
LIMITS = PLAN.deadlines
ATTACH, DETACH = AttachHome(SERVER_ID, VOLUME_ID), DetachHome(SERVER_ID, VOLUME_ID)


def reason(rec: Record) -> str:
    assert rec.because is not None
    return rec.because.name


def stopped(rec: Record) -> Record:
    return decide(rec, EndWanted(STOPPED), T0 + 10).record


def put_by(rec: Record) -> Record:
    return decide(rec, ShelfWanted(STOPPED), T0 + 10).record


# ---- told to leave --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rec", [running(), assigned("home")])
def test_a_guest_that_has_a_home_is_told_to_leave_before_its_instance_is_deleted(rec: Record) -> None:
    step = decide(at_home(rec), EndWanted(STOPPED), T0 + 10)
    assert step.effects == ()
    assert isinstance(step.record.state, Leaving)
    assert step.record.over
    left = decide(step.record, Left(clean=True), T0 + 12)
    assert isinstance(left.record.state, Ending)
    assert left.effects == (Delete(SERVER_ID),)


def test_who_gets_the_address_of_a_deleted_instance_is_not_let_into_the_share_it_had() -> None:
    plan = replace(PLAN, home=HomeUse("share", VOLUME_ID, "js2-home-alice", 10))
    leaving = stopped(replace(running(), plan=plan))
    assert decide(leaving, Left(clean=True), T0 + 12).effects == (Delete(SERVER_ID), DETACH)


@pytest.mark.parametrize("rec", [building(), booting(), greeted()])
def test_who_has_nothing_mounted_yet_is_not_waited_for(rec: Record) -> None:
    assert decide(at_home(rec), EndWanted(STOPPED), T0 + 10).effects == (Delete(SERVER_ID),)


def test_a_guest_that_never_says_it_has_left_is_waited_for_no_longer_than_it_was_given() -> None:
    leaving = stopped(at_home(running()))
    assert decide(leaving, Tick(), T0 + 10 + LIMITS.leave_s).record == leaving
    late = decide(leaving, Tick(), T0 + 11 + LIMITS.leave_s)
    assert late.effects == (Delete(SERVER_ID),)
    assert reason(late.record) == "stopped"


def test_nobody_is_waited_for_in_an_instance_that_is_switched_off() -> None:
    off = decide(at_home(running()), Listed(server("SHUTOFF"), T0 + 5), T0 + 5).record
    assert decide(off, EndWanted(STOPPED), T0 + 10).effects == (Delete(SERVER_ID),)
    leaving = stopped(at_home(running()))
    assert decide(leaving, Listed(server("SHUTOFF"), T0 + 12), T0 + 12).effects == (Delete(SERVER_ID),)


def test_a_running_instance_is_not_ended_by_a_guest_that_says_it_has_left() -> None:
    assert decide(at_home(running()), Left(clean=True), T0 + 5).record == at_home(running())


def test_a_hub_that_died_while_a_guest_leaves_gives_it_its_time_again() -> None:
    found = recover(stopped(at_home(running())), T0 + 5000)
    assert isinstance(decide(found, Tick(), T0 + 5001).record.state, Leaving)


# ---- the home -------------------------------------------------------------------------------------------------------


def test_a_home_is_attached_while_the_system_boots_and_asked_for_until_it_is() -> None:
    seen = Listed(server(), T0 + 5)
    step = decide(at_home(building(), attached=False), seen, T0 + 5)
    assert isinstance(step.record.state, Booting)
    assert step.effects == (ATTACH,)
    assert decide(recover(step.record, T0 + 9), Tick(), T0 + 9).effects == (ATTACH,)
    greeted_ = decide(step.record, Hello("channel-hash"), T0 + 20).record
    assert decide(greeted_, seen, T0 + 21).effects == (ATTACH,)
    attached = decide(greeted_, HomeAttached(), T0 + 30).record
    assert not attached.lacks_home
    assert decide(attached, seen, T0 + 31).effects == ()


def test_the_time_to_take_an_assignment_begins_when_the_home_is_there() -> None:
    waiting = at_home(greeted(), attached=False)
    assert not decide(waiting, Tick(), T0 + LIMITS.assign_s + 1).record.over
    attached = decide(waiting, HomeAttached(), T0 + 300).record
    assert not decide(attached, Tick(), T0 + 300 + LIMITS.assign_s).record.over
    assert reason(decide(attached, Tick(), T0 + 301 + LIMITS.assign_s).record) == "assign-slow"


def test_a_home_that_does_not_come_ends_the_attempt_by_its_own_name() -> None:
    waiting = at_home(greeted(), attached=False)
    assert reason(decide(waiting, Tick(), T0 + LIMITS.home_s + 1).record) == "home-slow"
    step = decide(at_home(booting(), attached=False), HomeTrouble(failure("home-broken")), T0 + 9)
    assert reason(step.record) == "home-broken"
    assert step.effects == (Delete(SERVER_ID),)


# ---- a card that does not answer ------------------------------------------------------------------------------------


def test_a_broken_card_stays_occupied_for_a_while_but_not_the_home() -> None:
    told = decide(at_home(assigned("gpu")), Broken(failure("gpu")), T0 + 5).record
    assert isinstance(told.state, Leaving)
    step = decide(told, Left(clean=True), T0 + 6)
    assert step.effects == (DETACH,)
    assert step.record.over
    held = decide(step.record, HomeDetached(), T0 + 8).record
    assert decide(held, Listed(server(), T0 + 200), T0 + 200).effects == ()
    assert not held.moving
    late = T0 + 7 + LIMITS.hold_broken_s
    assert decide(held, Listed(server(), late), late).effects == (Delete(SERVER_ID),)


def test_a_broken_card_is_let_go_of_in_time_by_a_hub_that_was_restarted() -> None:
    held = recover(decide(assigned("gpu"), Broken(failure("gpu")), T0).record, T0 + 50)
    assert decide(held, Tick(), T0 + 51).effects == ()
    assert decide(held, Tick(), T0 + LIMITS.hold_broken_s + 1).effects == (Delete(SERVER_ID),)


# ---- to the shelf ---------------------------------------------------------------------------------------------------


def test_the_way_to_the_shelf_and_back() -> None:
    rec = put_by(at_home(kept(running()), idle="shelve"))
    assert isinstance(rec.state, Leaving)
    assert rec.on_shelf
    assert not rec.over
    step = decide(rec, Left(clean=True), T0 + 12)
    assert step.effects == (DETACH,)
    step = decide(step.record, HomeDetached(), T0 + 14)
    assert step.effects == (Shelve(SERVER_ID),)
    seen = Listed(server("SHELVED_OFFLOADED"), T0 + 60)
    rec = decide(step.record, seen, T0 + 61).record
    assert isinstance(rec.state, Shelved)
    assert rec.expires_at == T0 + 61 + PLAN.shelved_s

    step = decide(rec, BackWanted(), T0 + 9000)
    assert step.effects == (Unshelve(SERVER_ID),)
    rec = decide(step.record, UnshelveAnswered(taken=True), T0 + 9001).record
    busy = Listed(server("SHELVED_OFFLOADED", task_state="spawning"), T0 + 9003)
    rec = decide(rec, busy, T0 + 9003).record
    step = decide(rec, Listed(server(), T0 + 9030), T0 + 9030)
    assert step.record.state == Booting(T0 + 9030, SERVER_ID, ADDRESS, "channel-hash")
    assert step.effects == (TellEnd(SERVER_ID), ATTACH)
    assert step.record.expires_at == T0 + 9000 + PLAN.longest_s
    rec = decide(step.record, Hello("channel-hash"), T0 + 9050).record
    assert isinstance(rec.state, Greeted)


def test_what_holds_nobodys_work_is_deleted_rather_than_shelved() -> None:
    plan = replace(PLAN, idle="shelve")
    step = decide(replace(greeted(), plan=plan), ShelfWanted(failure("cancelled")), T0 + 5)
    assert isinstance(step.record.state, Ending)


def test_a_disk_that_is_in_use_is_not_pulled_out_of_a_running_system() -> None:
    rec = put_by(at_home(kept(running()), idle="shelve"))
    busy = decide(rec, Left(clean=False), T0 + 12)
    assert busy.effects == (Shelve(SERVER_ID),)
    off = decide(busy.record, Listed(server("SHELVED_OFFLOADED"), T0 + 60), T0 + 60)
    assert isinstance(off.record.state, Shelved)
    assert off.effects == (DETACH,)


def test_a_home_that_cannot_be_detached_keeps_nothing_from_the_shelf() -> None:
    detaching = at_home(shelving(), idle="shelve")
    step = decide(detaching, HomeTrouble(failure("home-slow")), T0 + 5)
    assert step.effects == (Shelve(SERVER_ID),)
    late = T0 + LIMITS.home_s + 1
    assert decide(detaching, Listed(server(), late), late).effects == (Shelve(SERVER_ID),)


def test_what_was_asked_for_by_a_hub_that_died_is_asked_for_again() -> None:
    asked = recover(shelving(asked_at=T0), T0 + 20)
    assert decide(asked, Listed(server(), T0 + 25), T0 + 25).effects == ()
    later = T0 + LIMITS.delete_again_s + 1
    assert decide(asked, Listed(server(), later), later).effects == (Shelve(SERVER_ID),)
    assert decide(asked, Listed(server(task_state="shelving"), later), later).effects == ()


def test_a_cloud_that_refuses_to_shelve_is_asked_for_an_hour_and_then_the_instance_is_deleted() -> None:
    rec, asked, now = shelving(), 0, T0
    while not rec.over:
        now += LIMITS.delete_again_s + 1
        step = decide(rec, Listed(server(), now), now)
        asked += step.effects == (Shelve(SERVER_ID),)
        rec = step.record
    assert reason(rec) == "no-shelf"
    assert step.effects == (Delete(SERVER_ID),)
    assert now - T0 > LIMITS.shelve_s
    assert asked > 100


def test_a_cloud_that_was_away_for_hours_has_refused_nothing() -> None:
    late = T0 + 3 * LIMITS.shelve_s
    assert decide(shelving(asked_at=T0), Tick(), late).effects == ()
    assert decide(shelving(asked_at=T0), Listed(server(), late), late).effects == (Shelve(SERVER_ID),)
    refused = replace(shelving(), state=replace(shelving().state, asked=50))
    assert not decide(recover(refused, late), Listed(server(), late), late + 1).record.over, (
        "it was the hub that was away"
    )


def test_a_cloud_that_is_at_work_on_a_large_disk_is_waited_for_longer() -> None:
    at_work = server(task_state="shelving_image_uploading")
    late = T0 + 3 * LIMITS.shelve_s
    assert decide(shelving(asked_at=T0), Listed(at_work, late), late).effects == ()
    stuck = T0 + 5 * LIMITS.shelve_s
    assert reason(decide(shelving(asked_at=T0), Listed(at_work, stuck), stuck).record) == "no-shelf"


def test_a_shelved_instance_is_nobodys_to_claim_and_ends_when_its_time_is_over() -> None:
    found = recover(shelved(), T0 + 50)
    assert not decide(found, Tick(), T0 + PLAN.shelved_s - 1).record.over
    assert reason(decide(found, Tick(), T0 + PLAN.shelved_s).record) == "expired"


@pytest.mark.parametrize("rec", [shelving(), shelved(), returning(), put_by(kept(running()))])
def test_an_end_that_is_wanted_is_an_end_on_the_shelf_too(rec: Record) -> None:
    ended = stopped(rec)
    assert ended.over
    assert not ended.on_shelf


def test_the_shelf_has_no_secret_of_a_server_that_is_over() -> None:
    assert put_by(replace(kept(running()), api_token="token")).api_token == ""


@pytest.mark.parametrize("status", ["SHELVED", "SHELVED_OFFLOADED"])
def test_an_instance_that_somebody_shelved_in_a_dashboard_is_on_the_shelf_whatever_its_plan(status: str) -> None:
    step = decide(at_home(running()), Listed(server(status), T0 + 9), T0 + 9)
    assert isinstance(step.record.state, Shelved)
    assert reason(step.record) == "shelved"
    assert step.effects == (DETACH,)


def test_one_that_somebody_unshelved_in_a_dashboard_goes_back_where_it_costs_nothing() -> None:
    step = decide(shelved(), Listed(server(), T0 + 9), T0 + 9)
    assert isinstance(step.record.state, Shelving)
    assert step.effects == (Shelve(SERVER_ID),)


def test_a_deadline_puts_work_on_the_shelf_where_the_plan_says_so() -> None:
    forgotten = replace(kept(running()), unclaimed_since=T0)
    step = decide(forgotten, Tick(), T0 + LIMITS.unclaimed_running_s + 1)
    assert step.record.on_shelf
    assert decide(kept(running()), Tick(), T0 + PLAN.longest_s).record.on_shelf
    off = decide(kept(running()), Listed(server("SHUTOFF"), T0 + 9), T0 + 9).record
    late = T0 + 10 + LIMITS.powered_off_s
    assert decide(off, Listed(server("SHUTOFF"), late), late).effects == (Shelve(SERVER_ID),)


def test_a_wish_to_have_it_back_waits_until_it_is_on_the_shelf() -> None:
    rec = decide(put_by(kept(running())), BackWanted(), T0 + 11).record
    assert not rec.on_shelf
    rec = decide(rec, Left(clean=True), T0 + 12).record
    assert isinstance(rec.state, Shelving)
    step = decide(rec, Listed(server("SHELVED_OFFLOADED"), T0 + 60), T0 + 60)
    assert isinstance(step.record.state, Returning)
    assert step.effects == (Unshelve(SERVER_ID),)


def test_a_wish_that_was_given_up_leaves_it_on_the_shelf() -> None:
    rec = decide(shelving(asked_at=T0), BackWanted(), T0 + 11).record
    rec = put_by(rec)
    step = decide(rec, Listed(server("SHELVED_OFFLOADED"), T0 + 60), T0 + 60)
    assert isinstance(step.record.state, Shelved)
    assert step.effects == ()


def test_nobody_waits_for_it_any_more_after_a_restart_of_the_hub() -> None:
    rec = recover(decide(shelving(asked_at=T0), BackWanted(), T0 + 11).record, T0 + 20)
    assert decide(rec, Listed(server("SHELVED_OFFLOADED"), T0 + 60), T0 + 60).effects == ()


# ---- back from the shelf --------------------------------------------------------------------------------------------


def test_a_cloud_that_falls_back_is_asked_once_more_and_then_a_new_one_is_made_and_the_old_one_kept() -> None:
    fallen = Listed(server("SHELVED_OFFLOADED"), T0 + 50)
    once = decide(returning(asked_at=T0 + 1), fallen, T0 + 50)
    assert once.effects == (Unshelve(SERVER_ID),)
    answered = decide(once.record, UnshelveAnswered(taken=True), T0 + 51).record
    twice = decide(answered, Listed(server("SHELVED_OFFLOADED"), T0 + 90), T0 + 90).record
    assert reason(twice) == "no-return"
    assert twice.because is not None
    assert twice.because.policy == "again"
    assert twice.on_shelf
    assert not twice.set_aside


def test_a_picture_from_before_the_answer_is_not_taken_for_a_fall_back() -> None:
    step = decide(returning(asked_at=T0 + 5), Listed(server("SHELVED_OFFLOADED"), T0 + 4), T0 + 6)
    assert (step.record, step.effects) == (returning(asked_at=T0 + 5), ())


def test_an_unshelve_that_may_never_have_been_sent_is_sent_again() -> None:
    found = recover(returning(), T0 + 9)
    assert decide(found, Listed(server("SHELVED_OFFLOADED"), T0 + 10), T0 + 10).effects == (Unshelve(SERVER_ID),)
    busy = Listed(server("SHELVED_OFFLOADED", task_state="unshelving"), T0 + 10)
    assert decide(found, busy, T0 + 10).effects == ()


def test_a_return_without_quota_is_told_as_that_and_the_instance_stays_where_it_is() -> None:
    rec = decide(returning(), UnshelveAnswered(taken=False, why=failure("quota")), T0 + 2).record
    assert reason(rec) == "quota"
    assert rec.because is not None
    assert rec.because.policy == "give-up", "a new one in its place would leave it behind"
    there = decide(rec, Listed(server("SHELVED_OFFLOADED"), T0 + 4), T0 + 4)
    assert isinstance(there.record.state, Shelved)
    assert not there.record.set_aside


def test_a_return_that_takes_too_long_is_given_up() -> None:
    step = decide(returning(asked_at=T0), Tick(), T0 + LIMITS.return_s + 1)
    assert reason(step.record) == "no-return"
    # Nova may still be at work: it is shelved once it is not.
    assert step.effects == ()
    there = decide(step.record, Listed(server(), T0 + 700), T0 + 700)
    assert there.effects == (Shelve(SERVER_ID),)


def test_a_cancelled_return_goes_back_on_the_shelf_and_can_be_had_again() -> None:
    for rec in (kept(booting()), kept(greeted()), kept(assigned()), returning()):
        back = put_by(rec)
        assert back.on_shelf
        assert not back.set_aside


def test_a_home_that_cannot_be_had_now_leaves_what_came_back_on_the_shelf_for_the_next_start() -> None:
    rec = at_home(kept(greeted()), attached=False, idle="shelve")
    step = decide(rec, HomeTrouble(failure("home-slow")), T0 + 9)
    assert step.record.on_shelf
    assert not step.record.set_aside
    assert step.record.because is not None
    assert step.record.because.policy == "give-up", "another attempt would leave it behind"


@pytest.mark.parametrize("rec", [kept(booting()), kept(greeted()), kept(assigned("notebook"))])
def test_what_came_back_broken_is_kept_but_not_brought_back_again(rec: Record) -> None:
    broken = decide(rec, Tick(), T0 + 10_000).record
    assert broken.on_shelf
    assert broken.set_aside
    assert broken.because is not None
    assert broken.because.policy == "again"


def test_one_in_error_is_set_aside_until_its_time_is_over() -> None:
    step = decide(shelving(asked_at=T0), Listed(server("ERROR"), T0 + 9), T0 + 9)
    assert isinstance(step.record.state, Shelved)
    assert step.record.set_aside
    assert step.effects == ()


@pytest.mark.parametrize("rec", [shelving(), shelved(), returning(), stopped(at_home(running()))])
def test_gone_is_gone_from_the_shelf_too(rec: Record) -> None:
    assert decide(rec, Listed(None, T0 + 12, absences=2), T0 + 12).effects == (Confirm(SERVER_ID),)
    assert isinstance(decide(rec, Listed(None, T0 + 13, confirmed=True), T0 + 13).record.state, Ended)


def test_the_host_is_known_by_the_last_picture_that_named_one() -> None:
    rec = decide(building(), Listed(server(host_id="host-1"), T0 + 5), T0 + 5).record
    assert rec.host_id == "host-1"
    assert decide(kept(rec), Listed(server(host_id=""), T0 + 6), T0 + 6).record.host_id == "host-1"


def test_a_server_that_has_listened_holds_work() -> None:
    old = Running(T0, SERVER_ID, ADDRESS, "channel-hash")
    assert recover(replace(running(), state=old), T0 + 1).has_run
    assert not isinstance(assigned().state, Running)
    assert isinstance(assigned().state, Assigned)


def test_no_instance_is_ever_suspended_or_paused():
    # Both keep costing, and Jetstream2 forbids the first for instances with a GPU.
    hub = [path for path in Path(js2spawner.__file__).parent.rglob("*.py") if "devcloud" not in path.parts]
    nodes = (node for path in hub for node in ast.walk(ast.parse(path.read_text())))
    said = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert "shelve" in said
    assert said.isdisjoint({"suspend", "pause"})
