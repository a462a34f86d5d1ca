"""The line: who may start now, who waits, and for what. Pure.

Everybody who wants a server has a place. A *sweep* goes through the places in their order and gives each what it asks
for as long as there is room. What is short and wanted by somebody is *scarce*: whoever comes behind and wants the same
scarce thing waits too, however little of it they need, so that a large flavor is never starved by small ones. Who wants
nothing of it passes by.

The order is that of arrival. A user's second place counts as if it had come `FURTHER_S` later than it did, the third
twice that: several places of one user stand behind the first ones of others, and still nobody waits for ever, because
who comes later than that is behind them all the same. The order is made at the arrival and never changed after.

Quotas are known by figures. That the cloud has no hypervisor for a flavor, or refuses for a quota of which we have no
figures, is known by its refusal alone: then there is a `Doubt`, and one at a time tries, with growing pauses, until one
succeeds; then two at a time, four, until there is no doubt any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal, NamedTuple

from js2spawner.instance import Instant, Owner

FURTHER_S = 1800.0
"""How much later each further place of one user counts as having come."""

HELD_S = 60.0
"""For how long a place is held as if its user were there, when only the hub was away."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 120.0
NO_DOUBT_FROM = 16
"""Where so many may try at a time, nobody doubts any more."""

Kind = Literal["group", "region", "capacity", "quota", "figures", "instances", "cores", "ram", "creates"]
UNSEEN: frozenset[Kind] = frozenset({"figures", "creates"})
"""What is waited for in moments, and told to nobody."""


class Candidate(NamedTuple):
    """Where and as what a server may be started, by the catalog's names."""

    region: str
    flavor: str


class Scarce(NamedTuple):
    """Something of which there may be too little. `what` is a flavor (capacity), a kind of thing, or a group."""

    kind: Kind
    region: str
    what: str = ""


class Size(NamedTuple):
    """So much of what quotas count."""

    instances: float = 0
    cores: float = 0
    ram_mb: float = 0

    def plus(self, other: Size) -> Size:
        return Size(self.instances + other.instances, self.cores + other.cores, self.ram_mb + other.ram_mb)

    def less(self, other: Size) -> Size:
        return Size(self.instances - other.instances, self.cores - other.cores, self.ram_mb - other.ram_mb)

    def fits(self, room: Size) -> bool:
        return self.instances <= room.instances and self.cores <= room.cores and self.ram_mb <= room.ram_mb


NOTHING = Size()
EVERYTHING = Size(inf, inf, inf)


class Terms(NamedTuple):
    """What a place goes by beside its candidates. `crowds`: groups with a common limit.

    `returns`: it is there already, on the shelf. Only its cloud knows whether its figures count it: it waits for none
    of them, and what Nova refuses waits for room then.
    """

    crowds: tuple[str, ...] = ()
    returns: bool = False


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Place:
    """One wish for a server. `candidates`: what would do, the preferred first.

    `turn_at` is the instant it counts as having come at. `away_since`: nobody waits in it at the moment; it is kept for
    who comes back with the same wish.
    """

    id: str
    owner: Owner
    image: str
    candidates: tuple[Candidate, ...]
    since: Instant
    turn_at: Instant
    terms: Terms = NO_TERMS
    away_since: Instant | None = None

    @property
    def order(self) -> tuple[Instant, Instant, str]:
        return self.turn_at, self.since, self.id


def arriving(place: Place, others: Iterable[Place]) -> Place:
    """A new place as it joins the others."""
    further = sum(other.owner.user == place.owner.user for other in others)
    return replace(place, turn_at=place.since + further * FURTHER_S)


@dataclass(frozen=True, slots=True)
class Room:
    """What is left in one region, and the most there can ever be. `creates`: how many may be asked for at once.

    `known`: False while the figures are being asked for, so that nobody goes by old ones. `answers`: its cloud does.
    """

    free: Size = EVERYTHING
    most: Size = EVERYTHING
    creates: int = 1_000_000
    known: bool = True
    answers: bool = True


