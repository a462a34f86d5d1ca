"""What people see of homes, prices, the line, the shelf and an end that comes near: in a browser, on a whole hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.people import LOAD_MS, Person
from tests.browser.whole import Pieces, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CATALOG = Path(__file__).with_name("catalog.servers.yaml")
SHELVED_WITHIN_S = 60


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pieces]:
    quicker = ("--Js2Fleet.report_interval_s=1",)
    environment = {"JS2_CATALOG": str(CATALOG)}
    with Pieces(
        tmp_path_factory.mktemp("seen"),
        "ada,ben,carl",
        boot_seconds=1,
        hub_options=quicker,
        hub_environment=environment,
    ) as running:
        yield running


def test_what_loses_files_or_costs_much_is_said_and_confirmed_before_anything_starts(
    hub: Pieces, person: Callable[[str], Person]
):
    ben = person("ben")
    page = ben.goes_to("/hub/spawn")
    known, price = page.get_by_label("I know that all files"), page.get_by_label("Yes, at that price")
    expect(known).to_be_hidden()
    page.get_by_label("Start without my home").check()
    page.click("#js2-start")
    expect(known).to_be_focused()
    expect(page.locator("#js2-summary")).to_contain_text("all files are deleted at its end")

    page.get_by_label("Start without my home").uncheck()
    expect(known).to_be_hidden()
    page.get_by_label("Medium").check()
    expect(page.locator("#js2-confirm-about")).to_contain_text("Medium costs 8 SU for each hour")
    page.click("#js2-start")
    expect(price).to_be_focused()
    price.check()
    page.get_by_label("Small").check()
    expect(price).to_be_hidden()
    page.get_by_label("A taste").check()
    expect(known).to_be_visible()
    expect(page.get_by_label("Start without my home")).to_be_hidden()
    assert hub.instances() == []


def test_without_scripts_the_hub_asks_for_the_price_with_the_choice_kept(hub: Pieces, person: Callable[[str], Person]):
    asked = {"image": "kept", "flavor": "m3.medium"}
    hub.rest("POST", "/users/ben")
    answer = hub.rest("POST", "/users/ben/server", asked)
    assert answer.status_code == 400
    assert "Medium costs 8 SU for each hour" in answer.json()["message"]
    assert hub.instances() == []


def test_before_an_end_every_page_says_what_stays_and_what_each_way_costs(hub: Pieces, person: Callable[[str], Person]):
    ben = person("ben")
    ben.starts("ending", "m3.small")
    warning = "It is then put on the shelf as it is. It costs 2 SU an hour."
    until(lambda: _warned(ben, warning), "JupyterLab warns", LOAD_MS / 1000)
    expect(ben.page.locator(".js2-figures")).to_contain_text("Home 0.")
    page = ben.goes_to("/hub/home")
    expect(page.locator("#js2-lease-text")).to_contain_text("put on the shelf")
    page = ben.goes_to("/hub/js2/lease/ben")
    expect(page.locator(".js2-then")).to_contain_text("Your home stays, too.")
    expect(page.locator(".js2-ways li")).to_have_text(
        [re.compile(r"Keep it running\s+2 SU per hour"), re.compile("On the shelf"), re.compile("Deleted")]
    )


def test_a_server_is_shelved_on_the_list_and_brought_back_with_one_click_on_the_home_page(
    hub: Pieces, person: Callable[[str], Person]
):
    ben = person("ben")
    page = ben.goes_to("/hub/js2/servers")
    row = page.locator("tr[data-key^='ben/']")
    expect(row).to_have_attribute("data-state", "running")
    expect(row).to_contain_text("2 SU per hour now")
    expect(page.locator(".js2-limit")).to_have_text("You have 1 of 3 servers that you may have at once.")
    (before,) = hub.instances("ben")
    row.get_by_role("button", name="Stop and shelve").click()
    until(lambda: hub.instances("ben")[0].status == "SHELVED_OFFLOADED", "it is on the shelf", SHELVED_WITHIN_S)
    expect(page.locator("tr[data-state='shelved']")).to_contain_text("0 SU per hour now", timeout=LOAD_MS)

    page = ben.goes_to("/hub/home")
    expect(ben.row("Default server")).to_contain_text("on the shelf")
    ben.row("Default server").get_by_role("button", name="Bring it back").click()
    ben.sees_lab()
    assert [each.id for each in hub.instances("ben")] == [before.id]


def test_a_place_in_the_line_says_what_is_free_instead_outlives_the_hub_and_ends_in_a_start(
    hub: Pieces, person: Callable[[str], Person]
):
    hub.control("PUT", "/capacity", {"m3.small": 1})
    carl = person("carl")
    carl.chooses("kept", "m3.small")
    place = carl.page.locator("#js2-place")
    expect(place).to_contain_text("of 1 who wait for room for Small in Here", timeout=LOAD_MS)
    expect(place.get_by_role("button", name="Tiny in Here")).to_be_visible()
    expect(carl.page.get_by_role("heading", name="Waiting in the line")).to_be_visible()

    hub.kill_hub()
    hub.start_hub()
    until(lambda: hub.server_model("carl").get("pending") == "spawn", "the page took the place again", LOAD_MS / 1000)
    expect(place).to_contain_text("of 1 who wait", timeout=LOAD_MS)

    admin = person("ada")
    row = "tr[data-key^='carl/']"
    # The page that came back asks for the start; its place in the line is taken a moment later.
    until(lambda: admin.goes_to("/hub/js2/servers?q=line").locator(row).count(), "carl is listed as waiting")
    expect(admin.page.locator(row)).to_contain_text("number 1 of 1")
    person("ben").stops()
    carl.sees_lab()
    assert len(hub.instances("carl")) == 1


def test_what_is_free_instead_leads_to_the_choice_with_it_picked(hub: Pieces, person: Callable[[str], Person]):
    ben = person("ben")
    ben.chooses("kept", "m3.small", "second")
    ben.page.get_by_role("button", name="Tiny in Here").click(timeout=LOAD_MS)
    ben.page.wait_for_url(re.compile("/hub/spawn/ben/second"))
    expect(ben.page.locator("input[name=flavor]:checked")).to_have_value("m3.tiny")
    until(lambda: hub.server_model("ben", "second") == {}, "ben left the line")


def _warned(ben: Person, warning: str) -> bool:
    """Whether JupyterLab warns, once it has looked: it does so when it comes to the front, too."""
    ben.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    return bool(ben.page.get_by_text(warning).count())
