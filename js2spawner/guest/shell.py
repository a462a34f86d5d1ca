"""Runs a program that may take long: until a deadline, its last words kept, and nothing of it left running."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from . import system
from .system import SYSTEM_PATH

KEPT_BYTES = 8000
LOOK_EVERY_S = 0.25
SOON_S = 0.02
LISTING_TIMEOUT_S = 120.0
_READ_BYTES = 65536


class StepFailed(Exception):
    """A program or a step of a build did not work: the message is one sentence, `said` the program's last words."""

    def __init__(self, sentence: str, said: str = "") -> None:
        super().__init__(sentence)
        self.said = said


@dataclass(frozen=True)
class Program:
    """What to run, and as whom: `uid` 0 stays root. The environment holds what is named here and nothing else."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    uid: int = 0
    gid: int = 0
    place: str = "/"
    groups: Sequence[int] = ()


class Shell:
    """Runs one program at a time. `meanwhile` is called with the last line while it runs, and may raise."""

    def __init__(
        self, clock: Callable[[], float], sleep: Callable[[float], None], meanwhile: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._meanwhile = meanwhile

    def wait(self, seconds: float) -> None:
        """Let time pass, still saying how it goes."""
        until = self._clock() + seconds
        while self._clock() < until:
            self._meanwhile("")
            self._sleep(LOOK_EVERY_S)

    def run(self, program: Program, until: float, what: str) -> str:
        """Run it to its end; the end of what it said. `what` names it in a failure.

        Raises StepFailed if it cannot be started, ends with a status other than 0, or still runs at `until`.
        """
        status, told = self.finish(program, until, what)
        if status != 0:
            raise StepFailed(f"{what} ended with status {status}", told)
        return told

    def finish(self, program: Program, until: float, what: str) -> tuple[int, str]:
        """Run it to its end: its exit status, and the end of what it said.

        Raises StepFailed if it cannot be started or still runs at `until`.
        """
        process = self._start(program, what)
        said = bytearray()
        assert process.stdout is not None
        try:
            with process.stdout as output:
                self._follow(process, output.fileno(), said, until)
        finally:
            # What it left in the background would go on changing the disk that is to become the image.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            ended = process.poll() is not None
            system.give_up(process)
        told = printable(bytes(said))
        if not ended:
            raise StepFailed(f"{what} did not end in time", told)
        return process.returncode, told

    def listing(self, argv: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})) -> str:
        """All that a quick program printed, and not only its end. Raises StepFailed."""
        given = {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C.UTF-8", **environment}
        try:
            done = subprocess.run(
                list(argv),
                cwd="/",
                env=given,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LISTING_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as problem:
            raise StepFailed(f"{argv[0]} cannot be run ({type(problem).__name__})") from problem
        if done.returncode != 0:
            raise StepFailed(f"{argv[0]} ended with status {done.returncode}", printable(done.stderr[-KEPT_BYTES:]))
        return done.stdout.decode(errors="replace")

    def _start(self, program: Program, what: str) -> subprocess.Popen[bytes]:
        given = {"PATH": SYSTEM_PATH, "HOME": "/root", "LANG": "C.UTF-8", **program.environment}
        other = program.uid != 0 and os.geteuid() == 0
        try:
            process = subprocess.Popen(
                list(program.argv),
                cwd=program.place,
                env=given,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o022,
                user=program.uid if other else None,
                group=program.gid if other else None,
                extra_groups=list(program.groups) if other else None,
            )
        except (OSError, subprocess.SubprocessError, ValueError) as problem:
            raise StepFailed(f"{what} cannot be started ({problem})") from problem
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _follow(self, process: subprocess.Popen[bytes], output: int, said: bytearray, until: float) -> None:
        silent = False
        while self._clock() < until:
            ended = process.poll() is not None
            silent = _read(output, said) or silent
            if ended:
                return
            self._meanwhile(last_line(bytes(said)))
            if silent:
                # Most often it is a moment from its end.
                self._sleep(SOON_S)
            else:
                select.select([output], [], [], LOOK_EVERY_S)


def printable(said: bytes) -> str:
    """Lines of printable text: what the hub takes, and what a terminal shows as it is."""
    lines = said.decode(errors="replace").replace("\r", "\n").splitlines()
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines if line.strip())


def last_line(said: bytes) -> str:
    """The last line that says something."""
    return (printable(said[-2000:]).splitlines() or [""])[-1].strip()


def _read(output: int, said: bytearray) -> bool:
    """Take in what is there to be read; True once there will be no more."""
    while True:
        try:
            chunk = os.read(output, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            return True
        said += chunk
        del said[:-KEPT_BYTES]
