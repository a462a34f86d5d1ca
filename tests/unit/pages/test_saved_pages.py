"""The page that saves, the list of what is saved, and saved images among the choices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from js2spawner.failures import failure
from js2spawner.options import Who
from js2spawner.saved import Allowance
from js2spawner.saves_shown import STAGES, allowance_shown, listed, save_shown
from js2spawner.saving import Asked, Checking, Copying, Failed, Ready, State
from tests.unit.saves.made import IMAGE_ID, T0, WORDS, image, save, saved
from tests.unit.saves.test_requests import CATALOG

from .rendering import HOSTILE, Page, render
from .test_home_and_lease_pages import a_spawner, home

ALICE = Who("alice", frozenset({"maps"}), admin=False, id="1-alice")
BOB = Who("bob", frozenset({"maps"}), admin=False, id="1-bob")


def shown(state: State, seconds: dict[str, float] | None = None, now: float = T0 + 30) -> dict[str, Any]:
    return save_shown(save(state), seconds or {}, lambda _: None, now)


def save_page(told: dict[str, Any] | None = None, why_not: str = "", **words: str) -> Page:
    return render(
        "save.html",
        server_name="",
        server_path="alice",
        told={"title": "", "note": "", "problem": "", **words},
        limits={"title": 60, "note": 240},
        save=told,
        why_not=why_not,
        allowance=allowance_shown(Allowance(3, 40, share=True, freezers=()), [1.5]),
    )


def list_page(*kept: Any, viewer: Who = ALICE, groups: tuple[str, ...] = ("maps",)) -> Page:
    lists = listed(list(kept), CATALOG, viewer, viewer)
    return render("saved.html", owner="alice", under_way=[], groups=list(groups), problem="", **lists)


def test_before_a_save_the_page_says_what_goes_in_and_what_does_not_and_asks_for_a_name():
    page = save_page()
    assert page.unclosed == []
    form = page.one("form", id="js2-save-form")
    assert "history of" in form.text
    assert "its token" in form.text
    assert "you have 1, 1.5 GB" in " ".join(form.text.split())
    for name in ("title", "note"):
        assert page.one("label", **{"for": f"js2-{name}"}).text.split()[0] in ("Name", "Note")
    assert page.by_id("js2-title").has("required")


def test_what_was_typed_and_refused_is_shown_again_as_words():
    page = save_page(title=HOSTILE, problem=HOSTILE)
    assert page.by_id("js2-title")["value"] == HOSTILE
    assert page.by_id("js2-problem").text == HOSTILE
    assert page.all("img", src="x") == []


@pytest.mark.parametrize(
    ("state", "seconds", "states"),
    [
        (Asked(T0), {}, ["begun", "waiting", "waiting"]),
        (Copying(T0), {"save-prepare": 9.0}, ["done", "begun", "waiting"]),
        (Checking(T0, image()), {"save-prepare": 9.0, "save-copy": 20.0}, ["done", "done", "begun"]),
        (Ready(T0, IMAGE_ID), dict.fromkeys(STAGES, 3.0), ["done", "done", "done"]),
        (Failed(T0, failure("save-slow")), {"save-prepare": 9.0, "save-copy": 20.0}, ["done", "failed", "waiting"]),
    ],
)  # fmt: skip
def test_the_stages_are_those_of_the_save(state: State, seconds: dict[str, float], states: list[str]):
    told = shown(state, seconds)
    assert [each["state"] for each in told["stages"]] == states
    page = save_page(told)
    assert [each["data-state"] for each in page.all("li") if each.has("data-stage")] == states
    assert page.unclosed == []


def test_while_a_save_is_under_way_it_can_be_given_up_and_no_other_be_begun():
    page = save_page(shown(Copying(T0), {"save-prepare": 9.0}))
    assert page.all("form", id="js2-save-form") == []
    assert not page.by_id("js2-while-saving").has("hidden")
    assert page.by_id("js2-give-up").text == "Stop saving"


def test_a_failed_save_says_what_what_to_do_and_its_name():
    page = save_page(shown(Failed(T0, failure("save-interrupted")), {"save-prepare": 1.0}))
    told = page.by_id("js2-outcome").text
    assert "cannot be trusted and was deleted" in told
    assert "Save it again" in told
    assert "save-interrupted" in told


def test_where_nothing_can_be_saved_the_page_says_why_and_has_no_form():
    page = save_page(why_not="You may keep 1 saved image, and you have 1. Delete one first.")
    assert page.all("form", id="js2-save-form") == []
    assert "Delete one first" in page.one("p", **{"class": "js2-note"}).text


def test_a_list_shows_what_may_be_done_with_each():
    page = list_page(saved(region="here"))
    assert page.unclosed == []
    assert [each["data-do"] for each in page.all("button") if each.has("data-do")] == ["delete"]
    assert page.one("select", **{"data-do": "share"})
    assert page.one("label", **{"for": "js2-group-1"})
    assert page.one("a", href=f"/hub/spawn/alice#saved:{IMAGE_ID}")


def test_a_host_may_freeze_what_is_shared_and_a_frozen_one_can_only_be_thawed():
    host = Who("alice", frozenset({"maps", "instructors"}), admin=False, id="1-alice")
    shared = list_page(saved(region="here", group="maps"), viewer=host)
    assert [each["data-do"] for each in shared.all("button") if each.has("data-do")] == ["freeze", "delete"]
    frozen = list_page(saved(region="here", group="maps", frozen=True), viewer=host)
    assert [each["data-do"] for each in frozen.all("button") if each.has("data-do")] == ["thaw"]
    assert frozen.all("select") == []


def test_what_others_share_can_be_started_and_nothing_else():
    page = list_page(saved(region="here", group="maps"), viewer=BOB)
    assert [each for each in page.all("button") if each.has("data-do")] == []
    assert "Start only what you trust" in page.one("main").text


def test_what_a_removed_user_left_is_on_the_page_of_that_name_for_admins_only():
    left = [saved(replace(WORDS, owner_id="0-alice"), region="here")]
    admin = Who("root", frozenset(), admin=True, id="1-root")
    assert [each["id"] for each in listed(left, CATALOG, ALICE, admin)["mine"]] == [IMAGE_ID]
    assert listed(left, CATALOG, ALICE, ALICE) == {"mine": [], "shared": []}


def test_names_and_notes_of_others_stay_words():
    page = list_page(saved(replace(WORDS, title=HOSTILE, note=HOSTILE), region="here", group="maps"), viewer=BOB)
    assert page.all("img", src="x") == []
    assert page.one("h3").text == HOSTILE


def test_the_home_page_offers_to_save_where_that_is_allowed_and_says_when_it_happens():
    allowed = Allowance(3, 40, share=True, freezers=())
    running = a_spawner(active=True, ready=True, allowance=allowed, saving=None, image_shown="My course")
    page = home(running)
    assert "as an image" in page.one("a", href="/hub/js2/save/alice").text
    assert "My course on m3.quad" in page.one("tbody").text
    assert not page.one("tr", data_title="Default server").has("data-saving")
    busy = home(a_spawner(active=True, ready=True, allowance=allowed, saving=save()))
    assert busy.one("tr", data_title="Default server").has("data-saving")
    forbidden = home(a_spawner(active=True, ready=True, allowance=Allowance(0, 0, share=False, freezers=())))
    assert forbidden.all("a", href="/hub/js2/save/alice") == []
