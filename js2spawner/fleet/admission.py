"""The shell around `line`: who wants a server waits here for their turn, over restarts of the hub.

One per fleet. What a sweep goes by comes from the ledger (quotas), the breaker (regions that do not answer), the
catalog (limits) and what became of earlier attempts (doubts). A lone start that obviously has room is let through at
once and asks no cloud for anything.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from js2spawner import limits
from js2spawner.catalog import Catalog
from js2spawner.failures import Failure, failure
from js2spawner.fleet import metrics
from js2spawner.fleet.background import Background
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.journal import Journal
from js2spawner.fleet.outlook import Outlook
from js2spawner.fleet.places import KeptPlaces
from js2spawner.fleet.told import Teller
from js2spawner.instance import Instant, Owner, Record
from js2spawner.line import UNSEEN, Candidate, Granted, Place, Terms, Turns, Waits, arriving, sweep

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

# So many places are gone through at each arrival; behind more, an arrival waits for the next round.
_FEW = 20
_LEAST_S = 0.05
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How the line paces itself; times in seconds. Js2Fleet's settings of the same names explain them."""

    creates_at_once: int = 10
    place_kept_s: float = 900.0
    longest_wait_s: float = 12 * 3600.0
    most_places: int = 2000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a start asks for: an image, and `candidates`, the preferred one first.

    `saved`: the id of a saved image, as in a plan. `groups`: its user's. `members`: who is in those groups whose limit
    counts them together. `options`: what its user chose, as JupyterHub has it. `instead`: what else they could choose.
    `returns`: it lies on the shelf and is to come back.
    """

    owner: Owner
    image: str
    candidates: tuple[Candidate, ...]
    saved: str = ""
    groups: frozenset[str] = frozenset()
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    instead: tuple[Candidate, ...] = ()
    returns: bool = False

    @property
    def made_from(self) -> str:
        return self.saved or self.image


@dataclass(frozen=True, slots=True)
class Standing:
    """The place of a server, what it waits for as far as that is known, and what its user chose."""

    place: Place
    waits: Waits | None
    options: Mapping[str, object]


class NoTurn(Exception):
    """This start gets no turn; `why` says why."""

    def __init__(self, why: Failure) -> None:
        super().__init__(why.sentence)
        self.why = why


@dataclass(slots=True)
class _Waiting:
    """Somebody in the line."""

    place: Place
    wish: Wish
    journal: Journal
    came_at: Instant
    turn: asyncio.Future[Granted]


class Admission:
    """Gives turns."""

    def __init__(self, fleet: Fleet, catalog: Catalog, settings: LineSettings, log: Log) -> None:
        self.settings = settings
        self._fleet = fleet
        self._catalog = catalog
        self._log = log
        self._clock = fleet.clock
        self._outlook = Outlook(fleet, catalog, settings.creates_at_once)
        self._kept = KeptPlaces(fleet.store, fleet.clock, settings.place_kept_s, log)
        self._teller = Teller(catalog, fleet.clock)
        self._waiting: dict[str, _Waiting] = {}
        # Asked by every look at a list of servers: nobody goes through the whole line for each.
        self._place_of: dict[Owner, str] = {}
        self._members: dict[str, frozenset[str]] = {}
        self._turns = Turns()
        self._last_came_at: Instant = 0
        self._wake = asyncio.Event()
        self._background = Background(log)
        fleet.when_changed(self._note)
        self._outlook.when_news(self._wake.set)
        fleet.breaker.when_changed(self._note_region)

    async def start(self) -> None:
        """Take up the places an earlier hub process kept. Call it once, after the fleet's own start."""
        for record in self._fleet.live():
            self._outlook.begin_with(record)
        if found := await self._kept.load():
            self._log.info("%d places in the line found again", found)
        self._background.spawn(self._run(), "the line")

    async def stop(self) -> None:
        """Let go; every place stays in the table."""
        await self._background.end()
        await self._outlook.stop()

    # ---- a start's side ---------------------------------------------------------------------------------------------

    async def enter(self, wish: Wish, journal: Journal, again: Place | None = None) -> Granted:
        """Wait for the turn. `again`: the place of an attempt that got no room after all, which is the head's.

        What is granted has to be settled. Who is cancelled here is away; `leave` is what gives the place up. Raises
        NoTurn.
        """
        place = self._place_for(wish, again)
        waiting = _Waiting(place, wish, journal, self._clock(), asyncio.get_running_loop().create_future())
        self._waiting[place.id] = waiting
        self._place_of[wish.owner] = place.id
        self._members.update(wish.members)
        try:
            if len(self._waiting) <= _FEW:
                self._sweep()
            self._wake.set()
            if not waiting.turn.done():
                self._kept.put(place, wish.options)
                await self._fleet.saved()
            return await waiting.turn
        except asyncio.CancelledError:
            self._step_out(waiting)
            self._kept.away(waiting.place)
            raise
        except BaseException:
            self._step_out(waiting)
            self._kept.drop(place.id)
            raise
        finally:
            self._waiting.pop(place.id, None)
            if self._place_of.get(wish.owner) == place.id:
                del self._place_of[wish.owner]
            journal.out_of_line()

    def settle(self, granted: Granted, record: Record | None) -> None:
        """What became of a turn: an attempt, or nothing; then the place is kept for the start to enter again."""
        if record is not None:
            self._outlook.launched(granted, record)
            self._kept.drop(granted.place.id)
        else:
            self._kept.away(granted.place)
        self._outlook.ledger.release(granted.place.id)
        self._wake.set()

    def leave(self, owner: Owner, outcome: str = "left") -> None:
        """Give up whatever place is kept for this server."""
        if self._kept.drop_of(owner):
            metrics.GRANTS.labels(outcome=outcome).inc()
        self._wake.set()

    def owners(self) -> set[Owner]:
        """Whose servers have a place, those kept for who is away included."""
        return {place.owner for place in self._places()}

    def where(self, owner: Owner) -> Standing | None:
        """The place of a server; None when there is none."""
        waiting = self._waiting.get(self._place_of.get(owner, ""))
        if waiting is not None:
            return Standing(waiting.place, self._turns.waits.get(waiting.place.id), waiting.wish.options)
        kept = self._kept.of(owner)
        return Standing(kept.place, self._turns.waits.get(kept.place.id), kept.options) if kept else None

    def waiting(self) -> list[Place]:
        """The places in which somebody waits, in their order."""
        return sorted((waiting.place for waiting in self._waiting.values()), key=lambda place: place.order)

    def permitted(self, wish: Wish) -> tuple[Candidate, ...]:
        """The candidates that its user's limits allow. Raises NoTurn when that is none."""
        if not self._catalog.limits:
            return wish.candidates
        most = limits.most_for(self._catalog.limits, wish.groups)
        used = self.use_of(wish.owner.user, but=wish.owner)
        broken = [(candidate, limits.over(self._use((candidate,)), used, most)) for candidate in wish.candidates]
        allowed = tuple(candidate for candidate, limit in broken if limit is None)
        if not allowed:
            limit = broken[0][1]
            assert limit is not None
            metrics.LIMIT_REFUSALS.labels(limit=limit).inc()
            raise NoTurn(replace(failure("limit"), sentence=limits.sentence(limit, used, most)))
        return allowed

    def is_crowded(self, wish: Wish) -> bool:
        """Whether its user is in a group whose members have a limit together, so that even a return has its turn."""
        return bool(self._crowds_of(wish))

    def _crowds_of(self, wish: Wish) -> tuple[str, ...]:
        return tuple(limit.name for limit in limits.together(self._catalog.limits, wish.groups))

    def use_of(self, user: str, but: Owner | None = None) -> limits.Use:
        """What somebody's servers add up to, those too that are in the line or just out of it; `but` for one."""
        running = [
            Candidate(record.plan.region, record.plan.flavor)
            for record in self._fleet.live()
            if record.owner.user == user and record.owner != but and not record.parted
        ]
        waiting = [
            waiting.place.candidates[0]
            for waiting in self._waiting.values()
            if waiting.place.owner.user == user and waiting.place.owner != but and not waiting.turn.done()
        ]
        return self._use([*running, *self._outlook.ledger.held_by(user), *waiting])

    def _use(self, candidates: Iterable[Candidate]) -> limits.Use:
        return limits.use_of((self._catalog.flavor(each.flavor), self._outlook.flavor(each)) for each in candidates)

    def _place_for(self, wish: Wish, again: Place | None) -> Place:
        """A place for this wish: the same once more, the one it had before the hub was restarted, or a new one."""
        candidates = self.permitted(wish)
        terms = Terms(self._crowds_of(wish), wish.returns)
        if again is not None:
            metrics.GRANTS.labels(outcome="back").inc()
            self._kept.returned(again.id)
            return replace(again, candidates=candidates, terms=terms, away_since=None)
        if all(self._fleet.breaker.is_open(candidate.region) for candidate in candidates):
            raise NoTurn(failure("unreachable", "the breaker of each region it may go to is open"))
        if kept := self._kept.back(wish.owner, wish.made_from, candidates):
            return replace(kept, terms=terms)
        if len(self._waiting) >= self.settings.most_places:
            raise NoTurn(failure("line-full"))
        # No two come at the same instant: their order is kept in the table, too.
        self._last_came_at = now = max(self._clock(), self._last_came_at + 1e-6)
        fresh = Place(secrets.token_hex(8), wish.owner, wish.made_from, candidates, now, now, terms)
        return arriving(fresh, self._places())

    def _note_region(self, region: str, _state: object) -> None:
        """A region went away, or is back: who waits for a turn or for an instance there may do something else now."""
        self._wake.set()
        for record in self._fleet.live():
            if record.plan.region == region:
                self._fleet.announce(record.attempt_id)

    def _step_out(self, waiting: _Waiting) -> None:
        """It was granted in the same moment as it gave up: nobody will come for that."""
        turn = waiting.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._outlook.ledger.release(waiting.place.id)
        self._wake.set()

    # ---- the line's side --------------------------------------------------------------------------------------------

    def _note(self, before: Record | None, record: Record) -> None:
        if self._outlook.note(before, record) and self._waiting:
            self._wake.set()

    async def _run(self) -> None:
        """Go through the line whenever something has changed, and now and then when nothing has."""
        while True:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes in the same moment as the wake.
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S if self._waiting or self._kept.any else None):
                    await self._wake.wait()
            self._wake.clear()
            try:
                self._kept.forget_the_late()
                self._lose_patience()
                self._sweep()
                self._tell()
            except Exception:  # noqa: BLE001
                # A fault of ours in one round must not leave everybody waiting for ever.
                self._log.exception("going through the line failed")
            await asyncio.sleep(_LEAST_S)

    def _places(self) -> list[Place]:
        return [waiting.place for waiting in self._waiting.values() if not waiting.turn.done()] + self._kept.all_away()

    def _sweep(self) -> None:
        places = self._places()
        now = self._clock()
        instead = {candidate for waiting in self._waiting.values() for candidate in waiting.wish.instead}
        self._turns = sweep(places, self._outlook.world(places, instead, self._members), now)
        if self._outlook.ask(self._turns):
            # Figures are on their way: what was found without them is told to nobody.
            self._turns = sweep(places, self._outlook.world(places, instead, self._members), now)
        for granted in self._turns.granted:
            self._grant(granted, now)
        for place in self._turns.never:
            if waiting := self._waiting.get(place.id):
                waiting.turn.set_exception(NoTurn(failure("too-large")))

    def _grant(self, granted: Granted, now: Instant) -> None:
        waiting = self._waiting[granted.place.id]
        self._outlook.granted(granted)
        waited_s = now - waiting.came_at
        metrics.GRANTS.labels(outcome="waited" if waiting.place.id in self._kept else "at-once").inc()
        metrics.LINE_WAIT_SECONDS.observe(waited_s)
        self._teller.learn(granted.candidate, waited_s)
        waiting.turn.set_result(granted)

    def _lose_patience(self) -> None:
        now = self._clock()
        for waiting in self._waiting.values():
            if now - waiting.place.since > self.settings.longest_wait_s and not waiting.turn.done():
                metrics.GRANTS.labels(outcome="gave-up").inc()
                waiting.turn.set_exception(NoTurn(failure("line-slow")))

    def _tell(self) -> None:
        """Let everybody see where they stand, at most every half second."""
        if not self._teller.due():
            return
        for waiting in self._waiting.values():
            found = self._turns.waits.get(waiting.place.id)
            if found is not None and found.scarce.kind not in UNSEEN and not waiting.turn.done():
                waiting.journal.place(*self._teller.story(waiting.place, found, waiting.wish.instead, self._turns))
        self._teller.count([waiting.place for waiting in self._waiting.values() if not waiting.turn.done()])
