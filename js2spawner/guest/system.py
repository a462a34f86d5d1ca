"""Runs one quick command of the system's, as root or whoever we are, and never waits for ever.

What takes long, and must be reported meanwhile, is `shell.Shell`'s.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT_S = 60.0
# What is asked of a kernel that does not answer cannot be killed either (state D in ps): it is left behind.
BURIAL_S = 2.0
MOST_SAID = 16 * 1024


class CannotRun(Exception):
    """A command is missing, did not finish, or failed; the message is one sentence and holds no argument."""


@dataclass(frozen=True)
class Done:
    """How it ended, and what it printed."""

    status: int
    said: str


def run(command: str, *arguments: str, given: bytes = b"", timeout_s: float = TIMEOUT_S) -> Done:
    """Run it to its end with `given` at its standard input. Raises CannotRun if it is not there or does not finish."""
    program = shutil.which(command, path=SYSTEM_PATH)
    if program is None:
        raise CannotRun(f"This image has no {command}.")
    try:
        process = subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
            cwd="/",
        )
    except OSError as problem:
        raise CannotRun(f"{command} cannot be started ({problem.strerror}).") from problem
    try:
        said, _ = process.communicate(given, timeout=timeout_s)
    except subprocess.TimeoutExpired as problem:
        give_up(process)
        raise CannotRun(f"{Path(command).name} did not finish within {timeout_s:.0f} s.") from problem
    return Done(process.returncode, said[-MOST_SAID:].decode(errors="replace"))


def must(command: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> None:
    """Run it; it has to succeed. Raises CannotRun."""
    done = run(command, *arguments, timeout_s=timeout_s)
    if done.status != 0:
        raise CannotRun(f"{command} failed with status {done.status}.")


def give_up(process: subprocess.Popen[bytes]) -> None:
    """Kill it and let go of it; its exit status is collected whenever it comes (processes.reap)."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(BURIAL_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
