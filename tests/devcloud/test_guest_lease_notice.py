"""The notice before the end, in a real JupyterLab in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from js2spawner.guest import launch, rundir
from js2spawner.handshake.messages import Lease

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "of-this-test-only"


@pytest.fixture
def lab(tmp_path: Path, free_port: Callable[[], int], wait_until: Callable[..., None]) -> Iterator[str]:
    """The address of a JupyterLab that has what the agent gives it."""
    (tmp_path / "public").mkdir()
    base = f"http://127.0.0.1:{free_port()}/user/alice/"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={base.split(':')[2].partition('/')[0]}", "--ServerApp.base_url=/user/alice/"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}"]
    command += [f"--ServerApp.extra_static_paths={tmp_path / 'public'}"]
    command += [f"--LabApp.extra_labextensions_path={launch.LABEXTENSIONS}"]
    with (tmp_path / "lab.log").open("wb") as log:
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    try:
        wait_until(lambda: answers(f"{base}api"), within_s=60.0)
        yield base
    finally:
        server.kill()
        server.wait(timeout=20)


@pytest.fixture
def page(lab: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            opened = browser.new_page()
            opened.goto(f"{lab}lab?token={TOKEN}")
            expect(opened.get_by_role("tab", name="Launcher")).to_be_visible(timeout=60_000)
            yield opened
        finally:
            browser.close()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def publish(folder: Path, **changes: Any) -> None:
    plain: dict[str, Any] = {"ends_at": in_minutes(12), "why": "idle", "warn": True, "hub_page": "/hub/js2/lease/alice"}
    rundir.write(folder / "public" / "lease.json", json.dumps(Lease(**(plain | changes)).to_json()), 0o644)


def in_minutes(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes, seconds=30)


def look_again(page: Page) -> None:
    """What the page does each half minute, and when somebody comes back to it."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_the_notice_tells_when_and_why_and_leads_to_the_hub(page: Page, tmp_path: Path) -> None:
    publish(tmp_path)
    look_again(page)
    expect(page.get_by_text("This server stops in 12 minutes because it looks idle.").first).to_be_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Keep it running").click()
    assert opened.value.url.endswith("/hub/js2/lease/alice")


def test_the_notice_follows_the_lease_and_goes_when_the_server_stays(page: Page, tmp_path: Path) -> None:
    ends_at = in_minutes(8)
    publish(tmp_path, ends_at=ends_at, why="age")
    look_again(page)
    notice = page.get_by_text("This server stops in 8 minutes because it has run as long as it may.")
    expect(notice.first).to_be_visible()
    publish(tmp_path, ends_at=in_minutes(60), warn=False)
    look_again(page)
    expect(page.get_by_text("This server stops")).to_have_count(0)


def test_a_link_to_anywhere_but_the_hub_opens_nothing(page: Page, tmp_path: Path) -> None:
    publish(tmp_path, hub_page="https://elsewhere.example/")
    look_again(page)
    page.get_by_role("button", name="Keep it running").click()
    expect(page.get_by_text("This server stops")).to_have_count(0)
    assert len(page.context.pages) == 1


def test_the_notice_says_what_becomes_of_server_and_home_and_what_it_costs(page: Page, tmp_path: Path) -> None:
    publish(tmp_path, why="age", then="delete", home=False, su_per_hour=168)
    look_again(page)
    notice = "because it has run as long as it may. It is then deleted with all your files. It costs 168 SU an hour."
    expect(page.get_by_text(notice).first).to_be_visible()


def test_the_status_bar_shows_the_gpu_and_the_home_and_a_nearly_full_home_is_told_once(
    page: Page, tmp_path: Path
) -> None:
    gpu = {"name": "NVIDIA A100", "utilisation_percent": 62.4, "memory_used_mb": 14240, "memory_total_mb": 20480}
    rundir.write(tmp_path / "public" / "gpus.json", json.dumps({"gpus": [gpu]}), 0o644)
    home = {"state": "mounted", "used_gb": 9.3, "total_gb": 9.8, "notices": ["The climate data is not there."]}
    rundir.write(tmp_path / "public" / "home.json", json.dumps(home), 0o644)
    look_again(page)
    status = page.locator(".js2-figures")
    expect(status).to_have_text("GPU 62 % · 13.9 of 20.0 GB  Home 9.3 of 9.8 GB")
    expect(page.get_by_text("Your home is nearly full.").first).to_be_visible()
    expect(page.get_by_text("The climate data is not there.").first).to_be_visible()
