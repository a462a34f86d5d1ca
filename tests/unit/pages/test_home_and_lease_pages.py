"""The home page, the lease page and the sign-in page."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from .rendering import HOSTILE, Page, render, user


def a_spawner(name: str = "", **changes: Any) -> SimpleNamespace:
    state: dict[str, Any] = {
        "name": name,
        "display_name": name.title(),
        "ready": False,
        "active": False,
        "pending": None,
        "last_activity": datetime(2026, 1, 2, 3, 4),
        "user_options": {"image": "scipy", "flavor": "m3.quad"},
    }
    return SimpleNamespace(**(state | changes))


def home(default: SimpleNamespace, *named: SimpleNamespace, allow_named: bool = True) -> Page:
    alice = user()
    alice.all_spawners = lambda include_default=True: list(named)
    return render(
        "home.html",
        user=alice,
        url="/hub/spawn/alice",
        default_server=default,
        allow_named_servers=allow_named,
        named_server_limit_per_user=3,
        invalid_server_names=[],
    )


@pytest.mark.parametrize(
    ("spawner", "state", "link", "button"),
    [
        (a_spawner(), "stopped", "/hub/spawn/alice", None),
        (a_spawner(active=True, pending="spawn"), "starting", "/hub/spawn-pending/alice", "stop"),
        (a_spawner(active=True, ready=True), "running", "/user/alice/", "stop"),
        (a_spawner(active=True, ready=True, pending="check"), "running", "/user/alice/", "stop"),
        (a_spawner(active=True, pending="stop"), "stopping", "/hub/spawn-pending/alice", None),
    ],
)
def test_a_server_shows_its_state_and_what_can_be_done(spawner, state, link, button):
    page = home(spawner)
    assert page.one("span", data_state=state).text == state
    assert page.by_id("start")["href"] == link
    assert [each["data-do"] for each in page.all("button") if each.has("data-do")] == ([button] if button else [])


def test_named_servers_have_rows_with_their_own_addresses():
    page = home(a_spawner(), a_spawner("gpu-box"))
    row = page.one("tr", data_title="Gpu-Box")
    assert row["data-api"] == "/hub/api/users/alice/servers/gpu-box"
    assert row["data-lease"] == "/hub/js2/lease/alice/gpu-box"
    assert page.one("button", data_do="delete").text == "Delete Gpu-Box"


def test_the_default_server_cannot_be_deleted():
    assert home(a_spawner()).all("button", data_do="delete") == []


def test_named_servers_are_offered_only_where_the_hub_allows_them():
    assert home(a_spawner()).by_id("js2-new")
    assert home(a_spawner(), allow_named=False).all(id="js2-new") == []


def test_a_hostile_server_name_stays_words():
    page = home(a_spawner(), a_spawner("box", display_name=HOSTILE, user_options={"image": HOSTILE, "flavor": HOSTILE}))
    assert page.all("img", src="x") == []
    assert page.one("tr", data_title=HOSTILE)


def test_a_server_that_never_ran_shows_no_choice_and_no_time():
    page = home(a_spawner(user_options=None, last_activity=None))
    assert page.all("time") == []
    assert "never" in page.one("tbody").text


def lease(**changes: Any) -> Page:
    values: dict[str, Any] = {
        "server": "",
        "ends_at": "2026-01-02T03:04:00+00:00",
        "seconds_left": 480,
        "why": "idle",
        "warn": True,
        "can_extend": True,
        "extend_minutes": 60,
        "sentence": "This server stops in 8 minutes.",
    }
    return render("lease.html", lease=values | changes, server_name="box")


def test_a_lease_can_be_extended_by_a_form_without_scripts():
    page = lease()
    form = page.one("form", action="/hub/js2/lease/alice/box")
    assert form["method"] == "post"
    assert page.one("input", name="_xsrf")["value"] == "token"
    assert page.one("button", type="submit").text == "Keep it running for 60 more minutes"


def test_a_lease_at_its_limit_offers_no_button_and_says_so():
    page = lease(can_extend=False)
    assert page.all("button", type="submit") == []
    assert "cannot be extended" in page.html


def test_a_server_that_is_not_running_has_no_end_to_warn_of():
    page = lease(ends_at=None, seconds_left=None, warn=False, can_extend=False, sentence="This server is not running.")
    assert page.all("time") == []
    assert "cannot be extended" not in page.html


PARTING = {
    "then": "delete",
    "home_stays": True,
    "then_sentence": "The instance is then deleted. Your home stays.",
    "ways": [
        {"name": "on", "title": "Keep it running", "text": "All goes on.", "su_per_hour": 32},
        {"name": "delete", "title": "Deleted", "text": "Your home stays.", "su_per_hour": 0},
        {"name": "shelve", "title": "On the shelf", "text": "As it is.", "su_per_hour": 0},
    ],
}


def test_a_lease_says_what_follows_what_stays_and_what_each_way_costs():
    page = lease(then=PARTING)
    assert page.unclosed == []
    assert "Your home stays." in page.one("header", **{"class": "js2-head"}).text
    prices = [each.text for each in page.all("span") if "js2-way-price" in each.classes]
    assert prices == ["32 SU per hour", "0 SU per hour", "0 SU per hour"]
    assert page.one("form", action="/hub/js2/servers/alice/box")
    assert page.one("button", name="do")["value"] == "shelve"


def test_a_lease_of_a_server_without_a_home_says_that_everything_goes():
    page = lease(then=PARTING | {"home_stays": False, "then_sentence": "deleted with everything on it"})
    (loud,) = [each for each in page.all("p") if "is-loss" in each.classes]
    assert "everything" in loud.text


def test_what_lies_on_the_shelf_comes_back_with_one_click_and_costs_nothing_meanwhile():
    shelf = {"state_text": "on the shelf", "ends": "deleted in 13 days if not brought back"}
    page = home(a_spawner(shelf_of=lambda name: shelf if name == "box" else None), a_spawner("box"))
    assert page.unclosed == []
    (back,) = page.all("button", value="back")
    assert "form" in back.inside
    assert page.one("form", action="/hub/js2/servers/alice/box")
    row = page.one("tr", data_title="Box")
    assert "0 SU per hour" in row.text
    assert "13 days" in row.text
    assert page.all("button", data_do="delete") == []


def test_a_stop_says_when_it_shelves_and_is_asked_twice_when_it_loses_files():
    shelving = home(a_spawner(active=True, ready=True, farewell=lambda: PARTING | {"then": "shelve"}))
    assert shelving.by_id("stop").text.startswith("Stop and shelve")
    losing = home(a_spawner(active=True, ready=True, farewell=lambda: PARTING | {"home_stays": False}))
    assert losing.one("tr", data_title="Default server").has("data-loses")
    assert not shelving.one("tr", data_title="Default server").has("data-loses")


def test_the_home_page_leads_to_the_list_of_servers():
    assert home(a_spawner()).one("a", href="/hub/js2/servers?mine=1")


def sign_in(**context: Any) -> Page:
    common = {
        "authenticator": SimpleNamespace(request_otp=False),
        "authenticator_login_url": "/hub/login?next=",
        "user": None,
    }
    return render("login.html", **(common | context))


def test_signing_in_asks_for_a_name_and_a_password():
    page = sign_in(js2_sign_in={"kind": "local", "hint": HOSTILE})
    assert [label.text for label in page.all("label")] == ["User name", "Password"]
    assert page.by_id("password_input")["type"] == "password"
    assert HOSTILE in page.one("main").text


def test_a_class_signs_in_with_its_code():
    page = sign_in(js2_sign_in={"kind": "codes", "hint": ""})
    assert [label.text for label in page.all("label")] == ["Your name", "Class code"]
    assert page.by_id("password_input")["name"] == "password"


def test_an_institution_is_one_button():
    page = sign_in(js2_sign_in={"kind": "cilogon", "hint": ""}, login_service="CILogon")
    assert page.one("a", href="/hub/login?next=").text == "Sign in with CILogon"
    assert page.all("form") == []


def test_a_refused_sign_in_says_why_and_keeps_the_name():
    page = sign_in(login_error="Invalid username or password", username="alice")
    assert page.one(role="alert").text == "Invalid username or password"
    assert page.by_id("username_input")["value"] == "alice"


def test_a_hub_that_sets_no_words_of_its_own_still_has_a_sign_in():
    assert sign_in().by_id("login_submit").text == "Sign in"