@dataclass(frozen=True, slots=True)
class Doubt:
    """The cloud refused. From `not_before` on so many `at_once` may try; `out` are under way."""

    not_before: Instant
    pause_s: float = FIRST_PAUSE_S
    at_once: int = 1
    out: int = 0

    def allows(self, now: Instant) -> int:
        return self.at_once - self.out if now >= self.not_before else 0


def doubt_after_refusal(before: Doubt | None, now: Instant, *, tried: bool) -> Doubt:
    """`tried`: it was refused to one who tried because of the doubt, and not to one who had set out before."""
    if before is None:
        return Doubt(now + FIRST_PAUSE_S)
    if not tried:
        return before
    pause_s = FIRST_PAUSE_S if before.at_once > 1 else min(2 * before.pause_s, LONGEST_PAUSE_S)
    return replace(before, not_before=now + pause_s, pause_s=pause_s, at_once=1)


def doubt_after_success(before: Doubt | None, now: Instant) -> Doubt | None:
    """Somebody got what was in doubt."""
    if before is None or 2 * before.at_once >= NO_DOUBT_FROM:
        return None
    return replace(before, not_before=min(before.not_before, now), pause_s=FIRST_PAUSE_S, at_once=2 * before.at_once)


@dataclass(frozen=True, slots=True)
class World:
    """All that a sweep goes by. `crowds`: how many more servers a group may have together."""

    rooms: Mapping[str, Room]
    sizes: Mapping[Candidate, Size]
    doubts: Mapping[Scarce, Doubt] = field(default_factory=dict)
    crowds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Granted:
    """A place whose turn has come. `tries`: because of a doubt, as one of few."""

    place: Place
    candidate: Candidate
    tries: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """What a place waits for (the first thing its preferred candidate lacks), and where it stands among who do."""

    scarce: Scarce
    position: int
    of: int


@dataclass(slots=True)
class Turns:
    """What a sweep found. `never`: places of which no candidate fits into what its region has in all."""

    granted: list[Granted] = field(default_factory=list)
    waits: dict[str, Waits] = field(default_factory=dict)
    never: list[Place] = field(default_factory=list)
    _left: _Left | None = None

    def free_now(self, candidate: Candidate, place: Place) -> bool:
        """Whether who has the place would have this at once instead."""
        # It would be a new instance, also where one from the shelf is waited for.
        terms = place.terms._replace(returns=False)
        return self._left is not None and not self._left.lacks(candidate, terms)


def sweep(places: Iterable[Place], world: World, now: Instant) -> Turns:
    """Go through the places, which need not be sorted, in their order."""
    left = _Left(world, now)
    turns = Turns(_left=left)
    waiting: list[tuple[Place, Scarce, int]] = []
    standing: Counter[Scarce] = Counter()
    for place in sorted(places, key=lambda place: place.order):
        away = place.away_since is not None
        if away and now - (place.away_since or now) > HELD_S:
            continue
        possible = [candidate for candidate in place.candidates if left.possible(candidate, place.terms)]
        if not possible:
            turns.never.append(place)
            continue
        got, lacking = left.first_of(possible, place.terms)
        if got is not None:
            tries = left.take(got, place.terms)
            if not away:
                turns.granted.append(Granted(place, got, tries))
            continue
        left.close(lacking)
        waiting.append((place, lacking[0], standing[lacking[0]] + 1))
        standing.update(set(lacking))
    for place, thing, position in waiting:
        turns.waits[place.id] = Waits(thing, position, standing[thing])
    return turns


