"""What runs on this instance, read from /proc, and how the user's share of it is ended.

Field numbers are those of proc(5), /proc/[pid]/stat.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SCAN_S = 0.1


@dataclass(frozen=True)
class Process:
    """One living process. `ticks` is CPU time used, `started` the boot-relative start, both in clock ticks."""

    pid: int
    parent: int
    session: int
    terminal: int
    name: str
    ticks: int
    started: int
    uid: int


def read(pid: int) -> Process | None:
    """The process with this id, or None when there is none or only its unread exit status is left."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
        uid = (PROC / str(pid)).stat().st_uid
    except OSError:
        return None
    # The name stands in parentheses and may itself hold any character, parentheses included.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        terminal=int(fields[4]),
        name=head.partition("(")[2],
        ticks=int(fields[11]) + int(fields[12]),
        started=int(fields[19]),
        uid=uid,
    )


def everything() -> list[Process]:
    """All living processes this instance shows us."""
    found = (read(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def belonging(processes: Iterable[Process], uid: int | None, roots: Iterable[int]) -> list[Process]:
    """The processes of `uid` (None: of nobody), the `roots`, and whatever descends from either.

    Descent matters for what the user started through sudo; our own process is never part of the answer.
    """
    everyone = list(processes)
    roots = set(roots)
    chosen = {p.pid for p in everyone if p.pid in roots or (uid is not None and p.uid == uid)}
    grown = True
    while grown:
        children = {p.pid for p in everyone if p.parent in chosen} - chosen
        chosen |= children
        grown = bool(children)
    chosen.discard(os.getpid())
    return [p for p in everyone if p.pid in chosen]


def holding(place: Path) -> list[Process]:
    """The processes with something open or mapped in a folder, or at work in it, so that it cannot be unmounted.

    Neither ourselves nor process 1. Names are compared and no file is asked: its server may be away.
    """
    prefix = f"{place}/"
    return [p for p in everything() if p.pid not in (1, os.getpid()) and _uses(PROC / str(p.pid), prefix)]


def _uses(process: Path, prefix: str) -> bool:
    links = [process / "cwd", process / "root", process / "exe"]
    with contextlib.suppress(OSError):
        links += (process / "fd").iterdir()
    for link in links:
        with contextlib.suppress(OSError):
            if f"{os.readlink(link)}/".startswith(prefix):  # noqa: PTH115, half the time
                return True
    with contextlib.suppress(OSError):
        # The sixth field, from where it begins: names hold blanks.
        lines = (process / "maps").read_text(errors="replace").splitlines()
        return any(line[line.find("/") :].startswith(prefix) for line in lines if "/" in line)
    return False


def arguments(pid: int) -> list[str]:
    """The argument vector of a process, shortened to its first 4 KiB; empty when it is gone."""
    try:
        with (PROC / str(pid) / "cmdline").open("rb") as stream:
            raw = stream.read(4096)
    except OSError:
        return []
    return [part.decode(errors="replace") for part in raw.split(b"\0") if part]


def reap() -> dict[int, int]:
    """Collect ended children, ours or adopted: process id to exit status (negative: the signal's number)."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return ended


def end(
    list_them: Callable[[], list[Process]],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    grace_s: float = 10.0,
    killing_s: float = 5.0,
) -> None:
    """End what `list_them` names: SIGTERM, `grace_s` seconds, then SIGKILL until nothing is left (`killing_s` more)."""
    killing_from = clock() + grace_s
    asked: set[int] = set()
    while clock() < killing_from + killing_s:
        reap()
        left = list_them()
        if not left:
            return
        kill = clock() >= killing_from
        for process in left:
            if kill or process.pid not in asked:
                asked.add(process.pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        sleep(SCAN_S)
