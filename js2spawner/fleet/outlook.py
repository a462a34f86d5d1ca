"""What a sweep of the line goes by: each region's room, what is in doubt, what groups may still have.

The cloud is asked for its figures only while more than one start is under way or somebody waits, one question a region
at a time. Where it gives none, starts go ahead: what Nova refuses comes back to the head of the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import CloudError
from js2spawner.cloud.records import Flavor
from js2spawner.fleet.background import Background
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.ledger import Ledger
from js2spawner.instance import Booting, Ended, Record, Returning, Shelved
from js2spawner.limits import EVERYONE
from js2spawner.line import (
    EVERYTHING,
    Candidate,
    Doubt,
    Granted,
    Place,
    Room,
    Scarce,
    Size,
    Turns,
    World,
    doubt_after_refusal,
    doubt_after_success,
    doubted_by,
)

# While somebody waits, figures are asked for again so often, and sooner when something has ended that they may count or
# not. By those, and by stale ones, nobody is told to wait.
_ASK_EVERY_S = 5.0
_ASK_AGAIN_S = 1.0
_STALE_S = 60.0
_ANSWER_WITHIN_S = 10.0
_IN_VAIN_FOR_S = 30.0
# With room for so many more of what was just granted, nobody needs to know exactly.
_PLENTY = 5
_QUOTAS = frozenset({"instances", "cores", "ram", "quota"})


class Outlook:
    """Knows what is there to be had."""

    def __init__(self, fleet: Fleet, catalog: Catalog, creates_at_once: int) -> None:
        self.ledger = Ledger(self._size_of, fleet.clock)
        self._fleet = fleet
        self._catalog = catalog
        self._clock = fleet.clock
        self._creates_at_once = creates_at_once
        self._doubts: dict[Scarce, Doubt] = {}
        self._trying: set[str] = set()
        self._hosted: set[str] = set()
        self._asking: dict[str, bool] = {}
        self._in_vain: dict[str, float] = {}
        self._background = Background(fleet.log)
        self._news: Callable[[], None] = lambda: None

    def when_news(self, told: Callable[[], None]) -> None:
        """Have `told` called when figures have come."""
        self._news = told

    async def stop(self) -> None:
        await self._background.end()

    # ---- what became of attempts ------------------------------------------------------------------------------------

    def begin_with(self, record: Record) -> None:
        """An attempt of an earlier hub process."""
        self.ledger.begin_with(record)
        if record.address:
            self._hosted.add(record.attempt_id)

    def granted(self, granted: Granted) -> None:
        self.ledger.hold(granted.place, granted.candidate)

    def launched(self, granted: Granted, record: Record) -> None:
        if granted.tries:
            self._trying.add(record.attempt_id)

    def note(self, before: Record | None, record: Record) -> bool:
        """Take in a record that has changed; whether somebody who waits may gain by it."""
        self.ledger.note(record)
        candidate = Candidate(record.plan.region, record.plan.flavor)
        capacity, quota = doubted_by(candidate)
        # Of one that had set out before the doubt, success says nothing: it had its room by then.
        tries = record.attempt_id in self._trying
        came_back = before is not None and isinstance(before.state, Returning)
        if tries and record.server_id and (came_back or not (before and before.server_id)):
            self._succeed(quota)
        if isinstance(record.state, Booting):
            self._hosted.add(record.attempt_id)
            self._trying.discard(record.attempt_id)
            if tries:
                self._succeed(capacity)
        if record.parted and not (before and before.parted):
            self._refused(record, {"capacity": capacity, "quota": quota})
        if isinstance(record.state, Ended | Shelved):
            self._trying.discard(record.attempt_id)
            if record.attempt_id in self._hosted:
                self._hosted.discard(record.attempt_id)
                self._try_soon(candidate)
        return before is None or type(before.state) is not type(record.state)

    def _succeed(self, thing: Scarce) -> None:
        if thing in self._doubts:
            doubt = doubt_after_success(self._doubts.pop(thing), self._clock())
            if doubt is not None:
                self._doubts[thing] = doubt

    def _refused(self, record: Record, by_failure: Mapping[str, Scarce]) -> None:
        thing = by_failure.get(record.because.name) if record.because else None
        if thing is None:
            return
        tried = record.attempt_id in self._trying
        self._doubts[thing] = doubt_after_refusal(self._doubts.get(thing), self._clock(), tried=tried)

    def _try_soon(self, candidate: Candidate) -> None:
        """One of ours is gone: what it took may be had by another of its kind."""
        now, kind = self._clock(), self._kind_of(candidate.flavor)
        for thing, doubt in self._doubts.items():
            if thing.region == candidate.region and (thing.kind == "quota" or self._kind_of(thing.what) == kind):
                self._doubts[thing] = replace(doubt, not_before=min(doubt.not_before, now))

    def _kind_of(self, flavor: str) -> str:
        """Which hypervisors a flavor needs, as far as the catalog says."""
        entry = self._catalog.flavor(flavor)
        return entry.gpu.kind if entry and entry.gpu else ""

    # ---- what there is ----------------------------------------------------------------------------------------------

    def world(
        self, places: Iterable[Place], instead: Iterable[Candidate], members: Mapping[str, frozenset[str]]
    ) -> World:
        """What these places and their alternatives have to share."""
        places = list(places)
        wanted = {candidate for place in places for candidate in place.candidates}
        creating = self.ledger.creating()
        regions = {candidate.region for candidate in wanted.union(instead)} & set(self._fleet.desks)
        return World(
            rooms={region: self._room(region, places, creating.get(region, 0)) for region in regions},
            sizes={candidate: self._size_of(candidate) for candidate in wanted.union(instead)},
            doubts={thing: self._with_those_under_way(thing, doubt) for thing, doubt in self._doubts.items()},
            crowds={name: self._left_of(name, members) for name in {n for place in places for n in place.terms.crowds}},
        )

    def _room(self, region: str, places: list[Place], creating: int) -> Room:
        # What the desk was told when somebody looked at the choice page serves as well.
        if (seen := self._fleet.desks[region].limits_seen()) is not None:
            self.ledger.learn(region, *seen)
        free, most = self.ledger.room(region)
        return Room(
            free=free,
            most=most,
            creates=self._creates_at_once - creating,
            known=self._is_known(region, places),
            answers=not self._fleet.breaker.is_open(region),
        )

    def _is_known(self, region: str, places: list[Place]) -> bool:
        """Whether to go by what the ledger says, which may be that there is room for everybody."""
        if self._in_vain.get(region, 0) > self._clock():
            return True
        if self._asking.get(region):
            return False
        if region in self.ledger.figures:
            return True
        wanting = sum(any(candidate.region == region for candidate in place.candidates) for place in places)
        return wanting <= 1 and self.ledger.alone(region)

    def _with_those_under_way(self, thing: Scarce, doubt: Doubt) -> Doubt:
        if thing.kind == "capacity":
            return replace(doubt, out=self.ledger.unsettled(Candidate(thing.region, thing.what)))
        return replace(doubt, out=self.ledger.creating().get(thing.region, 0))

    def _left_of(self, group: str, members: Mapping[str, frozenset[str]]) -> int:
        """How many more servers the members of a group may have together."""
        most = next(limit.together for limit in self._catalog.limits if limit.name == group)
        assert most is not None
        users = [r.owner.user for r in self._fleet.live() if not r.over and not r.on_shelf]
        users += self.ledger.holders()
        there = sum(group == EVERYONE or user in members.get(group, ()) for user in users)
        return most - there

    def flavor(self, candidate: Candidate) -> Flavor | None:
        """A candidate's flavor as its cloud last told it."""
        desk = self._fleet.desks.get(candidate.region)
        return desk.flavor(candidate.flavor) if desk else None

    def _size_of(self, candidate: Candidate) -> Size:
        """What it takes of the quotas: as the cloud says, else as the catalog does."""
        seen = self.flavor(candidate)
        if seen is not None:
            return Size(1, seen.vcpus, seen.ram_mb)
        entry = self._catalog.flavor(candidate.flavor)
        return Size(1, entry.vcpus, entry.memory_gb * 1024) if entry else Size(1)

    # ---- asking -----------------------------------------------------------------------------------------------------

    def ask(self, turns: Turns) -> bool:
        """Ask for the figures that this sweep would have needed; whether it has to wait for any of them."""
        short = {wait.scarce.region for wait in turns.waits.values() if wait.scarce.kind in _QUOTAS}
        unknown = {wait.scarce.region for wait in turns.waits.values() if wait.scarce.kind == "figures"}
        scant = {granted.candidate.region for granted in turns.granted if self._is_scant(granted.candidate)}
        # Nobody is sent away for good by figures that are some seconds old: a quota may have been raised.
        final = {candidate.region for place in turns.never for candidate in place.candidates}
        waits = False
        for region in (short | unknown | scant | final) & set(self._fleet.desks):
            waits |= self._ask(region, needed=region not in scant or region in short, final=region in final)
        return waits

    def _is_scant(self, candidate: Candidate) -> bool:
        free, _ = self.ledger.room(candidate.region)
        size = self._size_of(candidate)
        return free != EVERYTHING and not Size(*(_PLENTY * each for each in size)).fits(free)

    def _ask(self, region: str, *, needed: bool, final: bool) -> bool:
        """Ask one region unless it was just asked. True when nothing goes there before it has answered."""
        now = self._clock()
        if region in self._asking:
            known_to_wait, self._asking[region] = self._asking[region], self._asking[region] or final
            return final and not known_to_wait
        figures = self.ledger.figures.get(region)
        age_s = now - figures.asked_at if figures else float("inf")
        fresh_s = _ASK_AGAIN_S if region in self.ledger.unsure else _ASK_EVERY_S
        if age_s < fresh_s or self._in_vain.get(region, 0) > now:
            return False
        waits = final or (needed and (age_s > _STALE_S or region in self.ledger.unsure))
        self._asking[region] = waits
        self._background.spawn(self._ask_now(region, fresh_s), f"figures of {region}")
        return waits

    async def _ask_now(self, region: str, fresh_s: float) -> None:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                limits, asked_at = await self._fleet.desks[region].limits(fresh_s)
            self.ledger.learn(region, limits, asked_at)
        except (CloudError, TimeoutError):
            self._in_vain[region] = self._clock() + _IN_VAIN_FOR_S
        finally:
            del self._asking[region]
            self._news()
