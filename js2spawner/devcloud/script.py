"""The fault script as a person writes it: YAML or JSON, checked here, with one sentence per mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from js2spawner.devcloud.faults import Effect, Match, Rule, When
from js2spawner.devcloud.latency import PHASES, Latencies
from js2spawner.devcloud.records import Behaviour

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Phase = Annotated[str, Field(pattern=rf"^({'|'.join(PHASES)})$")]
M = TypeVar("M", bound=BaseModel)
Pattern = Annotated[str, Field(max_length=200)]


class ScriptError(ValueError):
    """A script that cannot be used; the text says where and why, one line a mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MatchText(_Strict):
    operation: Pattern = "*"
    service: Pattern = "*"
    method: Pattern = "*"
    path: Pattern = "*"
    server: Pattern = "*"


class WhenText(_Strict):
    skip: int = Field(default=0, ge=0)
    nth: int | None = Field(default=None, ge=1)
    count: int | None = Field(default=None, ge=0)
    probability: float = Field(default=1.0, ge=0, le=1)

    @model_validator(mode="after")
    def nth_stands_alone(self) -> Self:
        if self.nth is not None and (self.skip or self.count is not None):
            raise ValueError("`nth` is one single call; leave `skip` and `count` out")
        return self

    def made(self) -> When:
        if self.nth is not None:
            return When(skip=self.nth - 1, count=1, probability=self.probability)
        return When(skip=self.skip, count=self.count, probability=self.probability)


class EffectText(_Strict):
    delay_s: Seconds = 0.0
    status: int | None = Field(default=None, ge=400, le=599)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)
    done: bool = False
    lose: Literal["", "before", "after"] = ""
    stuck: Phase | None = None
    error: str | None = Field(default=None, max_length=1000)
    error_phase: Phase = "spawning"
    guest: Literal["dead"] | None = None
    boot_seconds: Seconds | None = None
    addresses: Literal["early", "late"] | None = None

    @model_validator(mode="after")
    def does_something(self) -> Self:
        made = self.made()
        if not (made.delay_s or made.status or made.lose or made.behaviour):
            options = "delay_s, status, lose, stuck, error, guest, boot_seconds or addresses"
            raise ValueError(f"this effect does nothing; give {options}")
        return self

    def made(self) -> Effect:
        bent = Behaviour(
            stuck=self.stuck or "",
            error=self.error or "",
            error_phase=self.error_phase,
            guest_dead=self.guest == "dead",
            boot_seconds=self.boot_seconds,
            addresses=self.addresses or "",
        )
        body = self.body if self.body is None or isinstance(self.body, str) else json.dumps(self.body)
        return Effect(
            delay_s=self.delay_s,
            status=self.status,
            body=body,
            headers=tuple(self.headers.items()),
            done=self.done,
            lose=self.lose,
            behaviour=None if bent == Behaviour(error_phase=self.error_phase) else bent,
        )


class RuleText(_Strict):
    name: str = Field(min_length=1, max_length=100)
    match: MatchText = Field(default_factory=MatchText)
    when: WhenText = Field(default_factory=WhenText)
    effect: EffectText

    def made(self) -> Rule:
        return Rule(self.name, Match(**self.match.model_dump()), self.when.made(), self.effect.made())


class LatenciesText(_Strict):
    calls: dict[str, Seconds] = Field(default_factory=dict, max_length=200)
    phases: dict[Phase, Seconds] = Field(default_factory=dict)
    spread: float | None = Field(default=None, ge=0, le=1)

    def over(self, base: Latencies) -> Latencies:
        """These figures on top of `base`."""
        spread = base.spread if self.spread is None else self.spread
        return Latencies({**base.calls, **self.calls}, {**base.phases, **self.phases}, spread)


class CapacityText(_Strict):
    capacity: dict[str, Annotated[int, Field(ge=0)] | None] = Field(default_factory=dict, max_length=100)


class RulesText(_Strict):
    faults: list[RuleText] = Field(default_factory=list, max_length=100)


class CardsText(_Strict):
    """How the GPUs of hosts are."""

    cards: dict[str, Literal["sound", "silent", "hangs", "no-memory", "no-compute"]] = Field(
        default_factory=dict, max_length=100
    )


class VolumeText(_Strict):
    """What is to be believed of a volume; no `attached_to` at all leaves that, an empty one is nobody."""

    status: str | None = Field(default=None, max_length=50)
    attached_to: str | None = Field(default=None, max_length=50)


class OutageText(_Strict):
    """How a region does not work: it lets everybody wait, answers 503, or no connection is made."""

    out: Literal["", "hang", "fail", "refuse"] = ""


class RegionText(CapacityText, CardsText, RulesText, OutageText):
    """What a script says of one region, beside what it says of all."""

    latencies: LatenciesText = Field(default_factory=LatenciesText)


class Script(CapacityText, CardsText, RulesText):
    """A whole script; every part may be missing."""

    seed: int | None = None
    latencies: LatenciesText = Field(default_factory=LatenciesText)
    regions: dict[str, RegionText] = Field(default_factory=dict, max_length=20)


def read_script(path: Path) -> Script:
    """Read and check a script file. Raises ScriptError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ScriptError(f"{path}: cannot be read ({problem.strerror})") from problem
    except yaml.YAMLError as problem:
        raise ScriptError(f"{path}: is not YAML ({problem})") from problem
    return parse(Script, content or {}, where=str(path))


def parse(kind: type[M], content: object, *, where: str) -> M:
    """Check `content` against one of the models above. Raises ScriptError; `where` begins each of its lines."""
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        raise ScriptError(sentences(problem, where)) from problem


def sentences(problem: ValidationError, where: str) -> str:
    """One line a mistake: where it stands, what is wrong."""
    lines = (
        f"{where}: {'.'.join(map(str, error['loc'])) or 'top level'}: {_plain(error)}" for error in problem.errors()
    )
    return "\n".join(lines)


def _plain(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")
