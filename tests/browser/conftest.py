"""One Chromium for a module's tests, and people who use it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.browser.people import CHROMIUM, Person, launch
from tests.browser.whole import Hub


def pytest_configure(config: pytest.Config) -> None:
    # The SDK warns of its own use of its own methods.
    config.addinivalue_line("filterwarnings", "ignore::openstack.warnings.OpenStackDeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore::openstack.warnings.RemovedInSDK50Warning")
    config.addinivalue_line("filterwarnings", "ignore::openstack.warnings.RemovedInSDK60Warning")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Skips where there is no Chromium, except in CI, where that would hide every promise made here."""
    if not CHROMIUM.exists():
        told = f"these tests need {CHROMIUM}: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


class People:
    """Called with a name it gives somebody who is signed in, always the same one by that name."""

    def __init__(self, browser: Browser, hub: Hub) -> None:
        self._browser = browser
        self._hub = hub
        self.known: dict[str, Person] = {}

    def __call__(self, name: str) -> Person:
        if name not in self.known:
            self.known[name] = Person(self._browser, self._hub, name)
            self.known[name].signs_in()
        return self.known[name]


@pytest.fixture(scope="module")
def person(browser: Browser, hub: Hub) -> Iterator[People]:
    people = People(browser, hub)
    yield people
    for each in people.known.values():
        each.leave()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What everybody saw when a test failed."""
    report = yield
    people = getattr(item, "funcargs", {}).get("person")
    if report.failed and isinstance(people, People):
        for name, each in people.known.items():
            picture = each.hub.files.directory / f"{name}-saw.png"
            with suppress(PlaywrightError):
                each.page.screenshot(path=picture)
                report.sections.append((f"what {name} saw", f"{picture}\n{each.page.url}"))
    return report
