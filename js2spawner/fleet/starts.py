"""One start: attempts, one after another, until a notebook answers or there is nothing left to try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from js2spawner.failures import Failure, failure
from js2spawner.fleet import metrics
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.journal import Journal
from js2spawner.fleet.regions import RegionDesk
from js2spawner.instance import (
    Booting,
    Building,
    Ended,
    Ending,
    Leaving,
    Owner,
    Plan,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    Unsure,
)

_GONE_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of a start that failed, for the failure page."""

    number: int
    attempt_id: str
    why: Failure


class StartFailed(Exception):
    """Nothing is left to try. `tried` tells every attempt, the last one's failure is the start's."""

    def __init__(self, why: Failure, tried: tuple[Tried, ...]) -> None:
        super().__init__(why.sentence)
        self.why = why
        self.tried = tried


@dataclass(frozen=True, slots=True)
class Request:
    """What a start asks for, and how many attempts it may take."""

    owner: Owner
    plan: Plan
    attempts: int

    def fits(self, plan: Plan) -> bool:
        """Whether an instance of that plan is what is asked for."""
        return plan.choice == self.plan.choice


class Start:
    """Brings one server up.

    `on_attempt(record)` is called for each attempt before anything is awaited, `hand_over(record)` once its guest waits
    for an assignment, `reachable(record)` says whether the hub itself gets an answer from the notebook. `resumed`: the
    instance ran already when the start began.
    """

    def __init__(
        self,
        fleet: Fleet,
        desk: RegionDesk,
        request: Request,
        *,
        hand_over: Callable[[Record], Awaitable[None]],
        reachable: Callable[[Record], Awaitable[bool]],
        on_attempt: Callable[[Record], None],
    ) -> None:
        self._fleet = fleet
        self._desk = desk
        self._request = request
        self._hand_over = hand_over
        self._reachable = reachable
        self._on_attempt = on_attempt
        self._tried: list[Tried] = []
        self.resumed = False

    async def run(self, journal: Journal) -> Record:
        """The record of a running instance whose notebook the hub has reached. Raises StartFailed."""
        record = await self._take_up() or self._launch()
        while True:
            self.resumed, comes_back = isinstance(record.state, Running), record.comes_back
            journal.plan(record)
            record = await self._see_through(record)
            if record.because is not None:
                record = await self._next(record.because, record, journal)
            elif await self._reachable(record):
                metrics.STARTS.labels(record.plan.image, record.plan.flavor, "ready").inc()
                return record
            elif not self.resumed:
                why = failure("no-route")
                await (self._fleet.part if comes_back else self._fleet.end)(record.attempt_id, why)
                self._keep(record, why)
                record = await self._next(why, record, journal)
            else:
                # It ran before and may hold somebody's work: what cannot be reached is set aside, never deleted.
                self._fleet.let_go(record.attempt_id, set_aside=True)
                journal.say("Your earlier instance cannot be reached. It is kept for a while; here is a new one.")
                record = self._launch()

    async def _take_up(self) -> Record | None:
        """An instance of the same choice that an earlier hub process left behind, or that is on the shelf.

        Another one of this server goes; what is on the shelf for another choice stays there.
        """
        mine = [r for r in self._fleet.of(self._request.owner) if not r.over and not r.set_aside]
        fitting = [record for record in mine if self._request.fits(record.plan)]
        found = max(fitting, key=lambda record: (not record.on_shelf, record.begun_at), default=None)
        for other in mine:
            if other is not found and not other.on_shelf:
                await self._fleet.part(other.attempt_id, failure("replaced"))
        if found is None:
            return None
        self._on_attempt(found)
        if not found.on_shelf:
            return self._fleet.claim(found.attempt_id) or found
        self._fleet.amend(found.attempt_id, lambda record: record.renewed(self._request.plan))
        return self._fleet.bring_back(found.attempt_id) or found

    def _launch(self) -> Record:
        record = self._fleet.launch(self._request.owner, self._request.plan, len(self._tried) + 1)
        self._on_attempt(record)
        return record

    async def _see_through(self, record: Record) -> Record:
        """Wait until the attempt runs or its end is decided. All deadlines are `instance.decide`'s."""
        offered = False
        while True:
            match record.state:
                case Running():
                    if not self.resumed:
                        self._desk.had_room(record.plan.flavor)
                    return record
                case _ if record.parted and record.because is not None:
                    self._keep(record, record.because)
                    return record
                case Planned() | Unsure() | Building() | Booting() | Leaving() | Shelving() | Shelved() | Returning():
                    pass
                case _ if not offered and not record.lacks_home:
                    offered = True
                    await self._hand_over(record)
                    record = self._fleet.get(record.attempt_id) or record
                    continue
            await self._fleet.changed(record.attempt_id, None)
            record = self._fleet.get(record.attempt_id) or record

    def _keep(self, record: Record, why: Failure) -> None:
        if why.name == "capacity":
            self._desk.no_room(record.plan.flavor)
        self._tried.append(Tried(len(self._tried) + 1, record.attempt_id, why))

    async def _next(self, why: Failure, record: Record, journal: Journal) -> Record:
        """The next attempt, or StartFailed when another would not help."""
        if why.policy != "again" or len(self._tried) >= self._request.attempts:
            metrics.STARTS.labels(record.plan.image, record.plan.flavor, why.name).inc()
            raise StartFailed(why, tuple(self._tried))
        journal.retry(len(self._tried) + 1, why)
        await self._gone(record)
        return self._launch()

    async def _gone(self, record: Record) -> None:
        """Wait a little for the failed instance to be gone: until then it counts against the quota."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GONE_PATIENCE_S):
                while _in_the_way(self._fleet.get(record.attempt_id) or record):
                    await self._fleet.changed(record.attempt_id, None)


def _in_the_way(record: Record) -> bool:
    """Whether it will soon be gone. What is on the shelf is not, and a broken card is held until another one is had."""
    held = isinstance(record.state, Ending) and record.state.not_before is not None
    return not (held or record.on_shelf or isinstance(record.state, Ended))
