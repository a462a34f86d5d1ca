"""Takes the pictures of the documentation from a demo of its own: `.venv/bin/python tools/pictures.py`.

They show the real pages in Debian's Chromium; look at them before you commit them. With a name (`library`, `saves`,
`servers`) only those.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from js2spawner.library.builds import Builds
from js2spawner.library.describing import described
from js2spawner.library.inventorying import record
from js2spawner.library.reading import names, read
from tests.browser.people import LOAD_MS, Person, launch
from tests.browser.whole import Demo, Pieces, until

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 1}


def main(only: str = "") -> None:
    """One start from the choice to the notebook, one that fails, and the lease; the library; what is saved."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="js2-pictures-") as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        if only in ("", "servers"):
            _many_servers(browser, Path(folder) / "servers")
        if only == "servers":
            return
        with Demo(Path(folder), "alice,bob", boot_seconds=6) as hub:
            if only == "saves":
                _the_saves(browser, hub)
                return
            if only != "library":
                _a_start(browser, hub)
                _a_failure(browser, hub)
            _the_library(browser, hub)
            if not only:
                _the_saves(browser, hub)
        browser.close()


def _a_start(browser: Browser, hub: Demo) -> None:
    alice = Person(browser, hub, "alice")
    alice.signs_in()
    # Once before, so that the pictures show what a start usually takes.
    alice.starts()
    alice.stops()
    _the_choice(browser, hub, "choice", viewport={"width": 1180, "height": 1330}, device_scale_factor=0.9)
    _the_choice(browser, hub, "choice-phone-dark", **PHONE)

    alice.chooses()
    booting = alice.page.locator('.js2-stage[data-state="begun"]', has_text="Starting its system")
    expect(booting.locator(".js2-stage-time")).to_have_text("3 s", timeout=20_000)
    _take(alice, "progress", height=660)
    alice.sees_lab()
    # JupyterLab asks everybody once whether they want its news.
    alice.page.get_by_role("button", name="No", exact=True).click()
    alice.opens_notebook()
    alice.computes("import os, pwd\nprint('Hello from', pwd.getpwuid(os.getuid()).pw_name, 'on', os.uname().nodename)")
    alice.computes("[n for n in range(2, 60) if all(n % divisor for divisor in range(2, n))]")
    _take(alice, "notebook", height=560)
    alice.goes_to("/hub/js2/lease/alice")
    _take(alice, "lease", height=300)
    alice.goes_to("/hub/home")
    _take(alice, "home", height=400)
    alice.stops()


def _the_choice(browser: Browser, hub: Demo, name: str, **look: Any) -> None:
    """As somebody sees it who may not use everything."""
    bob = Person(browser, hub, "bob", **look)
    bob.signs_in()
    bob.goes_to("/hub/spawn")
    expect(bob.page.locator("#js2-summary")).to_contain_text("usually")
    _take(bob, name)
    bob.leave()


def _a_failure(browser: Browser, hub: Demo) -> None:
    hub.control("PUT", "/capacity", {"m3.small": 0})
    bob = Person(browser, hub, "bob")
    bob.signs_in()
    bob.chooses(flavor="m3.small")
    bob.page.get_by_role("link", name="What happened").click()
    expect(bob.page.locator(".js2-failure")).to_be_visible()
    _take(bob, "failure", height=440)


def _the_library(browser: Browser, hub: Demo) -> None:
    """As it is when some starts have been seen; the lists are of images built on this machine, where there are any."""
    _say_what_was_built(hub)
    alice = Person(browser, hub, "alice")
    alice.signs_in()
    for image, flavor in (("minimal", "m3.tiny"), ("scientific", "m3.small"), ("scientific", "m3.quad")):
        alice.starts(image, flavor)
        alice.stops()
    alice.leave()
    for name, asked, look in (
        ("library", "", {"viewport": {"width": 1180, "height": 1080}, "device_scale_factor": 0.9}),
        ("library-found", "jupyter", {"viewport": {"width": 1180, "height": 900}, "device_scale_factor": 0.9}),
        ("library-phone-dark", "jupyterlab", PHONE),
    ):
        bob = Person(browser, hub, "bob", **look)
        bob.signs_in()
        page = bob.goes_to("/hub/js2/library")
        if asked:
            page.get_by_label("Find a package").press_sequentially(asked)
            expect(page.locator("#js2-hits > li").first).to_be_visible()
        _take(bob, name)
        bob.leave()


