"""What follows from what is seen of a save: one copy, asked for once, kept only if the guest was quiet all along."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from js2spawner.cloud.errors import BadRequest, CloudError, Conflict, QuotaExceeded, SignInFailed, Unreachable
from js2spawner.failures import FAILURES, failure
from js2spawner.saving import (
    Asked,
    Begun,
    Checking,
    Copy,
    Copying,
    Discard,
    Dropped,
    Failed,
    Look,
    Looked,
    Ready,
    Refused,
    Said,
    Save,
    Seal,
    Sealed,
    Sighting,
    State,
    Tick,
    Unanswered,
    decide,
    refusal_of,
)
from tests.unit.saves.made import IMAGE_ID, T0, image, save

QUIET, LOUD = Said(quiet=True), Said(quiet=False)
COPYING = Copying(T0, IMAGE_ID)
CHECKING = Checking(T0, image())
SETTLED = Checking(T0, image(), said=True)


def state_after(start: Save, *sightings: Sighting, now: float = T0 + 1) -> State:
    for sighting in sightings:
        start = decide(start, sighting, now).save
    return start.state


def why(state: State) -> str:
    assert isinstance(state, Failed), state
    return state.because.name


def test_the_way_of_a_save():
    begun = decide(save(), QUIET, T0 + 3)
    assert begun.effects == (Copy(),)
    state = state_after(
        begun.save, Begun(IMAGE_ID), QUIET, Looked(image("queued")), Looked(image("saving")), Looked(image())
    )
    assert isinstance(state, Checking)
    said = decide(save(state), QUIET, T0 + 9)
    assert said.effects == (Seal(IMAGE_ID),)
    assert decide(said.save, Sealed(), T0 + 10).save.state == Ready(T0 + 10, IMAGE_ID)


def test_nothing_is_copied_before_the_guest_is_quiet():
    assert decide(save(), LOUD, T0 + 1).effects == decide(save(), Tick(), T0 + 1).effects == ()


def test_a_guest_that_does_not_answer_is_waited_for_a_minute():
    assert isinstance(state_after(save(), Tick(), now=T0 + 60), Asked)
    assert why(state_after(save(), Tick(), now=T0 + 61)) == "save-silent"


@pytest.mark.parametrize("state", [COPYING, CHECKING])
def test_a_copy_during_which_the_guest_was_not_quiet_is_thrown_away(state: State):
    step = decide(save(state), LOUD, T0 + 1)
    assert why(step.save.state) == "save-interrupted"
    assert step.effects == (Discard(IMAGE_ID),)


def test_a_copy_is_not_sealed_before_the_guest_has_vouched_for_it():
    assert decide(save(CHECKING), Tick(), T0 + 1).effects == ()
    assert why(state_after(save(CHECKING), Tick(), now=T0 + 121)) == "save-interrupted"


def test_a_seal_that_was_not_taken_is_put_on_again_and_then_given_up():
    assert decide(save(SETTLED), Tick(), T0 + 1).effects == (Seal(IMAGE_ID),)
    step = decide(save(SETTLED), Tick(), T0 + 121)
    assert (why(step.save.state), step.effects) == ("save-lost", (Discard(IMAGE_ID),))


def test_once_the_guest_has_vouched_nothing_that_becomes_of_the_instance_matters():
    assert state_after(save(SETTLED), Dropped(failure("save-stopped")), LOUD) == SETTLED


def test_an_answer_that_was_lost_is_looked_for_and_the_copy_never_asked_for_twice():
    unsure = decide(save(Copying(T0)), Unanswered(), T0 + 1).save
    assert decide(unsure, Tick(), T0 + 4).effects == (Look(),)
    assert state_after(unsure, Looked(None), now=T0 + 60) == unsure.state
    assert why(state_after(unsure, Looked(None), now=T0 + 121)) == "save-lost"
    found = state_after(unsure, Looked(image("saving")))
    assert isinstance(found, Copying)
    assert found.image_id == IMAGE_ID


def test_while_the_answer_is_awaited_nobody_looks():
    assert decide(save(Copying(T0)), Tick(), T0 + 4).effects == ()


@pytest.mark.parametrize("status", ["killed", "deleted", "pending_delete", "deactivated", "error"])
def test_a_copy_that_failed_in_the_cloud_is_deleted_and_told(status: str):
    step = decide(save(COPYING), Looked(image(status)), T0 + 5)
    assert (why(step.save.state), step.effects) == ("save-failed", (Discard(IMAGE_ID),))


def test_a_copy_that_vanished_has_failed():
    assert why(state_after(save(COPYING), Looked(None))) == "save-failed"


def test_a_copy_larger_than_what_may_be_kept_is_deleted():
    step = decide(save(COPYING, most_gb=1.5), Looked(image()), T0 + 5)
    assert (why(step.save.state), step.effects) == ("save-too-large", (Discard(IMAGE_ID),))


def test_a_copy_that_takes_too_long_is_given_up():
    assert why(state_after(save(COPYING), Tick(), now=T0 + 3001)) == "save-slow"


@pytest.mark.parametrize("name", ["save-stopped", "save-cancelled", "save-interrupted"])
@pytest.mark.parametrize("state", [Asked(T0), Copying(T0), COPYING, CHECKING])
def test_a_save_that_is_dropped_leaves_nothing(state: State, name: str):
    step = decide(save(state), Dropped(failure(name)), T0 + 1)
    assert why(step.save.state) == name
    assert step.effects == ((Discard(IMAGE_ID),) if state in (COPYING, CHECKING) else ())


def test_an_image_that_comes_into_being_after_its_save_was_dropped_goes_away_again():
    dropped = decide(save(Copying(T0)), Dropped(failure("save-stopped")), T0 + 1).save
    late = decide(dropped, Begun(IMAGE_ID), T0 + 2)
    assert late.effects == (Discard(IMAGE_ID),)
    assert why(late.save.state) == "save-stopped"


def test_a_refused_copy_says_why():
    assert why(state_after(save(Copying(T0)), Refused(failure("save-busy")))) == "save-busy"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Conflict(), "save-busy"),
        (QuotaExceeded(), "save-quota"),
        (Unreachable(), "unreachable"),
        (SignInFailed(), "sign-in"),
        (BadRequest(), "save-refused"),
    ],
)
def test_each_refusal_of_the_cloud_has_a_name(error: CloudError, name: str):
    assert refusal_of(error).name == name


def test_every_failure_of_a_save_says_a_sentence_and_tells_of_no_start():
    of_saves = [each for name, each in FAILURES.items() if name.startswith("save-")]
    assert len(of_saves) == 11
    for each in of_saves:
        assert each.sentence.endswith(".")
        assert "start of" not in each.sentence


def test_any_sighting_in_any_state_gives_a_step_and_what_is_over_stays_so():
    states = [Asked(T0), Copying(T0), Copying(T0, unsure=True), COPYING, CHECKING, SETTLED, Ready(T0, IMAGE_ID)]
    states.append(Failed(T0, failure("save-slow"), IMAGE_ID))
    sightings = [
        QUIET,
        LOUD,
        Begun(IMAGE_ID),
        Refused(failure("save-busy")),
        Unanswered(),
        Looked(None),
        Looked(image()),
    ]
    sightings += [Sealed(), Dropped(failure("save-stopped")), Tick()]
    for state, sighting, later in itertools.product(states, sightings, (1, 100, 10_000)):
        before = save(state)
        after = decide(before, sighting, T0 + later).save
        if before.over:
            assert after.over
        assert replace(after, state=before.state) == before
