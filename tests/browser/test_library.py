"""The library page in a browser: found by the keyboard alone, read without scripts, no wider than a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.people import Person
from tests.browser.whole import Hub, Pieces

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Pieces(tmp_path_factory.mktemp("library"), "ada,ben") as running:
        yield running


def test_a_package_is_found_while_typing_and_its_image_opened_by_the_keyboard(
    hub: Hub, person: Callable[[str], Person]
):
    page = person("ben").goes_to("/hub/spawn")
    page.get_by_role("link", name="Library").click()
    page.get_by_label("Find a package").focus()
    page.keyboard.type("jupyterh")
    hit = page.locator("#js2-hits > li", has=page.get_by_text("jupyterhub", exact=True))
    expect(hit).to_contain_text(version("jupyterhub"))
    expect(hit.get_by_role("link")).to_have_text(["JupyterLab", "Scientific Python", "GPU Python"])
    page.keyboard.type("ub-idle")
    expect(page.locator("#js2-sentence")).to_have_text("jupyterhub-idle-culler is in 3 of 3 images.")
    assert page.url.endswith("?q=jupyterhub-idle")

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#js2-image-minimal details")).to_have_attribute("open", "")


def test_a_card_of_the_choice_page_leads_to_what_is_inside(hub: Hub, person: Callable[[str], Person]):
    page = person("ben").goes_to("/hub/spawn")
    page.get_by_role("link", name="All that is inside Scientific Python").click()
    expect(page.locator("#js2-image-scientific .js2-packages")).to_be_visible()


def test_it_is_read_and_searched_without_scripts(hub: Hub, browser: Browser):
    ada = Person(browser, hub, "ada")
    ada.signs_in()
    without = browser.new_context(java_script_enabled=False, storage_state=ada.page.context.storage_state())
    try:
        page = without.new_page()
        page.goto(f"{hub.address}/hub/js2/library")
        page.fill("#js2-asked", "jupyterhub-idle")
        page.keyboard.press("Enter")
        expect(page.locator("#js2-sentence")).to_have_text("jupyterhub-idle-culler is in 4 of 4 images.")
        page.locator("#js2-image-minimal summary").click()
        expect(page.locator("#js2-image-minimal .js2-packages")).to_contain_text("jupyterhub-idle-culler")
    finally:
        without.close()
        ada.leave()


def test_nothing_is_wider_than_a_phone(hub: Hub, browser: Browser):
    phone = Person(browser, hub, "ben", viewport={"width": 360, "height": 740}, color_scheme="dark")
    try:
        phone.signs_in()
        page = phone.goes_to("/hub/js2/library?q=jupyter")
        expect(page.locator("#js2-hits > li").first).to_be_visible()
        page.locator("#js2-image-minimal summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        phone.leave()
