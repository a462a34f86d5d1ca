"""Memory of its own for what the server keeps while it runs: a user who fills it fills nothing of the system's /run."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path

from .account import SYSTEM_PATH

log = logging.getLogger("js2")

# Some kilobytes for each kernel, and a page or two.
LIMITS = "size=16m,nr_inodes=1k"
COMMAND_TIMEOUT_S = 10.0


def give_memory(folder: Path, uid: int, gid: int) -> None:
    """Put a small file system in memory over an empty folder, for one user. Where that is refused it stays a folder."""
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


def _done(command: str, *arguments: str) -> bool:
    program = shutil.which(command, path=SYSTEM_PATH)
    if program is None:
        return False
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
