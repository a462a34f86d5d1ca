"""The fault script at work: which rules strike which call, and what they do to it.

Rules are values; the only state is how often each has matched and struck, and a random generator of its own for each,
so that a script with a seed strikes the same calls whatever else goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

from js2spawner.devcloud.records import Behaviour


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a rule is about; every given pattern (shell style) must fit. `server` is the server's name."""

    operation: str = "*"
    service: str = "*"
    method: str = "*"
    path: str = "*"
    server: str = "*"


@dataclass(frozen=True, slots=True)
class When:
    """Which matching calls are struck: after `skip` of them, at most `count` (None: all), each with `probability`."""

    skip: int = 0
    count: int | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What a struck call meets.

    `delay_s` waits first. `status` answers with `body` and `headers`: instead of doing anything, or after having done
    it when `done` is set. `lose` closes the connection without an answer, before or after doing. `behaviour` bends the
    server.
    """

    delay_s: float = 0.0
    status: int | None = None
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    done: bool = False
    lose: Literal["", "before", "after"] = ""
    behaviour: Behaviour | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    match: Match
    when: When
    effect: Effect


@dataclass(frozen=True, slots=True)
class Subject:
    """The call a rule is held against."""

    service: str
    operation: str
    method: str
    path: str
    server: str


@dataclass(slots=True)
class Armed:
    """A rule in force, how many calls it matched and how many of them it struck."""

    rule: Rule
    random: Random
    matched: int = 0
    struck: int = 0


@dataclass(slots=True)
class Faults:
    """The rules in force, in order. All rules that strike a call take effect, the first status or loss wins."""

    seed: int
    armed: list[Armed] = field(default_factory=list)

    def replace(self, rules: Iterable[Rule]) -> None:
        self.armed = []
        self.add(rules)

    def add(self, rules: Iterable[Rule]) -> None:
        """Arm further rules; one with the name of an armed rule takes its place and starts counting anew."""
        for rule in rules:
            self.remove(rule.name)
            self.armed.append(Armed(rule, Random(f"{self.seed}:{rule.name}")))  # noqa: S311

    def remove(self, name: str) -> bool:
        before = len(self.armed)
        self.armed = [armed for armed in self.armed if armed.rule.name != name]
        return len(self.armed) < before

    def strike(self, subject: Subject) -> list[Effect]:
        """The effects on this call, counting it."""
        return [armed.rule.effect for armed in self.armed if _fits(armed.rule.match, subject) and _strikes(armed)]


def bend(old: Behaviour, new: Behaviour) -> Behaviour:
    """What becomes of a server that was bent before: whatever the new effect says wins."""
    said = {member.name: getattr(new, member.name) for member in fields(new)}
    plain = Behaviour()
    return replace(old, **{name: value for name, value in said.items() if value != getattr(plain, name)})


def _fits(match: Match, subject: Subject) -> bool:
    return (
        fnmatchcase(subject.service, match.service)
        and fnmatchcase(subject.operation, match.operation)
        and fnmatchcase(subject.method, match.method)
        and fnmatchcase(subject.path, match.path)
        and fnmatchcase(subject.server, match.server)
    )


def _strikes(armed: Armed) -> bool:
    armed.matched += 1
    when = armed.rule.when
    if armed.matched <= when.skip or (when.count is not None and armed.struck >= when.count):
        return False
    if when.probability < 1 and armed.random.random() >= when.probability:
        return False
    armed.struck += 1
    return True
