"""Class data: files that many read and nobody here writes, at /data/NAME. A server starts without them, too."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from . import ext4, mounts, shares
from .assignment import DataWish
from .disks import NoDisk
from .machine import Machine
from .system import CannotRun

log = logging.getLogger("js2")

PLACE = Path("/data")
PATIENCE_S = 30.0
UNMOUNT_TIMEOUT_S = 5.0


class ClassData:
    """What the assignment names, mounted read-only."""

    def __init__(self, machine: Machine, place: Path = PLACE) -> None:
        self._machine = machine
        self._place = place
        self._mounted: list[Path] = []
        self.notices: list[str] = []

    def open(self, wishes: tuple[DataWish, ...], meanwhile: Callable[[], None]) -> None:
        """Have each there; one that cannot be is a notice, and no reason for no server."""
        for wish in wishes:
            try:
                self._open(wish, meanwhile)
            except (NoDisk, CannotRun, OSError) as problem:
                log.info("class data cannot be mounted: %s", problem)
                self.notices.append(f"The class data “{wish.name}” is not there: it could not be mounted.")

    def let_go(self) -> None:
        """Unmount it all; nothing of it can have changed."""
        for place in self._mounted:
            if not mounts.let_go(place, UNMOUNT_TIMEOUT_S):
                mounts.let_go_lazily(place)
        self._mounted = []

    def _open(self, wish: DataWish, meanwhile: Callable[[], None]) -> None:
        if not self._machine.privileged:
            raise CannotRun("This guest program is no root and may mount nothing.")
        place = self._place / wish.name
        if mounts.at(place) is None:
            if wish.source.kind == "share":
                self._folder(place)
                shares.mount(wish.source, place, read_only=True)
            else:
                disk = self._machine.disks.wait_for(wish.source.serial, meanwhile, PATIENCE_S)
                if disk.is_folder:
                    self._link(place, disk.path)
                    return
                self._folder(place)
                ext4.mount(disk.path, place, ext4.READ_ONLY)
        self._mounted.append(place)

    def _folder(self, place: Path) -> None:
        place.mkdir(mode=0o755, parents=True, exist_ok=True)

    def _link(self, place: Path, folder: Path) -> None:
        """Where machines have no disks of their own, a folder stands for one and is shown read-only by who made it."""
        self._place.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)  # noqa: PTH108, a folder is an error
        place.symlink_to(folder)
