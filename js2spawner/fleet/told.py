"""What somebody in the line is told: where they stand, what they wait for, what they could have at once instead."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from statistics import median

from js2spawner.catalog import Catalog
from js2spawner.fleet import metrics
from js2spawner.fleet.journal import Event
from js2spawner.instance import Instant
from js2spawner.line import Candidate, Place, Scarce, Turns, Waits

_TELL_EVERY_S = 0.5
_REMEMBERED = 20
# A wait that is no wait teaches nothing about those that are.
_A_WAIT_S = 1.0
_MOST_INSTEAD = 6


class Teller:
    """Puts the line into words."""

    def __init__(self, catalog: Catalog, clock: Callable[[], Instant]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._told_at: Instant = float("-inf")
        self._waited_s: defaultdict[Candidate, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._shown: set[Candidate] = set()

    def due(self) -> bool:
        """Whether it is time to tell again."""
        now = self._clock()
        if now - self._told_at < _TELL_EVERY_S:
            return False
        self._told_at = now
        return True

    def learn(self, candidate: Candidate, waited_s: float) -> None:
        """How long somebody has waited for this."""
        if waited_s >= _A_WAIT_S:
            self._waited_s[candidate].append(waited_s)

    def story(self, place: Place, waits: Waits, instead: Iterable[Candidate], turns: Turns) -> tuple[str, Event]:
        """The sentence and the values of one place."""
        what = self.words(waits.scarce, place.candidates[0])
        free = [each for each in instead if each not in place.candidates and turns.free_now(each, place)]
        typical = [seconds for each in place.candidates for seconds in self._waited_s.get(each, ())]
        event: Event = {
            "kind": "place",
            "position": waits.position,
            "of": waits.of,
            "waits_for": what,
            "instead": [self._named(each) for each in free[:_MOST_INSTEAD]],
            "since": datetime.fromtimestamp(place.since, UTC).isoformat(timespec="milliseconds"),
        }
        if typical:
            event["typical_s"] = round(median(typical))
        return f"You are number {waits.position} of {waits.of} who wait for {what}.", event

    def words(self, scarce: Scarce, wanted: Candidate) -> str:
        """What is waited for, in the middle of a sentence."""
        flavor, region = self._flavor(wanted.flavor), self._region(scarce.region)
        match scarce.kind:
            case "group":
                who = "everybody" if scarce.what == "everyone" else f"the group {scarce.what}"
                return f"one of the servers that {who} may have together"
            case "region":
                return f"the cloud in {region} to answer"
            case "capacity":
                return f"room for {flavor} in {region}"
            case "cores" | "ram" | "instances" | "quota":
                return f"room in this hub's allocation in {region}"
        return "their turn"

    def count(self, places: Iterable[Place]) -> None:
        """The line's length for the metrics, by what is preferred."""
        lengths = Counter(place.candidates[0] for place in places)
        for candidate in self._shown - set(lengths):
            metrics.LINE_LENGTH.labels(region=candidate.region, flavor=candidate.flavor).set(0)
        for candidate, length in lengths.items():
            metrics.LINE_LENGTH.labels(region=candidate.region, flavor=candidate.flavor).set(length)
        self._shown = set(lengths)

    def _named(self, candidate: Candidate) -> dict[str, str]:
        title = f"{self._flavor(candidate.flavor)} in {self._region(candidate.region)}"
        return {"flavor": candidate.flavor, "region": candidate.region, "title": title}

    def _flavor(self, name: str) -> str:
        entry = self._catalog.flavor(name)
        return entry.title if entry else name

    def _region(self, name: str) -> str:
        return next((region.shown for region in self._catalog.regions if region.name == name), name)
