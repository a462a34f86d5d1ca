"""How much one address may ask of the hub: a token bucket each, and only so many addresses remembered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class RateLimit:
    """At most `burst` requests at once and `per_s` a second in the long run, for each address.

    Remembers the `addresses` that asked last; one that is forgotten starts afresh, so memory is bounded and a
    crowd of strangers costs the known ones nothing.
    """

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float], addresses: int = 4096) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._most = addresses
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._buckets)

    def wait_s(self, address: str) -> float:
        """Take one token; 0 when there was one, else the seconds until there will be."""
        now = self._clock()
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(float(self._burst), now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        bucket.tokens = min(float(self._burst), bucket.tokens + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._per_s
        bucket.tokens -= 1.0
        return 0.0
