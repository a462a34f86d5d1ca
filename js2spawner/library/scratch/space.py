"""Room for a build, looked at before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from js2spawner.library.builds import Build
from js2spawner.library.scratch.tools import CannotBuild

GB = 1000**3
FIRST_TIME_BYTES = 8 * GB
"""For an image that was never built here: its files, their archive and the disk, for R with the tidyverse, and some."""

FreeBytes = Callable[[Path], int]


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def needed_bytes(last: Build | None) -> int:
    """The tree, its disk, an archive of each layer and the compressed disk, going by what the last build had."""
    if last is None:
        return FIRST_TIME_BYTES
    return 2 * last.virtual_bytes + 3 * last.disk_bytes + GB


def check(folder: Path, last: Build | None, free: FreeBytes = free_bytes) -> None:
    """Raises CannotBuild if `folder` has too little room for another build like the last one."""
    needed, there = needed_bytes(last), free(folder)
    if there < needed:
        raise CannotBuild(
            f"Too little room in {folder.resolve()}: a build needs about {needed / GB:.1f} GB and"
            f" {there / GB:.1f} GB are free; make room, or build elsewhere with --builds."
        )
