"""What a reader sees when a server did not start, or is not running."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.failures import FAILURES
from js2spawner.remedies import _FOR, remedies
from js2spawner.servers_actions import ACTIONS

from .rendering import HOSTILE, Page, render, user

OPERATOR = {"admin-ui": None}


def not_running(**context: Any) -> Page:
    return render("not_running.html", **({"server_name": "", "spawn_url": "/hub/spawn/alice"} | context))


def failure(**changes: Any) -> Page:
    context: dict[str, Any] = {
        "name": "capacity",
        "sentence": "The cloud has no room for this flavor right now.",
        "remedy": "Choose a smaller flavor.",
        "attempts": [{"number": 1, "why": "The build failed."}, {"number": 2, "why": "No room."}],
        "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }
    return render("failure.html", **(context | changes))


def test_a_failure_tells_sentence_remedy_attempts_name_and_time():
    page = failure()
    assert [p.text for p in page.all("p")][:2] == [
        "The cloud has no room for this flavor right now.",
        "Choose a smaller flavor.",
    ]
    assert [(li["value"], li.text) for li in page.all("li")] == [("1", "The build failed."), ("2", "No room.")]
    assert page.one("code").text == "capacity"
    assert page.one("time")["datetime"] == "2026-01-02T03:04:00+00:00"


def test_a_failure_before_any_attempt_lists_none():
    assert failure(attempts=[]).all("details") == []


def test_a_hostile_failure_stays_words():
    page = failure(name=HOSTILE, sentence=HOSTILE, remedy=HOSTILE, attempts=[{"number": 1, "why": HOSTILE}])
    assert page.all("script") + page.all("img") == []
    assert page.one("li").text == HOSTILE


def test_choose_again_leads_to_the_form_of_this_server():
    page = not_running(failed=True, failed_message="No room.", server_name="box", spawn_url="/hub/spawn/alice/box")
    assert page.by_id("start")["href"] == "/hub/spawn/alice/box"
    assert page.by_id("start").text == "Choose again"
    assert "“box”" in page.one("h1").text


def test_the_html_of_a_failure_wins_over_its_plain_words():
    page = not_running(failed=True, failed_message="plain", failed_html_message=failure().html)
    assert "plain" not in page.one(role="alert").text
    assert "Choose a smaller flavor." in page.one(role="alert").text


def test_plain_words_of_a_failure_are_escaped():
    assert not_running(failed=True, failed_message=HOSTILE).one(role="alert").text.strip() == HOSTILE


def test_the_sentence_of_a_spawn_exception_is_found_when_the_hub_hands_over_none():
    exception = SimpleNamespace(message="No room.", message_html="")
    assert (
        not_running(failed=True, failed_message=None, exception=exception).one(role="alert").text.strip() == "No room."
    )


def test_an_unexpected_error_shows_nothing_of_its_insides():
    page = not_running(failed=True, failed_message=None, exception=SimpleNamespace(message="secret path"))
    assert "secret path" not in page.html
    assert "does not know why" in page.one(role="alert").text


@pytest.mark.parametrize(("scopes", "shown"), [(OPERATOR, 1), ({}, 0)])
def test_the_console_log_is_offered_to_operators_only(scopes, shown):
    page = not_running(failed=True, failed_message="No room.", server_name="box", parsed_scopes=scopes)
    assert len(page.all("details", id="js2-console")) == shown
    assert ("/hub/js2/console/alice/box" in page.html) == bool(shown)


def test_a_server_that_is_just_not_running_is_no_failure():
    page = not_running()
    assert page.all(role="alert") == []
    assert page.by_id("start").text == "Start it"


def failed_with(name: str) -> Page:
    alice = user()
    alice.spawners = {"box": SimpleNamespace(remedies=remedies(name))}
    return not_running(failed=True, failed_message="x", server_name="box", spawn_url="/hub/spawn/alice/box", user=alice)


def test_a_home_that_is_in_use_leads_to_the_servers_and_to_a_start_without_it():
    page = failed_with("home-busy")
    assert page.one("a", href="/hub/js2/servers?mine=1")
    assert page.one("a", href="/hub/spawn/alice/box#home=none").text == "Start without my home"


def test_what_may_help_when_done_again_is_a_button_with_the_token():
    page = failed_with("shelved")
    assert page.one("button", name="do").text == "Bring it back"
    assert page.one("form", action="/hub/js2/servers/alice/box")["method"] == "post"
    assert page.one("input", name="_xsrf")["value"] == "token"


def test_a_failure_without_a_remedy_of_its_own_has_only_choosing_again():
    assert failed_with("boot-silent").all("form") == []


@pytest.mark.parametrize("name", sorted(name for name in FAILURES if remedies(name)))
def test_every_remedy_leads_somewhere(name):
    for remedy in remedies(name):
        assert [bool(remedy.form), bool(remedy.do), remedy.servers].count(True) == 1
        assert remedy.do in ("", *ACTIONS)


def test_remedies_are_for_failures_that_exist():
    assert [name for name in _FOR if name not in FAILURES] == []


def test_a_place_that_is_kept_after_a_restart_of_the_hub_is_offered_where_nothing_runs():
    page = not_running(server_name="box")
    assert page.by_id("js2-kept-place").has("hidden")
    assert page.by_id("js2-kept-place")["data-url"] == "/hub/js2/place/alice/box"
    assert page.by_id("js2-take-again")["data-start"] == "/hub/api/users/alice/servers/box"


def test_an_error_page_says_what_the_hub_said():
    page = render("error.html", status_code=429, status_message="Too Many Requests", message=HOSTILE)
    assert page.one("h1").text == "429: Too Many Requests"
    assert HOSTILE in page.one(role="alert").text


def test_an_error_without_a_name_is_its_number():
    assert render("error.html", status_code=404, status_message=None).one("h1").text == "404"
