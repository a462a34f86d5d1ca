"""What the agent mounts on this machine, and how it is let go of again."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import system
from .system import CannotRun

log = logging.getLogger("js2")

# Some kilobytes for each kernel, and a page or two.
LIMITS = "size=16m,nr_inodes=1k"
COMMAND_TIMEOUT_S = 10.0
SHARES = ("nfs", "nfs4", "ceph")
MOUNTED = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5)). `device` is the file system's number, "major:minor"."""

    place: Path
    device: str
    kind: str
    source: str

    @property
    def is_share(self) -> bool:
        return self.kind in SHARES


def give_memory(folder: Path, uid: int, gid: int) -> None:
    """Put a small file system in memory over an empty folder, for one user. Where that is refused it stays a folder.

    A user who fills what the server keeps while it runs then fills nothing of the system's /run.
    """
    if os.path.ismount(folder):
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    options = f"{LIMITS},mode=0700,uid={uid},gid={gid},nosuid,nodev,noexec"
    if not _done("mount", "-t", "tmpfs", "-o", options, "js2-runtime", str(folder)):
        log.info("the server's runtime files have no file system of their own here")


def take_memory(folder: Path) -> None:
    """Take it away again, with all that is in it, though somebody may still look at it."""
    if os.path.ismount(folder) and _done("umount", "--lazy", str(folder)):
        shutil.rmtree(folder, ignore_errors=True)


def everything() -> list[Mount]:
    """All mounts that this process sees, in the order in which they were made."""
    found = []
    for line in MOUNTED.read_text(errors="replace").splitlines():
        words = line.split(" ")
        after = words[words.index("-") + 1 :]
        found.append(Mount(Path(_plain(words[4])), words[2], after[0], _plain(after[1])))
    return found


def at(place: Path) -> Mount | None:
    """What is mounted at a place: the last one counts, for it covers the others."""
    return next((mount for mount in reversed(everything()) if mount.place == place), None)


def let_go(place: Path, timeout_s: float) -> bool:
    """Unmount it, and what is mounted below it; False while somebody uses it."""
    if at(place) is None:
        return True
    return _done("umount", "--recursive", str(place), timeout_s=timeout_s) and at(place) is None


def let_go_lazily(place: Path) -> None:
    """Take it out of everybody's sight, though somebody goes on using it: the last resort."""
    for mount in reversed([each for each in everything() if each.place == place or place in each.place.parents]):
        # A share whose server is away would be waited for.
        if not _done("umount", "--lazy", str(mount.place)):
            _done("umount", "--lazy", "--force", str(mount.place))


def _plain(field: str) -> str:
    """Blanks and the like stand there as their octal number."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _done(command: str, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> bool:
    with contextlib.suppress(CannotRun):
        return system.run(command, *arguments, timeout_s=timeout_s).status == 0
    return False
