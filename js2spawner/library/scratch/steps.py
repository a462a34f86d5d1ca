"""The steps of a build: what is under way is said, and how many seconds each took is kept for the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from js2spawner.library.scratch.tools import ToolFailed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Steps:
    """`say` gets a line when a step is done; `seconds` holds them in order."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What fails in it says in which step it did."""
        since = time.monotonic()
        try:
            yield
        except ToolFailed as problem:
            raise problem.at(name) from None
        self.seconds[name] = round(time.monotonic() - since, 1)
        self.say(f"{name}: {self.seconds[name]:.1f} s")
