"""Work that JupyterHub cannot see: silent kernels, jobs in terminals, the GPU, plain CPU use.

JupyterHub counts messages between page and kernel. A kernel that computes without printing, a job in a terminal
whose page is closed, or anything on the GPU looks idle to it, and would be culled in the middle of its work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from . import processes
from .processes import Process
from .vitals import Gpu

# A kernel or page that only keeps in touch uses 1-3 % of a core; the server itself is not counted at all.
BUSY_CORES = 0.10
BUSY_GPU_PERCENT = 5.0
# Programs that wait for a person. A person at work shows to JupyterHub; these, left open, are not work.
# fmt: off
WAITING = frozenset((
    "atop", "bat", "emacs", "htop", "info", "ipython", "joe", "less", "login", "man", "mc", "micro", "more",
    "most", "mutt", "nano", "ncdu", "nvim", "nvtop", "pico", "pg", "screen", "ssh", "su", "sudo", "tail", "tig",
    "tmux", "top", "vi", "view", "vim", "watch",
))
# Programs that wait for a person only when they were given nothing to run; python stands for python3.11, too.
INTERPRETERS = (
    "ash", "bash", "csh", "dash", "fish", "ghci", "irb", "julia", "ksh", "lua", "mysql", "node", "octave",
    "psql", "pypy", "python", "R", "sh", "sqlite3", "tcsh", "zsh",
)
# fmt: on


class Activity:
    """When work was last seen, and which. `observe` is called now and then; `to_json` is the report's `activity`."""

    def __init__(self, now: float, arguments: Callable[[int], list[str]] = processes.arguments) -> None:
        self._arguments = arguments
        self._last = now
        self._because = "none"
        self._before: dict[int, int] = {}
        self._before_at: float | None = None

    def observe(self, now: float, users: Iterable[Process], server_pid: int, gpus: Iterable[Gpu], kernel: bool) -> None:
        """Look at the user's processes, the GPUs, and whether a kernel said it was busy."""
        users = [process for process in users if process.pid != server_pid]
        cores = self._cores_used(now, users)
        kinds = (
            ("kernel", kernel),
            ("gpu", any(gpu.utilisation_percent >= BUSY_GPU_PERCENT for gpu in gpus)),
            ("terminal", any(self._is_job(process) for process in users)),
            ("cpu", cores >= BUSY_CORES),
        )
        for kind, working in kinds:
            if working:
                self._last, self._because = now, kind
                return

    def to_json(self, now: float) -> Mapping[str, Any]:
        """Seconds since work was last seen; `because` is none while none ever was."""
        return {"idle_s": round(max(0.0, now - self._last), 1), "because": self._because}

    def _cores_used(self, now: float, users: list[Process]) -> float:
        ticks = {process.pid: process.ticks for process in users}
        spent = sum(max(0, used - self._before.get(pid, 0)) for pid, used in ticks.items())
        elapsed = now - self._before_at if self._before_at is not None else 0.0
        self._before, self._before_at = ticks, now
        return spent / os.sysconf("SC_CLK_TCK") / elapsed if elapsed > 0 else 0.0

    def _is_job(self, process: Process) -> bool:
        # The leader of a terminal's session is the shell that the page opened.
        if process.terminal == 0 or process.pid == process.session or process.name in WAITING:
            return False
        words = self._arguments(process.pid)
        if not words:
            return False
        name = PurePosixPath(words[0]).name
        if name in WAITING:
            return False
        if name.startswith(INTERPRETERS):
            given = [word for word in words[1:] if not word.startswith("-")]
            return bool(given) and PurePosixPath(given[0]).name not in WAITING
        return True


def any_busy(kernels: Any) -> bool:
    """Whether the server's list of kernels (Jupyter Server REST, GET /api/kernels) names a busy one."""
    if not isinstance(kernels, list):
        return False
    return any(isinstance(kernel, dict) and kernel.get("execution_state") == "busy" for kernel in kernels[:256])
