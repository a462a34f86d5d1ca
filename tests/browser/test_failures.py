"""Starts that fail: what happened, why it is tried again, what to do, and the choices kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.people import Person
from tests.browser.whole import Hub, Pieces, until

pytestmark = pytest.mark.browser

SILENT = "The instance was built, but its system never reported to the hub."
# Three attempts of which each boots, stays silent until its deadline and is deleted.
FAILED_WITHIN_MS = 90_000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    impatient = ("--Js2Fleet.deadlines=boot_s=5",)
    with Pieces(tmp_path_factory.mktemp("failures"), "ada,ben", boot_seconds=1, hub_options=impatient) as running:
        yield running


def test_no_room_is_a_place_in_the_line_and_choosing_again_keeps_the_choices(hub: Hub, person: Callable[[str], Person]):
    hub.control("PUT", "/capacity", {"m3.quad": 0})
    ben = person("ben")
    ben.chooses("scientific", "m3.quad")
    expect(ben.page.locator("#js2-place")).to_contain_text("of 1 who wait for room for", timeout=30_000)
    ben.page.get_by_role("button", name="Leave the line").click()
    ben.page.wait_for_url("**/hub/home")

    ben.goes_to("/hub/spawn/ben")
    expect(ben.page.locator("input[name=image]:checked")).to_have_value("scientific")
    expect(ben.page.locator("input[name=flavor]:checked")).to_have_value("m3.quad")
    expect(ben.page.locator('[data-flavor="m3.quad"]')).to_contain_text("The cloud had no room for it")
    until(lambda: hub.instances("ben") == [] and hub.ports() == [], "nothing is left of it in the cloud")


def test_a_silent_instance_is_replaced_with_its_reason_and_its_console_is_for_admins(
    hub: Hub, person: Callable[[str], Person]
):
    hub.fault("dead guest", server="js2-*", effect={"guest": "dead"})
    admin, ben = person("ada"), person("ben")
    for each in (admin, ben):
        each.chooses()
    for each in (admin, ben):
        retries = each.page.locator("#js2-retries li")
        expect(retries.first).to_have_text(f"Attempt 1 did not work: {SILENT}", timeout=FAILED_WITHIN_MS)
        expect(each.page.locator("#js2-sentence")).to_contain_text(SILENT, timeout=FAILED_WITHIN_MS)

    for each in (admin, ben):
        each.page.click("#js2-details")
        expect(each.page.locator(".js2-failure")).to_contain_text("3 attempts made")
    expect(ben.page.locator("#js2-console")).to_have_count(0)
    answer = ben.page.request.get(f"{hub.address}/hub/js2/console/ben")
    assert answer.status in (403, 404)

    admin.page.locator("#js2-console summary").click()
    expect(admin.page.locator("#js2-console pre")).to_contain_text("Started js2-guest.service")
    until(lambda: hub.instances() == [] and hub.ports() == [], "nothing is left of it in the cloud")


def test_the_next_start_works(hub: Hub, person: Callable[[str], Person]):
    hub.control("DELETE", "/faults")
    person("ben").starts()
    assert len(hub.instances()) == 1
