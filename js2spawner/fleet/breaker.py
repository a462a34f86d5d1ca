"""Which regions do not answer at the moment, so that no start waits for one that is away.

A breaker for each region. Its state is a value, `Health`, whose methods say what follows from what; `Breaker` holds one
a region, hears what becomes of the questions to its Nova (and of failed sign-ins), logs the changes and shows them as a
metric. Nobody asks a question for the breaker's sake: the list of instances is taken all the time.

`down` (an open breaker) after five failures in a row, or half a minute without any answer while asked. The next good
list makes it `trying` (half open): starts may go there again, and one more failure, before another good answer, closes
the region at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from js2spawner.cloud.errors import CloudError, Unreachable
from js2spawner.fleet import metrics

T = TypeVar("T")

RegionState = Literal["up", "trying", "down"]

FAILURES_AT_MOST = 5
SILENCE_AT_MOST_S = 30.0

# The question that is asked all the time, and needs what a create needs of Nova but a hypervisor.
_LIST = "list-servers"

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]
Told = Callable[[str, RegionState], None]


@dataclass(frozen=True, slots=True)
class Health:
    """How one region answers. `open` questions have no answer yet; `since` is when it was silent from, while any is.

    `failures` are those in a row. Times are monotonic seconds.
    """

    state: RegionState = "up"
    failures: int = 0
    open: int = 0
    since: float | None = None

    def at(self, now: float) -> Health:
        """The same when nothing has come until now."""
        silent = self.since is not None and now - self.since >= SILENCE_AT_MOST_S
        return replace(self, state="down") if silent else self

    def asked(self, now: float) -> Health:
        return replace(self.at(now), open=self.open + 1, since=now if self.since is None else self.since)

    def answered(self, operation: str, now: float) -> Health:
        before = self.at(now)
        if before.state == "down" and operation != _LIST:
            return before._closed(now)
        if before.state == "down":
            return replace(before._closed(now), state="trying", failures=FAILURES_AT_MOST - 1)
        return replace(before._closed(now), state="up", failures=0)

    def failed(self, now: float) -> Health:
        failures = self.failures + 1
        state: RegionState = "down" if failures >= FAILURES_AT_MOST else self.at(now).state
        return replace(self._closed(self.since), state=state, failures=failures)

    def left(self, now: float) -> Health:
        """A question was given up, or says nothing of the region."""
        return self.at(now)._closed(self.since)

    def _closed(self, since: float | None) -> Health:
        # Between two questions nobody knows: silence counts only while somebody asks.
        still_open = max(0, self.open - 1)
        return replace(self, open=still_open, since=since if still_open else None)


class Breaker:
    """The health of all regions of a hub. Lives on the hub's event loop.

    Args:
        regions: their names in the catalog; others are always up.
        clock: monotonic seconds.
    """

    def __init__(self, regions: Iterable[str], *, log: Log, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._health = {name: Health() for name in regions}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._told: list[Told] = []
        self._fallen: dict[str, asyncio.Event] = {}
        for name in self._health:
            metrics.REGION_OPEN.labels(region=name).set(0)

    def is_open(self, region: str) -> bool:
        """Whether its cloud does not answer: nothing new is started there."""
        return self.state(region) == "down"

    def state(self, region: str) -> RegionState:
        if region not in self._health:
            return "up"
        self._become(region, self._health[region].at(self._clock()))
        return self._health[region].state

    def when_changed(self, told: Told) -> None:
        """Have `told(region, state)` called with each change, at the latest when the silence has lasted too long."""
        self._told.append(told)

    async def until_down(self, region: str) -> None:
        """Return as soon as a region is down; at once if it is."""
        while not self.is_open(region):
            await self._fallen.setdefault(region, asyncio.Event()).wait()

    def ear(self, region: str) -> Ear:
        """What hears a region's client."""
        return Ear(self, region)

    def watch(self, region: str) -> Watch:
        """What is told of one region to whoever works there."""
        return Watch(self, region)

    def close(self) -> None:
        """No timer stays behind."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def asked(self, region: str) -> None:
        self._become(region, self._health[region].asked(self._clock()))
        if region not in self._timers:
            self._watch(region, SILENCE_AT_MOST_S)

    def answered(self, region: str, operation: str) -> None:
        self._become(region, self._health[region].answered(operation, self._clock()))

    def failed(self, region: str, error: CloudError) -> None:
        self._become(region, self._health[region].failed(self._clock()), error.name)

    def left(self, region: str) -> None:
        self._become(region, self._health[region].left(self._clock()))

    def _watch(self, region: str, wait_s: float) -> None:
        self._timers[region] = asyncio.get_running_loop().call_later(wait_s, self._look, region)

    def _look(self, region: str) -> None:
        """One timer a region, set anew when it is over and not with each question."""
        del self._timers[region]
        now = self._clock()
        health = self._health[region].at(now)
        self._become(region, health)
        if health.since is not None and health.state != "down":
            self._watch(region, max(0.0, health.since + SILENCE_AT_MOST_S - now) + 0.001)

    def _become(self, region: str, health: Health, why: str = "no answer") -> None:
        before, self._health[region] = self._health[region].state, health
        if health.state == before:
            return
        metrics.REGION_OPEN.labels(region=region).set(health.state == "down")
        match health.state:
            case "down":
                self._log.warning("region %s does not answer (%s): nothing is started there until it does", region, why)
            case "trying":
                self._log.info("region %s answers again: the next starts may go there", region)
            case "up":
                self._log.info("region %s is up", region)
        if health.state == "down" and (fallen := self._fallen.pop(region, None)):
            fallen.set()
        for told in self._told:
            told(region, health.state)


@dataclass(frozen=True, slots=True)
class Ear:
    """One region's questions, told to the breaker (see cloud.hearing.Listener)."""

    breaker: Breaker
    region: str

    def asked(self) -> None:
        self.breaker.asked(self.region)

    def answered(self, operation: str) -> None:
        self.breaker.answered(self.region, operation)

    def failed(self, error: CloudError) -> None:
        self.breaker.failed(self.region, error)

    def left(self) -> None:
        self.breaker.left(self.region)


@dataclass(frozen=True, slots=True)
class Watch:
    """How one region is; without a breaker it is always up."""

    breaker: Breaker | None = None
    region: str = ""

    @property
    def state(self) -> RegionState:
        return self.breaker.state(self.region) if self.breaker else "up"

    @property
    def down(self) -> bool:
        return self.state == "down"

    async def unless_down(self, asked: Awaitable[T]) -> T:
        """The answer, or Unreachable as soon as the region is down: nobody waits for a region that is away."""
        answer = asyncio.ensure_future(asked)
        if self.breaker is None:
            return await answer
        fallen = asyncio.ensure_future(self.breaker.until_down(self.region))
        try:
            await asyncio.wait((answer, fallen), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise Unreachable(f"region {self.region} does not answer")
        finally:
            fallen.cancel()
            answer.cancel()


ALWAYS_UP = Watch()
