"""What people do in a browser: sign in, choose, watch, compute, use a terminal, stop."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tests.browser.whole import Hub, until

STAGES = ["Creating the instance", "Starting its system", "Handing it over to you", "Starting JupyterLab"]
STAGES_WITH_HOME = [*STAGES[:-1], "Mounting your home", STAGES[-1]]
CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A notebook server and its page start in seconds; a test machine with two cores may have four of them starting at once,
# and a whole OpenStack beside them.
LOAD_MS = 120_000


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium. The browser bundled with Playwright is another one, and not installed."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_ARGUMENTS), env=environment)


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, hub: Hub, name: str, **look: Any) -> None:
        self.name = name
        self.hub = hub
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **look})
        self._context.set_default_timeout(LOAD_MS)
        self._context.add_init_script(path=Path(__file__).with_name("record_stages.js"))
        self.page = self._context.new_page()

    def leave(self) -> None:
        """Close the browser; whatever was started goes on."""
        self._context.close()

    def goes_to(self, path: str) -> Page:
        self.page.goto(f"{self.hub.address}{path}")
        return self.page

    @contextmanager
    def another_page(self) -> Iterator[Page]:
        page = self._context.new_page()
        try:
            yield page
        finally:
            page.close()

    def signs_in(self) -> None:
        page = self.goes_to("/hub/login?next=%2Fhub%2Fhome")
        page.fill("#username_input", self.name)
        page.fill("#password_input", self.hub.settings.password)
        page.click("#login_submit")
        expect(page.locator("#js2-home")).to_be_visible()

    # ---- choosing and watching --------------------------------------------------------------------------------------

    def chooses(self, image: str = "minimal", flavor: str = "m3.tiny", server: str = "") -> None:
        """Fill in the choice page, press Start, and see that something starts."""
        self.asks_for(image, flavor, server)
        # An instance that is up already needs no watching.
        self.page.wait_for_url(re.compile(f"/hub/spawn-pending/{self.name}|/user/{self.name}/"))

    def asks_for(
        self, image: str = "minimal", flavor: str = "m3.tiny", server: str = "", *, without_home: bool = False
    ) -> None:
        """Fill in the choice page and press Start, whatever comes of it."""
        page = self.goes_to(f"/hub/spawn/{self.name}/{server}".rstrip("/"))
        page.check(f'input[name=image][value="{image}"]')
        page.check(f'input[name=flavor][value="{flavor}"]')
        if without_home:
            page.check('input[name=home][value="none"]')
        self.agrees()
        page.click("#js2-start")

    def agrees(self) -> None:
        """Say what the choice page wants to hear before it lets go: that files will be lost, that a price is dear."""
        for wanted in self.page.locator("input[type=checkbox]:required").all():
            wanted.check()

    def sees_lab(self) -> None:
        """The progress page led to JupyterLab, and it has drawn itself."""
        self.page.wait_for_url(re.compile(f"/user/{self.name}/(.*/)?lab"))
        expect(self.page.locator(".jp-Launcher, .jp-NotebookPanel").first).to_be_visible(timeout=LOAD_MS)

    def starts(self, image: str = "minimal", flavor: str = "m3.tiny") -> None:
        self.chooses(image, flavor)
        self.sees_lab()

    def stages_seen(self) -> list[str]:
        """Begin and end of every stage, as this browser showed them: `Starting JupyterLab: done`."""
        seen = json.loads(self.page.evaluate("sessionStorage.getItem('stages')") or "[]")
        return [each for each in seen if not each.endswith(": waiting")]

    def reads(self, sentence: str) -> None:
        """The page says this, or will soon: a start that fails at once has another page than one that was watched."""
        expect(self.page.get_by_text(sentence).first).to_be_visible(timeout=LOAD_MS)

    # ---- working ----------------------------------------------------------------------------------------------------

    def opens_notebook(self) -> None:
        self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
        self.awaits_kernel()

    def awaits_kernel(self) -> None:
        idle = self.page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        expect(idle).to_be_visible(timeout=LOAD_MS)

    def runs(self, code: str) -> None:
        """Run a cell, without waiting for its end."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        number = cells.count() - 1
        cells.nth(number).locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        until(lambda: self._begins(cells.nth(number)), "JupyterLab runs the cell", LOAD_MS / 1000)

    def _begins(self, cell: Locator) -> bool:
        """Press the keys that run a cell. JupyterLab shows a kernel as idle before it talks to it, and does nothing."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        try:
            expect(cell.locator(".jp-InputPrompt")).not_to_have_text("[ ]:", timeout=2_000)
        except AssertionError:
            return False
        return True

    def computes(self, code: str) -> str:
        """What a cell prints or answers."""
        outputs = self.page.locator(".jp-Notebook .jp-OutputArea-output pre")
        before = outputs.count()
        self.runs(code)
        expect(outputs).to_have_count(before + 1, timeout=LOAD_MS)
        return outputs.last.inner_text().strip()

    def opens_terminal(self) -> None:
        self.page.locator('.jp-LauncherCard[data-category="Other"]', has_text="Terminal").click()
        expect(self.page.locator(".jp-Terminal .xterm-screen")).to_be_visible(timeout=LOAD_MS)

    def types(self, line: str) -> None:
        """A line in the terminal."""
        self.page.locator(".jp-Terminal .xterm-screen").click()
        self.page.keyboard.type(f"{line}\n")

    def file(self, path: str) -> str | None:
        """What a file of the user's home holds, by Jupyter's own REST API; None while there is none."""
        answer = self.page.request.get(f"{self.hub.address}/user/{self.name}/api/contents/{path}?content=1")
        return str(answer.json()["content"]).strip() if answer.ok else None

    def works_as_nobody_but_herself(self) -> None:
        """In a notebook and in a terminal, which run for this person and not for root."""
        self.opens_notebook()
        assert self.computes("6 * 7") == "42"
        assert self.computes("import os, getpass; print(os.getuid() != 0, getpass.getuser())") == f"True {self.name}"

        self.goes_to(f"/user/{self.name}/lab/workspaces/terminal?reset")
        self.opens_terminal()
        self.types("expr $(id -u) \\> 0 > from-the-terminal")
        until(lambda: self.file("from-the-terminal") == "1", "the terminal has written its file")

    # ---- ending -----------------------------------------------------------------------------------------------------

    def stops(self) -> None:
        """On the hub's home page, which asks once more where files are lost."""
        page = self.goes_to("/hub/home")
        page.once("dialog", lambda asked: asked.accept())
        page.click("#stop")
        expect(self.row("Default server")).to_have_attribute("data-state", "stopped", timeout=LOAD_MS)

    def row(self, title: str) -> Any:
        """A server's row on the hub's home page."""
        return self.page.locator("tr.home-server-row", has_text=re.compile(re.escape(title)))
