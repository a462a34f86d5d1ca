"""How often somebody may fail to sign in."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

_MOST_KEYS = 10_000


class FailureLimit:
    """Counts failures by key (an address) over the last `within_s` seconds; successes cost nothing.

    A whole class may sit behind one address: only failing is limited, never signing in.
    """

    def __init__(self, most: int, within_s: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._within_s = within_s
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def blocked(self, key: str) -> bool:
        """Whether the key has failed too often of late."""
        failures = self._failures.get(key)
        if failures is None:
            return False
        while failures and failures[0] <= self._clock() - self._within_s:
            failures.popleft()
        return len(failures) >= self._most

    def failed(self, key: str) -> None:
        # Bounded, so that many made-up addresses cannot fill the memory: the longest quiet one is forgotten.
        failures = self._failures.setdefault(key, deque(maxlen=self._most))
        failures.append(self._clock())
        self._failures.move_to_end(key)
        if len(self._failures) > _MOST_KEYS:
            self._failures.popitem(last=False)
