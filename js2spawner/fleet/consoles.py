"""What failed instances said last: their consoles are gone once they are deleted, and all an operator has to go by."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from js2spawner.instance import Ending, Record

# Failures that the instance's own console may explain, how much of it is kept, and for how many instances.
_TELLING = frozenset(
    {
        "boot-silent",
        "quarantined",
        "assign-slow",
        "account",
        "gpu",
        "notebook",
        "notebook-slow",
        "no-route",
        "home-unreadable",
    }
)
_LINES = 80
_TIMEOUT_S = 10.0
_REMEMBERED = 200


class Consoles:
    """The ends of console logs, by attempt."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()

    def of(self, attempt_id: str) -> str:
        """Empty for an instance that did not fail, or said nothing."""
        return self._kept.get(attempt_id, "")

    async def keep(self, record: Record, ask: Callable[[str, int], Awaitable[str]]) -> None:
        """Fetch it before the instance is deleted, if its failure is one that it may explain; once."""
        state = record.state
        if not isinstance(state, Ending) or state.because.name not in _TELLING or record.attempt_id in self._kept:
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                text = await ask(record.server_id, _LINES)
        except TimeoutError:
            text = ""
        self._kept[record.attempt_id] = text
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
