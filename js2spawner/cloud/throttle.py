"""One pace for all calls to one cloud: a token bucket that slows down when the cloud asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from .settings import DEFAULT_PAUSE_S, LONGEST_PAUSE_S

SLOWEST_SHARE = 1 / 16
RECOVERY_SHARE = 1 / 50

# Below this a wait is rounding: sleeping for it might not even move the clock.
_NO_WAIT_S = 1e-6


class Throttle:
    """Hands out turns in the order they were asked for.

    A refusal halves the pace and pauses everybody; every good answer wins a fiftieth of the full pace back.

    Args:
        calls_per_second: the full pace.
        burst: turns in hand after a pause, however long it was.
        clock: monotonic seconds.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        calls_per_second: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._full_pace = calls_per_second
        self._pace = calls_per_second
        self._burst = float(max(1, burst))
        self._clock = clock
        self._sleep = sleep
        self._turns = self._burst
        self._counted_at = clock()
        self._paused_until = self._counted_at
        self._line = asyncio.Lock()

    @property
    def calls_per_second(self) -> float:
        """The present pace."""
        return self._pace

    async def turn(self) -> None:
        """Wait for a turn. Whoever is cancelled while waiting takes none."""
        # Only the head of the line sleeps, so a pause that begins meanwhile holds everybody behind it too
        # instead of letting them all go at its end.
        async with self._line:
            while (wait_s := self._wait_s()) > _NO_WAIT_S:
                await self._sleep(wait_s)
            self._turns -= 1

    def slow_down(self, retry_after_s: float | None) -> None:
        """The cloud refused a call (429, 503): pause for what it asks (at most 60 s) and go on at half the pace."""
        now = self._clock()
        self._refill(now)
        # The calls that were in flight together are refused together: that is one complaint, not twenty.
        if now >= self._paused_until:
            self._pace = max(self._pace / 2, self._full_pace * SLOWEST_SHARE)
        pause_s = DEFAULT_PAUSE_S if retry_after_s is None else min(max(retry_after_s, 0.0), LONGEST_PAUSE_S)
        self._paused_until = max(self._paused_until, now + pause_s)
        self._turns = min(self._turns, 1.0)

    def ease(self) -> None:
        """The cloud answered well."""
        if self._pace < self._full_pace:
            self._refill(self._clock())
            self._pace = min(self._full_pace, self._pace + self._full_pace * RECOVERY_SHARE)

    def _wait_s(self) -> float:
        now = self._clock()
        self._refill(now)
        for_a_turn_s = (1 - self._turns) / self._pace
        return max(self._paused_until - now, for_a_turn_s, 0.0)

    def _refill(self, now: float) -> None:
        # No credit for the time of a pause: it would be spent in one burst at its end.
        since = max(self._counted_at, min(self._paused_until, now))
        self._turns = min(self._burst, self._turns + (now - since) * self._pace)
        self._counted_at = now
