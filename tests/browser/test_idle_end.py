"""The culler takes what nobody uses and nothing else, and says so before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.people import Person
from tests.browser.whole import Hub, Pieces, until

pytestmark = pytest.mark.browser

CATALOG = Path(__file__).with_name("catalog.idle.yaml")
# Profile `idle` of that catalog, the culler's rounds, and the cloud's own time.
CULLED_WITHIN_S = 18 + 45

SILENT_WORK = """\
import pathlib, time
pathlib.Path("begun").touch()
while not pathlib.Path("enough").exists():
    time.sleep(0.5)"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub on which 18 seconds without use are idle: whatever tells of use has to be quicker than usual."""
    quicker = (
        "--Js2Fleet.report_interval_s=1",
        "--JupyterHub.last_activity_interval=3",
        "--Spawner.environment=JUPYTERHUB_ACTIVITY_INTERVAL=3",
    )
    environment = {"JS2_CATALOG": str(CATALOG), "JS2_CULL_EVERY_S": "5"}
    names = "ida,kira,tess,wanda"
    with Pieces(tmp_path_factory.mktemp("idle"), names, hub_options=quicker, hub_environment=environment) as running:
        yield running


def test_the_idle_go_and_the_busy_and_the_extended_stay(hub: Hub, person: Callable[[str], Person]):
    idle, kernel, terminal, warned = (person(name) for name in ("ida", "kira", "tess", "wanda"))
    warned.chooses("aging")
    for each in (kernel, terminal, idle):
        each.chooses("idle")

    kernel.sees_lab()
    kernel.opens_notebook()
    kernel.runs(SILENT_WORK)
    until(lambda: kernel.file("begun") is not None, "the kernel is at work")
    kernel.leave()

    terminal.sees_lab()
    terminal.opens_terminal()
    terminal.types("sh -c 'touch begun; while ! test -e enough; do sleep 1; done'")
    until(lambda: terminal.file("begun") is not None, "the terminal's job has begun")
    terminal.leave()

    extends_by_both_buttons(hub, warned)
    warned.leave()
    idle.sees_lab()
    idle.leave()
    until(lambda: not hub.instances("ida"), "the idle instance is gone", CULLED_WITHIN_S)
    assert hub.server_model("ida") == {}
    for name in ("kira", "tess", "wanda"):
        assert hub.is_ready(name), name

    for name in ("kira", "tess"):
        (hub.home(name) / "enough").touch()
    for name in ("kira", "tess"):
        until(lambda name=name: not hub.instances(name), f"{name}'s instance is gone, once it is idle", CULLED_WITHIN_S)
    assert hub.is_ready("wanda")


def extends_by_both_buttons(hub: Hub, warned: Person) -> None:
    """JupyterLab's notification leads to a page that keeps the server, and the hub's home page has the same button."""
    warned.sees_lab()
    with warned.another_page() as home:
        home.goto(f"{hub.address}/hub/home")
        expect(home.locator("#js2-lease")).to_contain_text("because it has then run as long as it may")
        keep = home.locator("#js2-keep")
        expect(keep).to_be_visible()

        lab = warned.page
        until(lambda: _looks_at_lease(lab), "JupyterLab warns")
        with lab.expect_popup() as opened:
            lab.get_by_role("button", name="Keep it running").click()
        opened.value.get_by_role("button", name="Keep it running for 30 more minutes").click()
        expect(opened.value.locator(".js2-lease-sentence")).to_contain_text(re.compile(r"ends in 3\d minutes"))
        opened.value.close()
        until(lambda: not _looks_at_lease(lab), "JupyterLab takes its warning back")

        keep.click()
        expect(home.locator("#js2-lease-text")).to_contain_text("Kept running. Your server ends in 1 hour")


def _looks_at_lease(lab: Any) -> bool:
    """Whether JupyterLab warns, once it has looked: it does so when it comes to the front, too."""
    lab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    return bool(lab.get_by_role("button", name="Keep it running").count())
