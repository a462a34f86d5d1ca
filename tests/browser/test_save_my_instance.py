"""Somebody saves her instance, shares it, and freezes it; another starts it and finds what was in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import LOAD_MS, Person
from tests.browser.whole import Hub, Pieces, until

pytestmark = pytest.mark.browser

TITLE = "Maps <b>course</b>"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Pieces(tmp_path_factory.mktemp("save"), "ada,sara,gus") as running:
        for group, members in {"maps": ["sara", "gus"], "instructors": ["sara"]}.items():
            running.rest("POST", f"/groups/{group}")
            for name in members:
                running.rest("POST", f"/users/{name}")
            running.rest("POST", f"/groups/{group}/users", {"users": members})
        yield running


def saves(person: Person, title: str, note: str) -> None:
    """From the home page, by keyboard, until it is saved."""
    page = person.goes_to("/hub/home")
    person.row("Default server").get_by_role("link", name=re.compile("Save")).press("Enter")
    page.get_by_label("Name").fill(title)
    page.get_by_label("Note").fill(note)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Saving your server")).to_be_visible()
    expect(page.locator('[data-stage="save-prepare"]')).to_have_attribute("data-state", re.compile("begun|done"))
    expect(page.get_by_role("heading", name="Saved", exact=True)).to_be_visible(timeout=LOAD_MS)
    expect(page.locator("#js2-outcome")).to_contain_text("You find it among your choices")


def says_yes(page: Page) -> None:
    page.once("dialog", lambda dialog: dialog.accept())


def test_an_instance_is_saved_shared_started_by_another_frozen_and_deleted(hub: Hub, person: Callable[[str], Person]):
    sara, gus = person("sara"), person("gus")
    sara.starts()
    (hub.home("sara") / "map.txt").write_text("here be dragons")
    saves(sara, TITLE, "with the <i>data</i>")

    page = sara.goes_to("/hub/js2/saved/sara")
    card = page.locator(".js2-saved")
    expect(card.get_by_role("heading")).to_have_text(TITLE)
    expect(card).to_contain_text("with the <i>data</i>")
    says_yes(page)
    card.get_by_label("Share with").select_option("maps")
    expect(card).to_contain_text("shared with maps")

    page = gus.goes_to("/hub/spawn/gus")
    expect(page.locator(".js2-card", has_text=TITLE)).to_contain_text("shared by sara")
    page.get_by_label(TITLE).check()
    page.click("#js2-start")
    gus.sees_lab()
    until(lambda: gus.file("map.txt") == "here be dragons", "gus finds what sara had")
    gus.opens_notebook()
    assert gus.computes("import getpass, os; print(getpass.getuser(), os.path.expanduser('~'))").endswith(
        "gus /home/gus"
    )

    page = sara.goes_to("/hub/js2/saved/sara")
    says_yes(page)
    card.get_by_role("button", name="Freeze for maps").click()
    expect(card).to_contain_text("frozen for maps")
    expect(card.get_by_role("button", name="Delete")).to_have_count(0)
    card.get_by_role("button", name="Thaw").click()
    says_yes(page)
    card.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)
    until(lambda: not [i for i in hub.cloud.image.images() if i.name.startswith("js2-saved")], "the image is gone")
    for each in (sara, gus):
        each.stops()
