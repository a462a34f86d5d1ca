"""Processes that outlive the command that started them, each with a session of its own, a pid file and a log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_EVERY_S = 0.05


class RigError(Exception):
    """What keeps the rig from working; the text is the whole message."""


def until(condition: Callable[[], object], what: str, within_s: float) -> None:
    """Raises RigError naming `what` when `condition` is not true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise RigError(f"not within {within_s:.0f} s: {what}")
        time.sleep(_LOOK_EVERY_S)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class Processes:
    pids: Path
    logs: Path

    def start(self, name: str, argv: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """In the background, in a session of its own; what it prints goes to its log."""
        self.pids.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in argv],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        (self.pids / name).write_text(f"{process.pid} {started}")

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.out"

    def runs(self, name: str) -> bool:
        return self._leader(name) is not None

    def names(self) -> list[str]:
        """Everything that was started and not yet ended."""
        return sorted(file.name for file in self.pids.iterdir()) if self.pids.is_dir() else []

    def ready(self, name: str, condition: Callable[[], object], within_s: float) -> None:
        """Wait until `condition` holds; RigError with the end of the log when the process ends or time does."""

        def alive_and_so() -> object:
            if not self.runs(name):
                raise RigError(f"{name} ended at once:\n{self.tail(name)}")
            return condition()

        try:
            until(alive_and_so, f"{name} is ready", within_s)
        except RigError as problem:
            raise RigError(f"{problem}\n{self.tail(name)}") from None

    def tail(self, name: str, characters: int = 3000) -> str:
        log = self.log(name)
        return log.read_text(errors="replace")[-characters:] if log.exists() else ""

    def stop(self, names: Iterable[str], within_s: float) -> None:
        """TERM to each session, and KILL to whatever is left of them after `within_s`."""
        wanted = [name for name in names if (self.pids / name).exists()]
        sessions = {pid for name in wanted if (pid := self._session(name)) is not None}
        members = _members(sessions)
        for process in members:
            _signal(process, signal.SIGTERM)
        psutil.wait_procs(members, timeout=within_s)
        stubborn = _members(sessions)
        for process in stubborn:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=10)
        for name in wanted:
            (self.pids / name).unlink()

    def _session(self, name: str) -> int | None:
        """The session's number, unless another program has got it since."""
        pid, started = self._written(name)
        try:
            return None if psutil.Process(pid).create_time() != started else pid
        except psutil.NoSuchProcess:
            return pid  # the leader ended, but its children may not have

    def _leader(self, name: str) -> psutil.Process | None:
        if not (self.pids / name).exists():
            return None
        pid, started = self._written(name)
        try:
            process = psutil.Process(pid)
            alive = process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None

    def _written(self, name: str) -> tuple[int, float]:
        pid, started = (self.pids / name).read_text().split()
        return int(pid), float(started)


def _members(sessions: set[int]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _session_of(process) in sessions]


def _session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else -1
    except (ProcessLookupError, psutil.NoSuchProcess):
        return -1


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
