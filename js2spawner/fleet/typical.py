"""What a start usually takes here: this hub's own history, by image and flavor."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles

from js2spawner.fleet.store import Timing
from js2spawner.instance import Building, Instant, Planned, Record, Unsure

TOTAL = "total"
_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class Typical:
    """Half of the starts took at most `p50_s` seconds, nine of ten at most `p90_s`."""

    p50_s: float
    p90_s: float

    def worth_a_look_s(self, age_s: float) -> float | None:
        """In how many seconds something of this age may be done; None when nobody can say.

        A little before half of them usually are, then every tenth of that time, until it is clearly none of the usual.
        """
        if age_s > 1.5 * self.p90_s:
            return None
        return max(0.75 * self.p50_s - age_s, 0.1 * self.p50_s)


class History:
    """The last starts of each image and flavor, stage by stage."""

    def __init__(self, timings: Iterable[Timing] = ()) -> None:
        self._seconds: dict[tuple[str, str, str], deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self.learn(timings)

    def learn(self, timings: Iterable[Timing]) -> None:
        """Take in finished stages, oldest first."""
        for timing in timings:
            self._seconds[timing.image, timing.flavor, timing.stage].append(timing.seconds)

    def typical(self, image: str, flavor: str, stage: str) -> Typical | None:
        """How long the stage usually takes; None before the first start of that image and flavor."""
        seen = self._seconds.get((image, flavor, stage))
        if not seen:
            return None
        if len(seen) == 1:
            return Typical(seen[0], seen[0])
        tenths = quantiles(seen, n=10, method="inclusive")
        return Typical(tenths[4], tenths[8])

    def likely_s(self, records: Iterable[Record], now: Instant) -> float | None:
        """In how many seconds one of those that are being built may be there, going by what others took."""
        ages_s: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for record in records:
            if isinstance(record.state, Planned | Unsure | Building):
                ages_s[record.plan.image, record.plan.flavor].append(now - record.begun_at)
        likely_s: list[float] = []
        for (image, flavor), ages in ages_s.items():
            if typical := self.typical(image, flavor, "create"):
                likely_s += [wait_s for age in ages if (wait_s := typical.worth_a_look_s(age)) is not None]
        return min(likely_s, default=None)

    def totals(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(image, flavor) → (p50, p90) seconds of whole starts."""
        found: dict[tuple[str, str], tuple[float, float]] = {}
        for image, flavor, stage in self._seconds:
            if stage == TOTAL and (typical := self.typical(image, flavor, TOTAL)):
                found[image, flavor] = (typical.p50_s, typical.p90_s)
        return found
