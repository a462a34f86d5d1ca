"""What a start usually takes here: this hub's own history, by image and flavor."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import quantiles

from js2spawner.fleet.store import Timing

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

    def totals(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(image, flavor) → (p50, p90) seconds of whole starts."""
        found: dict[tuple[str, str], tuple[float, float]] = {}
        for image, flavor, stage in self._seconds:
            if stage == TOTAL and (typical := self.typical(image, flavor, TOTAL)):
                found[image, flavor] = (typical.p50_s, typical.p90_s)
        return found
