"""What an examination found: a level, the thing, a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`warn`: a hub runs, but not all of it or not for long. `fail`: no user gets an instance."""

    level: Level
    about: str
    sentence: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def ok(about: str, sentence: str) -> Finding:
    return Finding("ok", about, sentence)


def warn(about: str, sentence: str, remedy: str) -> Finding:
    return Finding("warn", about, sentence, remedy)


def fail(about: str, sentence: str, remedy: str) -> Finding:
    return Finding("fail", about, sentence, remedy)


def any_fails(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "fail" for finding in findings)
