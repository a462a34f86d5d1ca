"""The single-user server while it runs: found again, restarted when it dies, asked whether it answers."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any

from . import launch, mounts, processes
from .account import Account
from .activity import any_busy
from .assignment import Assignment
from .processes import Process
from .rundir import RunDir
from .standby import BECAME, Standby

log = logging.getLogger("js2")

MOST_DEATHS = 5
DEATHS_WITHIN_S = 600.0
LONGEST_PAUSE_S = 30.0
ANSWER_TIMEOUT_S = 5.0
ANSWER_LIMIT_BYTES = 256 * 1024
LOG_LIMIT_BYTES = 1024 * 1024
LOG_TAIL_BYTES = 64 * 1024
# Values shorter than this are words like "1" or "/user/", and no secrets.
SECRET_LENGTH = 12


class GaveUp(Exception):
    """The server died too often; the message says how it ended last."""


class Notebook:
    """One user's server on this instance. Every method returns soon; `watch` is called about once a second."""

    def __init__(
        self,
        assignment: Assignment,
        account: Account,
        run: RunDir,
        clock: Callable[[], float],
        standby: Standby | None = None,
    ) -> None:
        """`standby` is a server imported ahead of time; the first start uses it up, whether it can or not."""
        self._assignment = assignment
        self._account = account
        self._run = run
        self._clock = clock
        self._log = run.log / "server.log"
        self._pid = 0
        self._started = 0
        self._deaths: collections.deque[float] = collections.deque(maxlen=MOST_DEATHS)
        self._next_start = 0.0
        self._child: Any = None
        self._standby = standby
        self.restarts = 0

    @property
    def pid(self) -> int:
        """The server's process id; 0 before the first start."""
        return self._pid

    def adopt(self) -> bool:
        """Go on with the server that an earlier agent of this boot started, if it still runs."""
        kept = self._run.kept("notebook") or {}
        pid, started, restarts = (kept.get(name) for name in ("pid", "started", "restarts"))
        if not (isinstance(pid, int) and isinstance(started, int) and isinstance(restarts, int)):
            return False
        self.restarts = restarts
        seen = processes.read(pid)
        if seen is None or seen.started != started:
            return False
        self._pid, self._started = pid, started
        return True

    def start(self) -> None:
        """Start the server. Raises CannotStart."""
        self._run.share_with(self._run.log, self._account.gid)
        if self._account.switch:
            mounts.give_memory(self._run.runtime, self._account.uid, self._account.gid)
        self._run.give_runtime(self._account.uid, self._account.gid)
        launch.write_certificates(self._assignment, self._account, self._run)
        variables = launch.environment(self._assignment, self._account, self._run, os.environ)
        argv = launch.arguments(self._assignment, self._run)
        self._child = launch.start(argv, variables, self._account, self._log, self._standby)
        if self._standby is not None and self._child is not self._standby.child:
            self._dismiss(self._standby.answer() or "it is not for this server")
        self._pid = self._child.pid
        seen = processes.read(self._pid)
        self._started = seen.started if seen else 0
        self._run.keep("notebook", {"pid": self._pid, "started": self._started, "restarts": self.restarts})

    def alive(self) -> bool:
        """Whether the server's process runs."""
        seen = processes.read(self._pid) if self._pid else None
        return seen is not None and seen.started == self._started

    def watch(self, ended: Mapping[int, int]) -> bool:
        """Restart the server when it has died, later each time; True when it lives. Raises GaveUp, CannotStart.

        `ended` are the exit statuses collected since the last call.
        """
        self._bound_log()
        if self._standby is not None:
            self._hear_standby(self._standby)
        now = self._clock()
        if self._pid and self.alive():
            return True
        if self._pid:
            status = ended.get(self._pid)
            self._pid = 0
            if self._child is not None:
                self._child.returncode = status if status is not None else 0
            self._deaths.append(now)
            if len(self._deaths) == MOST_DEATHS and now - self._deaths[0] < DEATHS_WITHIN_S:
                raise GaveUp(self._last_words(status))
            self._next_start = now + min(LONGEST_PAUSE_S, 2.0 ** (len(self._deaths) - 1))
        if now >= self._next_start:
            self.restarts += 1
            self.start()
        return False

    def answers(self) -> bool:
        """Whether something answers HTTP (with internal_ssl: TLS) on the server's own address and port."""
        return self._ask("api", limit_bytes=4096) is not None

    def kernel_is_busy(self) -> bool:
        """Whether a kernel says it is at work; asking leaves no trace of activity (Jupyter Server's own option)."""
        raw = self._ask("api/kernels?no_track_activity=1", limit_bytes=ANSWER_LIMIT_BYTES)
        try:
            return any_busy(json.loads(raw or b"[]"))
        except (ValueError, RecursionError):
            return False

    def users_processes(self) -> list[Process]:
        """All that runs for the user. Without an account of their own: what descends from the server or from us."""
        if self._account.switch:
            return processes.belonging(processes.everything(), self._account.uid, [self._pid])
        return processes.belonging(processes.everything(), None, [self._pid, os.getpid()])

    def _hear_standby(self, standby: Standby) -> None:
        """Ask what came of the order. A refusal is no death of the server: another is started at once, from nothing."""
        answer = standby.answer()
        if answer == BECAME:
            standby.release()
            self._standby = None
        elif answer is not None:
            self._dismiss(answer)
            self.start()

    def _dismiss(self, why: str) -> None:
        if self._standby is not None:
            log.info("the server is started without what was imported ahead of time: %s", why)
            self._standby.dismiss()
            self._standby = None

    def _ask(self, path: str, limit_bytes: int) -> bytes | None:
        """The body of a 200, nothing of any other answer, None without one."""
        place = self._assignment
        connection: http.client.HTTPConnection
        source = (place.address, 0)
        if place.certificates is None:
            connection = http.client.HTTPConnection(place.address, place.port, ANSWER_TIMEOUT_S, source)
        else:
            connection = http.client.HTTPSConnection(
                place.address, place.port, timeout=ANSWER_TIMEOUT_S, source_address=source, context=self._tls()
            )
        prefix = "/" + place.env.get("JUPYTERHUB_SERVICE_PREFIX", "/").strip("/")
        token = place.env.get("JUPYTERHUB_API_TOKEN", "")
        try:
            connection.request("GET", f"{prefix.rstrip('/')}/{path}", headers={"Authorization": f"token {token}"})
            response = connection.getresponse()
            body = response.read(limit_bytes + 1)
        except ssl.SSLError:
            return b""  # it speaks TLS, and wants a certificate that only the hub has: it is there
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if response.status == 200 and len(body) <= limit_bytes else b""

    def _tls(self) -> ssl.SSLContext:
        # To ourselves, on our own address: there is nobody to authenticate, and the authority knows only the hub.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with contextlib.suppress(OSError):
            context.load_cert_chain(self._run.tls / "server.crt", self._run.tls / "server.key")
        return context

    def _bound_log(self) -> None:
        """Keep the log below its limit by moving its end to server.log.1; the server appends and does not mind."""
        try:
            if self._log.stat().st_size <= LOG_LIMIT_BYTES:
                return
            # Without room for its end there is all the more reason to make some.
            with contextlib.suppress(OSError):
                (self._run.log / "server.log.1").write_bytes(self._tail(LOG_TAIL_BYTES))
            os.truncate(self._log, 0)
        except FileNotFoundError:
            return

    def _tail(self, most_bytes: int) -> bytes:
        with self._log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - most_bytes))
            return stream.read(most_bytes)

    def _last_words(self, status: int | None) -> str:
        how = "with an unknown status" if status is None else f"by signal {-status}" if status < 0 else f"with {status}"
        try:
            lines = [line for line in self._tail(4096).decode(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        last = lines[-1].strip()[:300] if lines else "nothing"
        for value in self._assignment.env.values():
            if len(value) >= SECRET_LENGTH:
                last = last.replace(value, "…")
        return f"The server ended {MOST_DEATHS} times within ten minutes, the last time {how}, saying: {last}"
