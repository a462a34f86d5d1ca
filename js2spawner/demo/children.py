"""A few long-running child processes: started in order, kept alive, ended in the opposite order.

Each child leads a process group of its own, so that a Ctrl-C in the terminal reaches only us and we choose the
order in which they end. Polling five times a second keeps this free of threads, which `preexec_fn` demands.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from js2spawner.demo import orphans
from js2spawner.demo.probes import Probe

_LOOK_EVERY_S = 0.2
_END_LOOK_EVERY_S = 0.05
_ORPHANS_END_WITHIN_S = 5.0
_LOG_LINES_SHOWN = 20
_LOG_BYTES_READ = 16 * 1024


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """One child: what to run and what to expect of it. `leaves_work` says that what it started outlives its crash."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    log: Path
    healthy: Probe
    healthy_within_s: float
    stop_within_s: float
    leaves_work: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """How many deaths of one child within how many seconds are met with a restart."""

    restarts: int = 3
    within_s: float = 600.0

    def lets_restart(self, deaths: list[float], now: float) -> bool:
        return len([at for at in deaths if now - at < self.within_s]) <= self.restarts


class ChildFailed(Exception):
    """A child ended, or did not get healthy in time; the text says which, and shows the end of its log."""


@dataclass(slots=True)
class _Running:
    plan: ChildPlan
    process: subprocess.Popen[bytes]
    deaths: list[float] = field(default_factory=list)


class Children:
    """The shell around a set of child processes. `say` gets a sentence whenever something happens on its own.

    While it is in use the process starts no other children: it would take them for what one of these left behind.
    """

    def __init__(self, *, say: Callable[[str], None], patience: Patience, held_files: tuple[int, ...] = ()) -> None:
        self._say = say
        self._patience = patience
        self._held_files = held_files
        self._running: list[_Running] = []
        self._spared: frozenset[int] = frozenset()
        self._hurry = False
        orphans.adopt_orphans()
        self._strangers = orphans.adopted(frozenset())

    async def start(self, plan: ChildPlan) -> None:
        """Start one child and wait until it is healthy. Raises ChildFailed when it ends first or takes too long."""
        running = _Running(plan, _spawn(plan, self._held_files))
        self._running.append(running)
        await _become_healthy(running)

    async def watch(self) -> None:
        """Start again whatever dies, until one child dies too often: then ChildFailed says so."""
        while True:
            for running in self._running:
                if running.process.poll() is not None:
                    await self._restart(running)
            self._spared &= self._adopted()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def stop(self) -> None:
        """End every child, the last started first, and then whatever they left behind. Safe to call twice."""
        while self._running:
            await self._end(self._running[-1])
            self._running.pop()
        await self._end_orphans(spare=frozenset())

    def hurry(self) -> None:
        """Stop waiting for anybody: what has not ended yet is killed."""
        self._hurry = True

    async def _restart(self, running: _Running) -> None:
        plan = running.plan
        running.deaths.append(time.monotonic())
        if plan.leaves_work:
            self._spared |= self._adopted()
        else:
            _signal_group(running.process.pid, signal.SIGKILL)
            await self._end_orphans(spare=self._spared)
        ending = _ending(running.process, plan)
        if not self._patience.lets_restart(running.deaths, now=running.deaths[-1]):
            raise ChildFailed(f"{ending}\nThat was death {len(running.deaths)} of the {plan.name}: the demo ends.")
        self._say(f"{ending}\nStarting the {plan.name} again.")
        running.process = _spawn(plan, self._held_files)

    def _adopted(self) -> frozenset[int]:
        return orphans.adopted(self._strangers.union(running.process.pid for running in self._running))

    async def _end(self, running: _Running) -> None:
        process = running.process
        if process.poll() is None:
            process.terminate()
        deadline = time.monotonic() + running.plan.stop_within_s
        while process.poll() is None and time.monotonic() < deadline and not self._hurry:
            # A child waits for its own to go, and some of those may be ours to reap by now.
            self._adopted()
            await asyncio.sleep(_END_LOOK_EVERY_S)
        # Whether the leader ended by itself or not, it may have left members of its group behind.
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()

    async def _end_orphans(self, *, spare: frozenset[int]) -> None:
        """Ask, then insist. Killing one can hand us its own children, so look again until none is left."""
        for which in (signal.SIGTERM, signal.SIGKILL):
            told: frozenset[int] = frozenset()
            deadline = time.monotonic() + _ORPHANS_END_WITHIN_S
            while (left := self._adopted() - spare) and time.monotonic() < deadline:
                for pid in left - told:
                    _signal(pid, which)
                told |= left
                if self._hurry and which is signal.SIGTERM:
                    break
                await asyncio.sleep(_END_LOOK_EVERY_S)


def _spawn(plan: ChildPlan, held_files: tuple[int, ...]) -> subprocess.Popen[bytes]:
    plan.log.parent.mkdir(parents=True, exist_ok=True)
    # What a child keeps there may hold secrets (the hub's database does).
    plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with plan.log.open("ab") as log:
        return subprocess.Popen(
            plan.argv,
            env=dict(plan.environment),
            cwd=plan.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=orphans.end_with_parent(),
            pass_fds=held_files,
        )


async def _become_healthy(running: _Running) -> None:
    plan = running.plan
    deadline = time.monotonic() + plan.healthy_within_s
    while not await plan.healthy():
        if running.process.poll() is not None:
            raise ChildFailed(_ending(running.process, plan))
        if time.monotonic() > deadline:
            raise ChildFailed(
                f"The {plan.name} did not get ready within {plan.healthy_within_s:.0f} seconds.{_end_of_log(plan.log)}"
            )
        await asyncio.sleep(_LOOK_EVERY_S)


def _ending(process: subprocess.Popen[bytes], plan: ChildPlan) -> str:
    code = process.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"The {plan.name} {how}.{_end_of_log(plan.log)}"


def _end_of_log(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_BYTES_READ))
        lines = file.read().decode(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
    if not lines:
        return f" It wrote nothing to {log}."
    return "\n".join([f" The end of {log}:", *(f"    {line}" for line in lines)])


def _signal_group(group: int, which: signal.Signals) -> None:
    try:
        os.killpg(group, which)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in it (macOS answers EPERM when only zombies are)


def _signal(pid: int, which: signal.Signals) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return
