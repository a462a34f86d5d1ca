"""One start: attempts, one after another, until a notebook answers or there is nothing left to try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from js2spawner.cloud.errors import BadFlavor, CloudError
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.fleet import metrics
from js2spawner.fleet.admission import Admission, NoTurn, Wish
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.homes import HomeFailed
from js2spawner.fleet.journal import Journal
from js2spawner.instance import (
    Booting,
    Building,
    Ended,
    Ending,
    Leaving,
    Plan,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    Unsure,
)
from js2spawner.line import Candidate, Place

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
    """What a start asks for, and how many attempts it may take.

    `plan(candidate)` makes the plan once a turn has come. Raises CloudError or HomeFailed.
    """

    wish: Wish
    attempts: int
    plan: Callable[[Candidate], Awaitable[Plan]]

    def fits(self, plan: Plan) -> bool:
        """Whether an instance of that plan is what is asked for."""
        same_image = (plan.image, plan.saved) == (self.wish.image, self.wish.saved)
        return same_image and Candidate(plan.region, plan.flavor) in self.wish.candidates


class Start:
    """Brings one server up.

    `on_attempt(record)` is called for each attempt before anything is awaited, `hand_over(record)` once its guest waits
    for an assignment, `reachable(record)` says whether the hub itself gets an answer from the notebook. `resumed`: the
    instance ran already when the start began.
    """

    def __init__(
        self,
        fleet: Fleet,
        line: Admission,
        request: Request,
        *,
        hand_over: Callable[[Record], Awaitable[None]],
        reachable: Callable[[Record], Awaitable[bool]],
        on_attempt: Callable[[Record], None],
    ) -> None:
        self._fleet = fleet
        self._line = line
        self._request = request
        self._hand_over = hand_over
        self._reachable = reachable
        self._on_attempt = on_attempt
        self._owner = request.wish.owner
        self._wish = request.wish
        self._place: Place | None = None
        self._flavor = request.wish.candidates[0].flavor
        self._launched = 0
        self._tried: list[Tried] = []
        self.resumed = False

    async def run(self, journal: Journal) -> Record:
        """The record of a running instance whose notebook the hub has reached. Raises StartFailed.

        Who is cancelled while waiting for a turn keeps the place until somebody gives it up.
        """
        try:
            return await self._run(journal)
        except Exception as error:
            self._line.leave(self._owner, "failed")
            if isinstance(error, StartFailed):
                metrics.STARTS.labels(self._wish.image, self._flavor, error.why.name).inc()
            raise

    async def _run(self, journal: Journal) -> Record:
        record = await self._take_up(journal)
        if record is None:
            record = await self._launch(journal)
        else:
            # A place from before a crash between the launch and the table is not waited in any more.
            self._line.leave(self._owner, "resumed")
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
                record = await self._launch(journal)

    async def _take_up(self, journal: Journal) -> Record | None:
        """An instance of the same choice that an earlier hub process left behind, or that is on the shelf.

        Another one of this server goes; what is on the shelf for another choice stays there.
        """
        mine = [r for r in self._fleet.of(self._owner) if not r.over and not r.set_aside]
        fitting = [record for record in mine if self._request.fits(record.plan)]
        found = max(fitting, key=lambda record: (not record.on_shelf, record.begun_at), default=None)
        for other in mine:
            if other is not found and not other.on_shelf:
                await self._fleet.part(other.attempt_id, failure("replaced"))
        if found is None:
            return None
        if found.on_shelf:
            return await self._take_down(found, journal)
        self._on_attempt(found)
        return self._fleet.claim(found.attempt_id) or found

    async def _take_down(self, found: Record, journal: Journal) -> Record | None:
        """Have it brought back from the shelf, in its turn where a group has a limit; None when it is gone by then."""
        wish = replace(self._wish, candidates=(Candidate(found.plan.region, found.plan.flavor),), returns=True)
        if not self._line.is_crowded(wish):
            await self._renew(found)
            return self._brought_back(found)
        with self._told():
            granted = await self._line.enter(wish, journal)
        self._place, record = granted.place, None
        try:
            await self._renew(found)
            now = self._fleet.get(found.attempt_id)
            if now is not None and now.on_shelf:
                record = self._brought_back(found)
        finally:
            self._line.settle(granted, record)
        return record

    def _brought_back(self, found: Record) -> Record:
        self._on_attempt(found)
        return self._fleet.bring_back(found.attempt_id) or found

    async def _renew(self, found: Record) -> None:
        """What comes back from the shelf has the terms of today, and is one more server of its user's."""
        candidate = Candidate(found.plan.region, found.plan.flavor)
        wish, plan = replace(self._wish, candidates=(candidate,)), None
        with self._told():
            self._line.permitted(wish)
            # Its disk is there whatever has become of its image since.
            with suppress(CloudError):
                plan = await self._request.plan(candidate)
            # Another one of the same person may have come back meanwhile.
            self._line.permitted(wish)
        if plan is not None:
            self._fleet.amend(found.attempt_id, lambda record: record.renewed(plan))

    async def _launch(self, journal: Journal) -> Record:
        """A new attempt, once it is this start's turn."""
        while True:
            with self._told():
                granted = await self._line.enter(self._wish, journal, self._place)
            self._place, record = granted.place, None
            try:
                with self._told():
                    plan = await self._request.plan(granted.candidate)
                self._launched += 1
                if plan.home.id:
                    # It was perhaps made only now, and binds what comes after this attempt to where it lies.
                    here = tuple(each for each in self._wish.candidates if each.region == plan.region)
                    self._wish = replace(self._wish, candidates=here)
                record = self._fleet.launch(self._owner, plan, self._launched)
                self._on_attempt(record)
            except CloudError as error:
                why = failure_of(error)
                if not self._go_without(granted.candidate, whole_region=not isinstance(error, BadFlavor)):
                    raise StartFailed(why, tuple(self._tried)) from None
            finally:
                self._line.settle(granted, record)
            if record is not None:
                return record

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the line and the homes refuse is told like all that fails."""
        try:
            yield
        except (NoTurn, HomeFailed) as error:
            raise StartFailed(error.why, tuple(self._tried)) from None

    def _go_without(self, candidate: Candidate, *, whole_region: bool) -> bool:
        """Ask no more for what cannot be had; whether anything is left to ask for."""
        left = tuple(
            each
            for each in self._wish.candidates
            if (each.region != candidate.region if whole_region else each != candidate)
        )
        self._wish = replace(self._wish, candidates=left)
        return bool(left)

    async def _see_through(self, record: Record) -> Record:
        """Wait until the attempt runs or its end is decided. All deadlines are `instance.decide`'s."""
        offered, self._flavor = False, record.plan.flavor
        while True:
            match record.state:
                case Running():
                    if not self.resumed:
                        self._fleet.desks[record.plan.region].had_room(record.plan.flavor)
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
            if self._is_stranded(record):
                await self._fleet.end(record.attempt_id, failure("unreachable", f"region {record.plan.region} is down"))
                record = self._fleet.get(record.attempt_id) or record

    def _is_stranded(self, record: Record) -> bool:
        """Whether its region went away before there was an instance, and another one can have the start.

        What comes of a create that is still on its way is found and deleted when the region is back.
        """
        if not isinstance(record.state, Planned | Unsure | Building):
            return False
        away, here = self._fleet.breaker.is_open, record.plan.region
        return away(here) and any(not away(each.region) for each in self._wish.candidates)

    def _keep(self, record: Record, why: Failure) -> None:
        if why.name == "capacity":
            self._fleet.desks[record.plan.region].no_room(record.plan.flavor)
        if why.policy != "wait":
            self._tried.append(Tried(record.number, record.attempt_id, why))

    async def _next(self, why: Failure, record: Record, journal: Journal) -> Record:
        """The next attempt, or StartFailed when another would not help."""
        if why.name == "quota" and record.on_shelf:
            return await self._return_in_turn(record, journal)
        if why.policy == "wait":
            # No failure to its user: it is back at the head of the line.
            journal.say(f"{why.sentence} You are next in the line.")
            return await self._launch(journal)
        if why.policy == "elsewhere":
            goes_on = self._go_without(Candidate(record.plan.region, record.plan.flavor), whole_region=True)
        else:
            goes_on = why.policy == "again" and len(self._tried) < self._request.attempts
        if not goes_on:
            raise StartFailed(why, tuple(self._tried))
        journal.retry(self._launched + 1, why)
        if why.policy == "again":
            await self._gone(record)
        return await self._launch(journal)

    async def _return_in_turn(self, record: Record, journal: Journal) -> Record:
        """There is no room for what is on the shelf: it waits for that as a new one would, and is still the same."""
        journal.say("There is no room to bring your instance back. You are next in the line.")
        self._wish = replace(self._wish, candidates=(Candidate(record.plan.region, record.plan.flavor),))
        with self._told():
            granted = await self._line.enter(self._wish, journal, self._place)
        self._place = granted.place
        self._line.settle(granted, record)
        return self._fleet.bring_back(record.attempt_id) or record

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
