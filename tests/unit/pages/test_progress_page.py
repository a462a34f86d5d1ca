"""The progress page and the page of a stopping server: their links belong to this very server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from .rendering import HOSTILE, Page, render


def pending(name: str = "", display_name: str = "") -> Page:
    return render(
        "spawn_pending.html",
        spawner=SimpleNamespace(name=name, display_name=display_name),
        progress_url="/hub/api/users/alice/server/progress?_xsrf=token",
    )


@pytest.mark.parametrize(
    ("server", "stop_url", "again_url"),
    [
        ("", "/hub/api/users/alice/server", "/hub/spawn/alice"),
        ("gpu-box", "/hub/api/users/alice/servers/gpu-box", "/hub/spawn/alice/gpu-box"),
    ],
)
def test_stop_and_choose_again_mean_this_server(server, stop_url, again_url):
    page = pending(server)
    assert page.by_id("js2-progress")["data-stop-url"] == stop_url
    assert page.one("a", href=again_url).text == "Choose again"


def test_the_script_gets_the_stream_and_the_token_as_data():
    main = pending().by_id("js2-progress")
    assert main["data-progress-url"] == "/hub/api/users/alice/server/progress?_xsrf=token"
    assert main["data-xsrf"] == "token"


def test_stage_changes_are_announced_politely_and_the_failure_is_hidden_until_there_is_one():
    page = pending()
    assert page.by_id("js2-live")["aria-live"] == "polite"
    assert page.by_id("js2-failure").has("hidden")


def test_without_scripts_the_page_asks_again_by_itself():
    refresh = pending().one("meta", **{"http-equiv": "refresh"})
    assert "noscript" in refresh.inside


def test_everything_the_script_draws_into_is_there():
    page = pending()
    for id in (
        "heading",
        "what",
        "elapsed",
        "sentence",
        "details",
        "retries",
        "stages",
        "stage-row",
        "note",
        "control",
        "status",
        "stop",
    ):
        page.by_id(f"js2-{id}")


def test_a_hostile_display_name_stays_words():
    page = pending("box", HOSTILE)
    assert page.all("img", src="x") == []
    assert page.by_id("js2-what").text == HOSTILE


def test_a_stopping_server_is_named_and_the_page_asks_again():
    page = render("stop_pending.html", spawner=SimpleNamespace(name="box", display_name="My Box"))
    assert page.one("strong").text == "My Box"
    assert page.one("meta", **{"http-equiv": "refresh"})["content"] == "5"
