"""The first process of a machine: pretends the boot, runs the guest program, reaps, ends everything on power-off."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque

from .boot_log import boot_lines
from .console import Console
from .linux import PR_SET_PDEATHSIG, prctl
from .plan import Plan
from .processes import descendants

# systemd would give a service 90 s (DefaultTimeoutStopSec); nobody waits that long for a laptop's cloud.
GRACE_S = 8.0
LONGEST_PAUSE_S = 30.0
# The guest program cannot run like this, or its hub will never accept it: another try would end the same way.
HOPELESS = (2, 3)


class Init:
    """Runs until the machine is off: on SIGTERM orderly, on SIGINT at once, or when the guest program ends with 0.

    A guest program that fails is started again after a growing pause, as a service manager would, unless that is
    hopeless.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._on_at = time.monotonic()
        self._lines = deque(boot_lines(plan.hostname, plan.boot_seconds))
        self._guest: subprocess.Popen[bytes] | None = None
        self._start_guest_at: float | None = None if plan.guest_dead else self._on_at + plan.boot_seconds
        self._pause_s = 1.0
        self._kill_at: float | None = None
        self._off = False
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGTERM, lambda *_: self._power_off(GRACE_S))
        signal.signal(signal.SIGINT, lambda *_: self._power_off(0.0))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ)
        while not self._off:
            self._do_what_is_due()
            for key, _ in self._selector.select(self._idle_s()):
                if key.fd == reader:
                    os.read(reader, 512)
                else:
                    self._copy_output(key.fd)
            self._reap()

    def _idle_s(self) -> float | None:
        """How long until something is due; None if only a signal or the guest can make it so."""
        due = [at for at in (self._start_guest_at, self._kill_at) if at is not None]
        if self._lines:
            due.append(self._on_at + self._lines[0][0])
        if self._kill_at is not None:
            # Processes of other parents than us end without a word to us.
            due.append(time.monotonic() + 0.2)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        while self._lines and now >= self._on_at + self._lines[0][0]:
            self._console.line(self._lines.popleft()[1])
        if self._start_guest_at is not None and now >= self._start_guest_at:
            self._start_guest_at = None
            self._start_guest()
        if self._kill_at is not None and now >= self._kill_at:
            self._signal_all(signal.SIGKILL)

    def _start_guest(self) -> None:
        try:
            self._guest = subprocess.Popen(  # noqa: S603, arguments of our own
                self._plan.guest,
                env=dict(self._plan.environment),
                cwd=self._plan.environment["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # If somebody kills us and no PID namespace does it, the guest ends too and takes along what it started.
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        except OSError as problem:
            self._console.line(f"devcloud: the guest program cannot be started: {problem}")
            self._start_guest_later()
            return
        assert self._guest.stdout is not None
        os.set_blocking(self._guest.stdout.fileno(), False)
        self._selector.register(self._guest.stdout.fileno(), selectors.EVENT_READ)

    def _start_guest_later(self) -> None:
        self._start_guest_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _copy_output(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        if data:
            self._console.write(data)
        else:
            self._selector.unregister(descriptor)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if self._guest is not None and pid == self._guest.pid:
                    self._guest_ended(os.waitstatus_to_exitcode(status))
        # No child is left: nothing runs here any more but us.
        self._off = self._kill_at is not None

    def _guest_ended(self, code: int) -> None:
        assert self._guest is not None
        self._guest.returncode = code
        if self._guest.stdout is not None and self._guest.stdout.fileno() in self._selector.get_map():
            self._copy_output(self._guest.stdout.fileno())
            self._selector.unregister(self._guest.stdout.fileno())
        if self._guest.stdout is not None:
            self._guest.stdout.close()
        self._guest = None
        if self._kill_at is not None:
            return
        if code == 0:
            self._power_off(GRACE_S)
            return
        self._console.line(f"systemd[1]: js2-guest.service: Main process exited, status={code}.")
        if code not in HOPELESS:
            self._start_guest_later()

    def _power_off(self, grace_s: float) -> None:
        self._console.line("systemd[1]: Shutting down.")
        self._lines.clear()
        self._start_guest_at = None
        kill_at = time.monotonic() + grace_s
        self._kill_at = kill_at if self._kill_at is None else min(kill_at, self._kill_at)
        self._signal_all(signal.SIGTERM if grace_s else signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        """To every process of the machine; without a PID namespace those are all below us, for we adopt orphans."""
        if self._plan.private:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, number)
            return
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
