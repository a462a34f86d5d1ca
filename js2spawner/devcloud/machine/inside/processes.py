"""Who is whose child on this host, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Stat(NamedTuple):
    """Of `/proc/<pid>/stat` (proc_pid_stat(5)); `started` is in clock ticks since the kernel booted."""

    state: str
    parent: int
    started: int


def stat(pid: int) -> Stat | None:
    """None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold spaces and parentheses itself.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(fields[0], int(fields[1]), int(fields[19]))


def descendants(*ancestors: int) -> dict[int, int]:
    """Every living process below `ancestors`, each with the ancestor it belongs to (which is not in it itself)."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    # Not Path.iterdir: this is asked often, of a folder with hundreds of entries.
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal() and (found := stat(int(name))) and found.state not in "ZX":
            children[found.parent].append(int(name))
    owner: dict[int, int] = {}
    for ancestor in ancestors:
        waiting = list(children[ancestor])
        while waiting:
            pid = waiting.pop()
            owner[pid] = ancestor
            waiting += children[pid]
    return owner