class _Left:
    """What is left while a sweep goes on."""

    def __init__(self, world: World, now: Instant) -> None:
        self._world = world
        self._free = {name: room.free for name, room in world.rooms.items()}
        self._creates = {name: room.creates for name, room in world.rooms.items()}
        self._tries = {thing: doubt.allows(now) for thing, doubt in world.doubts.items()}
        self._crowds = dict(world.crowds)
        self._closed: set[Scarce] = set()
        self._known_to_lack: dict[tuple[Candidate, Terms], tuple[Scarce, ...]] = {}

    def first_of(self, candidates: Iterable[Candidate], terms: Terms) -> tuple[Candidate | None, tuple[Scarce, ...]]:
        """The first that can be had now; else None and all that is lacking, of the preferred one first."""
        lacking: tuple[Scarce, ...] = ()
        for candidate in candidates:
            lacks = self.lacks(candidate, terms)
            if not lacks:
                return candidate, ()
            if lacks[0].kind in UNSEEN:
                # It will be had in a moment: nobody is sent to the second choice for that.
                return None, lacks + lacking
            lacking += lacks
        return None, lacking

    def possible(self, candidate: Candidate, terms: Terms) -> bool:
        """Whether an empty region could hold it; one of which nothing is known could."""
        room = self._world.rooms.get(candidate.region)
        return room is None or not room.known or terms.returns or self._world.sizes[candidate].fits(room.most)

    def lacks(self, candidate: Candidate, terms: Terms) -> tuple[Scarce, ...]:
        """What it waits for; nothing when it can be had now."""
        # There is only ever less in the course of a sweep, so what was found lacking stays so.
        if known := self._known_to_lack.get((candidate, terms)):
            return known
        if found := self._lacks(candidate, terms):
            self._known_to_lack[candidate, terms] = found
        return found

    def _lacks(self, candidate: Candidate, terms: Terms) -> tuple[Scarce, ...]:
        """The hardest to get comes first and alone: who waits for a GPU keeps no cores from others meanwhile."""
        region = candidate.region
        full = [Scarce("group", "", name) for name in terms.crowds]
        if full := [thing for thing in full if self._short(thing, self._crowds[thing.what] < 1)]:
            return tuple(full)
        room = self._world.rooms.get(region)
        if room is None or not room.answers:
            return (Scarce("region", region),)
        for thing in doubted_by(candidate):
            if self._short(thing, self._tries.get(thing, 1) < 1):
                return (thing,)
        if terms.returns:
            return ()
        if not room.known:
            return (Scarce("figures", region),)
        size, free = self._world.sizes[candidate], self._free[region]
        amounts: tuple[tuple[Kind, float, float], ...] = (
            ("instances", size.instances, free.instances),
            ("cores", size.cores, free.cores),
            ("ram", size.ram_mb, free.ram_mb),
        )
        things = ((Scarce(kind, region), needed > there) for kind, needed, there in amounts)
        if short := tuple(thing for thing, lacking in things if self._short(thing, lacking)):
            return short
        creates = Scarce("creates", region)
        return (creates,) if self._short(creates, self._creates[region] < 1) else ()

    def take(self, candidate: Candidate, terms: Terms) -> bool:
        """Take what it needs; whether it is one of few who try."""
        region = candidate.region
        if not terms.returns:
            self._free[region] = self._free[region].less(self._world.sizes[candidate])
            self._creates[region] -= 1
        for name in terms.crowds:
            self._crowds[name] -= 1
        doubted = [thing for thing in doubted_by(candidate) if thing in self._tries]
        for thing in doubted:
            self._tries[thing] -= 1
        return bool(doubted)

    def close(self, scarce: Iterable[Scarce]) -> None:
        """Somebody waits for these: nobody behind them takes any."""
        self._closed.update(scarce)

    def _short(self, thing: Scarce, lacking: bool) -> bool:
        return lacking or thing in self._closed


def doubted_by(candidate: Candidate) -> tuple[Scarce, Scarce]:
    """What a refusal to this candidate may put in doubt: a hypervisor for its flavor, and a quota of its region."""
    return Scarce("capacity", candidate.region, candidate.flavor), Scarce("quota", candidate.region)
