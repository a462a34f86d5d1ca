"""Real disks for tests: files behind loop devices, mounted for real, and gone whatever happens to the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.guest import mounts
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import HomeWish, Source
from js2spawner.guest.disks import MIB, Disks
from js2spawner.guest.home import Home
from js2spawner.guest.machine import Machine
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.shell import Shell

SERIAL = "3f1b7a52-94c0-4d1e-8e55-0123456789ab"
SOMEBODY = 54321
TOOLS = ("losetup", "mkfs.ext4", "e2fsck", "resize2fs", "debugfs", "blkid")


def why_not() -> str:
    """Why there are no real disks here; "" when there are."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return "" if subprocess.run(probe, capture_output=True, check=False).returncode == 0 else "needs to mount"


real_disks = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there are")


def run(*argv: str | Path) -> str:
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=True, timeout=60).stdout


class Stand:
    """One machine's home folder, one disk for it, and what the agent keeps."""

    def __init__(self, folder: Path, device: Path) -> None:
        self.folder = folder
        self.file = folder / "disk.img"
        self.device = device
        self.by_id = folder / "by-id"
        self.by_id.mkdir()
        (self.by_id / f"virtio-{SERIAL[:20]}").symlink_to(device)
        self.place = folder / "home"
        self.place.mkdir(mode=0o700)
        os.chown(self.place, SOMEBODY, SOMEBODY)
        self.owner = Account("alice", SOMEBODY, SOMEBODY, (), str(self.place), "/bin/sh", switch=True)
        self.run_dir = RunDir(folder / "run")

    def machine(self) -> Machine:
        disks = Disks(time.monotonic, time.sleep, self.by_id)
        return Machine(time.monotonic, time.sleep, privileged=True, disks=disks)

    def home(self) -> Home:
        """What an agent that has just started has of it."""
        return Home(self.run_dir, self.machine(), Shell(time.monotonic, time.sleep, lambda _line: None))

    def open(self, *, may_format: bool = False) -> Home:
        """Start: the home is mounted afterwards."""
        home = self.home()
        home.open(self.owner, wish(may_format=may_format), lambda: None)
        home.look()
        return home

    def let_go(self, home: Home) -> str:
        home.let_go(time.monotonic() + 20.0)
        return str(home.report()["state"])

    def as_uid(self, uid: int) -> None:
        """The account has another number now, as in another image."""
        self.owner = replace(self.owner, uid=uid, gid=uid)

    def grow(self, size_mib: int) -> None:
        os.truncate(self.file, size_mib * MIB)
        run("losetup", "--set-capacity", self.device)

    @contextlib.contextmanager
    def looked_into(self) -> Iterator[Path]:
        """The disk as somebody else sees it, without the guest program."""
        place = self.folder / "elsewhere"
        place.mkdir(exist_ok=True)
        run("mount", self.device, place)
        try:
            yield place
        finally:
            run("umount", place)

    def close(self) -> None:
        for mount in reversed(mounts.everything()):
            if self.folder in (mount.place, *mount.place.parents):
                subprocess.run(["umount", "--lazy", str(mount.place)], check=False)
        for _ in range(100):
            if subprocess.run(["losetup", "--detach", str(self.device)], check=False).returncode == 0:
                return
            time.sleep(0.05)


def wish(*, may_format: bool = False) -> HomeWish:
    return HomeWish(Source("volume", SERIAL, "", "", ""), may_format, None)


@contextlib.contextmanager
def stand(size_mib: int = 64) -> Iterator[Stand]:
    # Not pytest's own directory: that one is closed to everybody but root.
    with tempfile.TemporaryDirectory(prefix="js2-home-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with (folder / "disk.img").open("wb") as file:
            file.truncate(size_mib * MIB)
        device = Path(run("losetup", "--find", "--show", folder / "disk.img").strip())
        made = None
        try:
            made = Stand(folder, device)
            yield made
        finally:
            if made is not None:
                made.close()
            else:
                run("losetup", "--detach", device)
