"""Takes the pictures of the documentation from a demo of its own: `.venv/bin/python tools/pictures.py`.

They show the real pages in Debian's Chromium; look at them before you commit them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.people import Person, launch
from tests.browser.whole import Demo, until

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 1}


def main() -> None:
    """One start from the choice to the notebook, one that fails, and the lease."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="js2-pictures-") as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        with Demo(Path(folder), "alice,bob", boot_seconds=4) as hub:
            _a_start(browser, hub)
            _a_failure(browser, hub)
        browser.close()


def _a_start(browser: Browser, hub: Demo) -> None:
    alice = Person(browser, hub, "alice", viewport={"width": 1280, "height": 1240})
    alice.signs_in()
    # Once before, so that the pictures show what a start usually takes.
    alice.starts()
    alice.stops()
    until(lambda: not hub.instances("alice"), "alice's first instance is gone")
    alice.goes_to("/hub/spawn")
    alice.page.locator("#js2-start").wait_for()
    _take(alice, "choice")
    with_phone = Person(browser, hub, "alice", **PHONE)
    with_phone.signs_in()
    with_phone.goes_to("/hub/spawn")
    with_phone.page.locator("#js2-start").wait_for()
    _take(with_phone, "choice-phone-dark")
    alice.chooses()
    alice.page.set_viewport_size({"width": 1280, "height": 760})
    alice.page.locator('.js2-stage[data-state="begun"]').nth(0).wait_for()
    alice.page.locator('.js2-stage[data-state="done"]').nth(0).wait_for()
    alice.page.wait_for_timeout(1500)
    _take(alice, "progress")
    alice.sees_lab()
    alice.opens_notebook()
    alice.computes("import os, pwd\nprint('Hello from', pwd.getpwuid(os.getuid()).pw_name, 'on', os.uname().nodename)")
    _take(alice, "notebook")
    alice.goes_to("/hub/js2/lease/alice")
    _take(alice, "lease")
    alice.goes_to("/hub/home")
    _take(alice, "home")
    alice.stops()


def _a_failure(browser: Browser, hub: Demo) -> None:
    hub.control("PUT", "/capacity", {"m3.small": 0})
    bob = Person(browser, hub, "bob", viewport={"width": 1280, "height": 760})
    bob.signs_in()
    bob.chooses(flavor="m3.small")
    bob.page.locator("#js2-failure").wait_for()
    bob.goes_to("/hub/spawn-pending/bob")
    _take(bob, "failure")


def _take(person: Person, name: str) -> None:
    person.page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    main()
