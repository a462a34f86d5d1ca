"""How a build goes: what took how long is said and kept, and what fails says in which step and in whose words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from js2spawner.library.scratch.tools import CannotBuild

Say = Callable[[str], None]
_WORDS_AT_MOST = 800


class StepBroken(CannotBuild):
    """A step did not work on the instance. The text ends with its own words, `output` holds all that came of them."""

    def __init__(self, what: str, output: str, step: str = "") -> None:
        self.what, self.output, self.step = what, output, step
        words = " / ".join([line.strip() for line in output.splitlines() if line.strip()][-4:])[-_WORDS_AT_MOST:]
        super().__init__((f"step “{step}”: " if step else "") + what + (f": {words}" if words else ""))


@dataclass(frozen=True, slots=True)
class Steps:
    """`say` gets a line when a step is done; `seconds` holds them in order."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What fails in it says in which step it did, and after how long."""
        since = time.monotonic()
        try:
            yield
        except StepBroken as problem:
            where = f"{name}: {problem.step}" if problem.step else f"{name}, after {time.monotonic() - since:.0f} s"
            raise StepBroken(problem.what, problem.output, where) from None
        self.seconds[name] = round(time.monotonic() - since, 1)
        self.say(f"{name}: {self.seconds[name]:.1f} s")
