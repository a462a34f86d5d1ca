"""The processes of a machine as its host sees them: switched on, found again, watched, frozen, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from js2spawner.devcloud.machine.inside.plan import Plan
from js2spawner.devcloud.machine.inside.processes import descendants, stat

ON_TIMEOUT_S = 30.0
# A little more than the machine's own grace for its processes (inside/init.py, GRACE_S).
OFF_TIMEOUT_S = 12.0
KILL_TIMEOUT_S = 10.0
_RECORD = "power.json"


class MachineError(Exception):
    """A machine could not be switched on or off; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Powered:
    """A machine that is on: its outermost process, ours or adopted, known for sure by `started` and the open `pidfd`.

    `off` is set once that process has ended.
    """

    pid: int
    started: int
    pidfd: int
    off: asyncio.Event


async def switch_on(plan: Plan) -> Powered:
    """Start a machine and wait until it says that it is there.

    Raises MachineError, with nothing left behind, if it cannot be: the kernel refuses a namespace or a mount.
    """
    process = await asyncio.to_thread(_start, plan)
    said = await asyncio.to_thread(_answer, process, plan)
    found = stat(process.pid)
    if said != "on" or found is None:
        await asyncio.to_thread(_give_up, process)
        raise MachineError(f"Machine {plan.server_id} cannot be switched on: {said or 'its first process died'}.")
    # From here on the pidfd watches it; a Popen object would only warn that it was left alone.
    process.returncode = 0
    powered = Powered(process.pid, found.started, os.pidfd_open(process.pid), asyncio.Event())
    _write_record(Path(plan.directory), powered)
    _watch(powered, Path(plan.directory))
    return powered


def adopt(machine: Path) -> Powered | None:
    """The machine of this folder if it is still on from an earlier life of ours; never a stranger with its number."""
    try:
        record = json.loads((machine / _RECORD).read_text())
    except FileNotFoundError:
        return None
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(record["pid"])
        found = stat(record["pid"])
        same = record["kernel_boot"] == _kernel_boot() and found is not None and found.started == record["started"]
        if same and found is not None and found.state not in "ZX":
            powered = Powered(record["pid"], found.started, pidfd, asyncio.Event())
            _watch(powered, machine)
            # We may have died while it was frozen.
            _signal_each(descendants(powered.pid), signal.SIGCONT)
            return powered
        os.close(pidfd)
    (machine / _RECORD).unlink(missing_ok=True)
    return None


async def switch_off(powered: Powered, *, hard: bool) -> None:
    """End every process of the machine: orderly with a grace, or at once. Raises MachineError if one will not die."""
    if powered.off.is_set():
        return
    if not hard:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(powered.pidfd, signal.SIGTERM)
        if await _off_within(powered, OFF_TIMEOUT_S):
            return
    # Not SIGKILL: the machine's first process has to see to the others, or they would live on or die after it.
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(powered.pidfd, signal.SIGINT)
    if await _off_within(powered, KILL_TIMEOUT_S):
        return
    _signal_each((*descendants(powered.pid), powered.pid), signal.SIGKILL)
    if not await _off_within(powered, KILL_TIMEOUT_S):
        raise MachineError(f"Process {powered.pid} of a machine does not end, not even by SIGKILL.")


@contextlib.contextmanager
def frozen(powered: Powered | None) -> Iterator[None]:
    """No process of the machine runs meanwhile: its files hold still and cannot be swapped under a reader. Blocks."""
    stopped: set[int] = set()
    try:
        while powered is not None and not powered.off.is_set():
            # One that was just forked shows up in the next round; at last nobody is left to fork.
            fresh = descendants(powered.pid).keys() - stopped
            if not fresh:
                break
            _signal_each(fresh, signal.SIGSTOP)
            stopped |= fresh
        yield
    finally:
        _signal_each(stopped, signal.SIGCONT)


def _signal_each(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _start(plan: Plan) -> subprocess.Popen[bytes]:
    # -S and the folder as working directory: the first process imports nothing but the standard library and `inside`.
    command = [sys.executable, "-E", "-s", "-S", "-m", "inside", plan.server_id]
    with Path(plan.directory, "console.log").open("ab") as console:
        return subprocess.Popen(  # noqa: S603, arguments of our own
            command,
            cwd=Path(__file__).parent,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=console,
            start_new_session=True,
            pass_fds=tuple(descriptor for _, descriptor in plan.disks),
        )


def _answer(process: subprocess.Popen[bytes], plan: Plan) -> str:
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    with contextlib.suppress(BrokenPipeError), process.stdin as plug:
        plug.write(plan.to_json().encode())
    with process.stdout as answer:
        ready, _, _ = select.select([answer], [], [], ON_TIMEOUT_S)
        return answer.read(4096).decode(errors="replace").strip() if ready else f"no answer within {ON_TIMEOUT_S:.0f} s"


def _give_up(process: subprocess.Popen[bytes]) -> None:
    # As in switch_off: it sees to the machine's other processes, unless it hangs.
    process.send_signal(signal.SIGINT)
    try:
        process.wait(KILL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _watch(powered: Powered, machine: Path) -> None:
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(powered.pidfd)
        # An adopted process is somebody else's child; ours must be reaped.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(powered.pid, os.WNOHANG)
        os.close(powered.pidfd)
        (machine / _RECORD).unlink(missing_ok=True)
        powered.off.set()

    loop.add_reader(powered.pidfd, ended)


async def _off_within(powered: Powered, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await powered.off.wait()
    return powered.off.is_set()


def _write_record(machine: Path, powered: Powered) -> None:
    record = {"pid": powered.pid, "started": powered.started, "kernel_boot": _kernel_boot()}
    fresh = machine / f"{_RECORD}.new"
    fresh.write_text(json.dumps(record))
    fresh.replace(machine / _RECORD)


def _kernel_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
