"""One list for everybody: what exists in one region, asked often while anything moves and rarely when all is quiet.

A picture carries the instant it was asked for. An old picture is "unknown", never "gone": whoever reads it decides by
that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from js2spawner.cloud.errors import CloudError
from js2spawner.cloud.records import Server


@dataclass(frozen=True, slots=True)
class Picture:
    """All servers that carry this hub's tag, as the cloud showed them in answer to a question asked at `as_of`."""

    as_of: float
    servers: Mapping[str, Server]
    by_attempt: Mapping[str, Server]
    absences: Mapping[str, int]

    def find(self, attempt_id: str, server_id: str) -> Server | None:
        """The server by id if we know one, else by the attempt its metadata names."""
        if server_id:
            return self.servers.get(server_id)
        return self.by_attempt.get(attempt_id)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two lists while the cloud is at work, when nothing happens, and while guests start (at most).

    `least_s`: never fewer, however soon something may be done.
    """

    moving_s: float = 2.0
    quiet_s: float = 20.0
    guests_s: float = 10.0
    least_s: float = 0.4

    def while_moving(self, likely_s: float | None) -> float:
        """The rest before the next list when an instance is likely to be built in `likely_s`, or nobody knows when."""
        return self.moving_s if likely_s is None else min(self.moving_s, max(self.least_s, likely_s))


class Inventory:
    """The loop that keeps the picture of one region fresh. One request in flight at any time."""

    def __init__(
        self,
        region: str,
        list_servers: Callable[[], Awaitable[list[Server]]],
        *,
        attempt_key: str,
        pace: Pace,
        moving: Callable[[], bool],
        likely_s: Callable[[], float | None],
        awaits_guests: Callable[[], bool],
        watched: Callable[[], set[str]],
        on_round: Callable[[Picture | None], None],
        clock: Callable[[], float],
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    ) -> None:
        self.region = region
        self.picture: Picture | None = None
        self.trouble: CloudError | None = None
        self._list_servers = list_servers
        self._attempt_key = attempt_key
        self._pace = pace
        self._moving = moving
        self._likely_s = likely_s
        self._awaits_guests = awaits_guests
        self._watched = watched
        self._on_round = on_round
        self._clock = clock
        self._log = log
        self._absences: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def hurry(self) -> None:
        """Something began to move: do not wait out a longer interval."""
        self._wake.set()

    def age_s(self) -> float | None:
        """How old the picture is; None when there is none yet."""
        return None if self.picture is None else self._clock() - self.picture.as_of

    async def run(self) -> None:
        """Take pictures until cancelled. A cloud in trouble is asked on; the client slows down by itself."""
        while True:
            try:
                await self._round()
            except Exception:  # noqa: BLE001
                # A fault of ours in one round must not leave the hub blind for ever.
                self._log.exception("region %s: a look at its instances failed", self.region)
            await self._rest()

    async def _round(self) -> None:
        as_of = self._clock()
        try:
            servers = await self._list_servers()
        except CloudError as error:
            if self.trouble is None or self.trouble.name != error.name:
                self._log.warning("region %s: the list of instances failed (%s): %s", self.region, error.name, error)
            self.trouble = error
            self._on_round(None)
            return
        if self.trouble is not None:
            self._log.info("region %s: the cloud answers again", self.region)
        self.trouble = None
        by_id = {server.id: server for server in servers}
        watched = self._watched()
        self._absences = Counter({i: self._absences[i] + 1 for i in watched if i not in by_id})
        by_attempt = {s.metadata[self._attempt_key]: s for s in servers if self._attempt_key in s.metadata}
        self.picture = Picture(as_of, by_id, by_attempt, dict(self._absences))
        self._on_round(self.picture)

    async def _rest(self) -> None:
        if self._moving() or await self._woken():
            self._wake.clear()
            # What began just now cannot show yet: its call is still on its way to the cloud.
            await asyncio.sleep(self._pace.while_moving(self._likely_s()))

    async def _woken(self) -> bool:
        """Whether something began to move before it was time for the next list."""
        rest_s = min(self._pace.guests_s, self._pace.quiet_s) if self._awaits_guests() else self._pace.quiet_s
        # Not wait_for: in Python 3.11 it loses a cancellation that comes in the same moment as the wake.
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._wake.wait()
        return self._wake.is_set()
