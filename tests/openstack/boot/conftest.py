"""A cloud whose guests boot, a hub at their router, and people with a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import people
from tests.browser.conftest import People
from tests.openstack.boot import cloud as clouds
from tests.openstack.boot import images
from tests.openstack.boot.cloud import IMAGE, BootingCloud
from tests.openstack.boot.hub import HubAtTheRouter, Site
from tests.openstack.boot.room import Room
from tests.openstack.rig.seed import NETWORK

LOAD_MS = 600_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms cannot be had without root."""
    for item in items:
        if item.get_closest_marker("boot") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="makes machines and networks, which takes root"))


@pytest.fixture(scope="session")
def image() -> Path:
    """JupyterLab and the guest program of this very tree on a small Debian."""
    clouds.install(_say)
    return images.minimal(_say)


@pytest.fixture(scope="module")
def cloud(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootingCloud]:
    clouds.install(_say)
    # Not pytest's own directory, which it keeps: here are disks of machines.
    with tempfile.TemporaryDirectory(prefix="js2-boot-") as name, Room() as room, room.network():
        place = Path(name)
        try:
            yield clouds.start(room, place, image)
        except subprocess.CalledProcessError as problem:
            raise AssertionError(f"the cloud did not start:\n{problem.stdout}\n{problem.stderr}") from None
        finally:
            kept = tmp_path_factory.mktemp("cloud")
            if (place / "run" / "log").exists():
                shutil.copytree(place / "run" / "log", kept / "log")
            for console in place.glob("run/nova/instances/*/console.log"):
                shutil.copy(console, kept / f"{console.parent.name}.console.log")


@pytest.fixture(scope="module")
def hub(cloud: BootingCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubAtTheRouter]:
    site = Site(cloud.people, NETWORK, IMAGE, cloud.router)
    with HubAtTheRouter(tmp_path_factory.mktemp("hub"), site, "alice,bob") as running:
        yield running


@pytest.fixture(scope="module")
def person(browser: Browser, hub: HubAtTheRouter) -> Iterator[People]:
    """As in any browser test, with the patience that an emulated machine asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "LOAD_MS", LOAD_MS)
        expect.set_options(timeout=LOAD_MS)
        everybody = People(browser, hub)
        yield everybody
        for each in everybody.known.values():
            each.leave()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
