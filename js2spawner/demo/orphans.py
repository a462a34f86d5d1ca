"""Leaving no process behind, on Linux: ties between parent and child that hold when either is killed.

Elsewhere every function here does nothing, and a demo that is ended by SIGKILL leaves its children running.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent dies, so that `adopted` finds it."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` that has the kernel send SIGTERM to the new child when this process dies, however it dies."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        # The parent may have died before the tie held.
        if os.getppid() != parent:
            os._exit(1)

    return tie


def adopted(known: frozenset[int]) -> frozenset[int]:
    """Process ids of this process's living children that are not `known`. Reaps those that have ended."""
    return frozenset(pid for pid in _children() - known if not _reaped(pid))


def _children() -> frozenset[int]:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return frozenset()
    lists = [path.read_text() for path in tasks.glob("*/children")]
    return frozenset(int(pid) for text in lists for pid in text.split())


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
