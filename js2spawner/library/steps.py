"""The steps of a build, here or in a cloud: what is done is said, and how long it took is kept for the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from js2spawner.library.scratch.tools import StepFailed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Steps:
    """`say` gets a line when a step is done; `seconds` holds them in order."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What fails in it says in which step it did, or as well after how long."""
        since = time.monotonic()
        try:
            yield
        except StepFailed as problem:
            raise problem.at(name, time.monotonic() - since) from None
        self.seconds[name] = round(time.monotonic() - since, 1)
        self.say(f"{name}: {self.seconds[name]:.1f} s")
