"""The library's `minimal` with the guest program of this very tree: what the machines of these tests boot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from js2spawner.library import reading, scratch
from js2spawner.library.builds import DISK, Builds
from js2spawner.library.due import why_due
from js2spawner.library.scratch.tools import NEEDED
from tests.openstack.place import ROOT
from tools.install import apt_install

IMAGE = "minimal"


def minimal(say: Callable[[str], None]) -> Path:
    """Its disk; built only if none is here or the newest is due, as with another guest program. Raises CannotBuild,
    CannotInstall."""
    builds = Builds(ROOT / ".images")
    definition = reading.read(ROOT / "images", IMAGE)
    newest = builds.newest(IMAGE)
    if newest is None or why_due(definition, newest, datetime.now(UTC)):
        _install_tools()
        newest = scratch.build(definition, builds, say)
    return builds.place(newest) / DISK


def _install_tools() -> None:
    if missing := sorted({package for program, package in NEEDED.items() if not shutil.which(program)}):
        apt_install(missing, otherwise=f"Building an image needs more of Debian: {' '.join(missing)}")
