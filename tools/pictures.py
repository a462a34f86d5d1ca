"""Takes the pictures of the documentation from a demo of its own: `.venv/bin/python tools/pictures.py`.

They show the real pages in Debian's Chromium; look at them before you commit them. With a name (`library`) only those.
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
from tests.browser.people import Person, launch
from tests.browser.whole import Demo

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 1}


def main(only: str = "") -> None:
    """One start from the choice to the notebook, one that fails, and the lease; the library; what is saved."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="js2-pictures-") as folder, sync_playwright() as playwright:
        browser = launch(playwright)
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