def _the_saves(browser: Browser, hub: Demo) -> None:
    """An instance saved twice, so that the second tells what it usually takes; the list as its owner has it."""
    hub.rest("POST", "/groups/maps")
    hub.rest("POST", "/groups/maps/users", {"users": ["alice"]})
    hub.control("PUT", "/latencies", {"phases": {"snapshot": 2.0}})
    alice = Person(browser, hub, "alice")
    alice.signs_in()
    alice.starts()
    page = alice.page
    for title, note in (
        ("Maps course", "Cartopy, the coast lines, the first two notebooks"),
        ("Half-way in chapter 3", ""),
    ):
        alice.goes_to("/hub/js2/save/alice")
        if page.locator(".js2-again").count():
            page.locator(".js2-again summary").click()
        else:
            _take(alice, "save-form", height=740)
        page.get_by_label("Name").fill(title)
        page.get_by_label("Note").fill(note)
        page.keyboard.press("Enter")
        expect(page.locator('[data-stage="save-copy"] .js2-stage-time')).to_have_text("3 s", timeout=60_000)
        _take(alice, "save-progress", height=700)
        expect(page.get_by_role("heading", name="Saved", exact=True)).to_be_visible(timeout=60_000)
    alice.goes_to("/hub/js2/saved/alice")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("listitem", name="Maps course").get_by_label("Share with").select_option("maps")
    expect(page.locator(".js2-badge")).to_have_text("shared with maps")
    _take(alice, "save-list", height=700)
    phone = Person(browser, hub, "alice", **PHONE)
    phone.signs_in()
    phone.goes_to("/hub/js2/saved/alice")
    _take(phone, "save-list-phone-dark")
    for each in (phone, alice):
        each.leave()


def _many_servers(browser: Browser, folder: Path) -> None:
    """The terms on the choice page, a place in the line, the list of servers, the warning before an end."""
    options = ("--Js2Fleet.report_interval_s=1",)
    catalog = {"JS2_CATALOG": str(ROOT / "tools" / "pictures.catalog.yaml")}
    with Pieces(folder, "alice,bob,carol", boot_seconds=1, hub_options=options, hub_environment=catalog) as hub:
        alice = Person(browser, hub, "alice")
        alice.signs_in()
        alice.starts("gpu", "g3.large")
        until(lambda: "Home" in alice.page.locator(".js2-figures").inner_text(), "JupyterLab shows its figures", 60)
        _take(alice, "notebook-figures", height=620)
        alice.goes_to("/hub/js2/lease/alice")
        _take(alice, "lease-warning", height=720)
        _a_choice_with_terms(browser, hub)
        _a_shelf_and_more(alice)
        _a_line(browser, hub)
        alice.asks_for("gpu", "g3.xl", "late", without_home=True)
        expect(alice.page.locator("#js2-place")).to_be_visible(timeout=LOAD_MS)
        page = alice.goes_to("/hub/js2/servers?mine=1")
        expect(page.locator('tr[data-state="shelved"]')).to_be_visible(timeout=LOAD_MS)
        _take(alice, "servers", height=860)
        phone = Person(browser, hub, "alice", **PHONE)
        phone.signs_in()
        phone.goes_to("/hub/js2/servers?mine=1")
        _take(phone, "servers-phone-dark")
        for each in (phone, alice):
            each.leave()


def _a_choice_with_terms(browser: Browser, hub: Pieces) -> None:
    carol = Person(browser, hub, "carol", viewport={"width": 1180, "height": 1500}, device_scale_factor=0.9)
    carol.signs_in()
    page = carol.goes_to("/hub/spawn")
    page.get_by_label("GPU Python").check()
    page.get_by_label("Whole A100").check()
    page.locator("#js2-start").scroll_into_view_if_needed()
    carol.page.screenshot(path=PICTURES / "choice-terms.png", animations="disabled", full_page=True)
    carol.leave()


def _a_shelf_and_more(alice: Person) -> None:
    """One server on the shelf, one that only just started, beside the one that runs."""
    for name in ("thesis", "quick"):
        alice.asks_for("minimal", "m3.small", name, without_home=True)
        alice.page.wait_for_url("**/user/alice/**", timeout=LOAD_MS)
    page = alice.goes_to("/hub/js2/servers?mine=1")
    page.locator("tr[data-key^='alice/thesis/']").get_by_role("button", name="Shelve").click()


def _a_line(browser: Browser, hub: Pieces) -> None:
    """Two who wait for the card that a third one has."""
    for name in ("bob", "carol"):
        person = Person(browser, hub, name)
        person.signs_in()
        person.chooses("gpu", "g3.xl")
        if name == "carol":
            expect(person.page.locator("#js2-place")).to_be_visible(timeout=LOAD_MS)
            _take(person, "line", height=560)
        person.leave()


def _say_what_was_built(hub: Demo) -> None:
    """Let the demo's images say what publishing the newest builds here would let them say."""
    builds, glance = Builds(ROOT / ".images"), hub.connection(hub.admin).image
    for name in names(ROOT / "images"):
        image, build = glance.find_image(f"js2-{name}"), builds.newest(name)
        if image is not None and build is not None:
            software = record.read(builds.place(build) / record.NAME)
            glance.update_image(image, **described(read(ROOT / "images", name), build, software))


def _take(person: Person, name: str, height: int = 0) -> None:
    """`height`: of what is worth seeing, in pixels; by default the whole window."""
    if height:
        person.page.set_viewport_size({"width": 1180, "height": height})
    person.page.screenshot(path=PICTURES / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    main(*sys.argv[1:2])
