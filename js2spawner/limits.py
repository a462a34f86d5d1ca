"""How much one person may have at once, by their groups. Pure.

Who is in several groups has the best of what these say; "everyone" is a group of which all are members. What members
may have *together* is no refusal: a start waits in the line until another member's server has ended (`line`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal

from js2spawner.catalog_entries import FlavorEntry, Limit
from js2spawner.cloud.records import Flavor
from js2spawner.gpu_flavors import gpus_of
from js2spawner.numbers_shown import counted

EVERYONE = "everyone"

Counted = Literal["servers", "gpus", "su_per_hour"]


@dataclass(frozen=True, slots=True)
class Use:
    """So many servers and GPUs at once, and what they cost an hour."""

    servers: float = 0
    gpus: float = 0
    su_per_hour: float = 0

    def plus(self, other: Use) -> Use:
        return Use(self.servers + other.servers, self.gpus + other.gpus, self.su_per_hour + other.su_per_hour)


def use_of(flavors: Iterable[tuple[FlavorEntry | None, Flavor | None]]) -> Use:
    """What servers on these flavors add up to, by the catalog's word and their cloud's.

    One whose flavor neither knows any more is a server, and no more is known. A share of a card counts as a GPU.
    """
    total = Use()
    for entry, seen in flavors:
        total = total.plus(Use(1, gpus_of(entry, seen), entry.su_per_hour if entry else 0))
    return total


def most_for(limits: Iterable[Limit], groups: frozenset[str]) -> Use:
    """What somebody in these groups may have at most."""
    mine = _of(limits, groups)
    return Use(*(_best(getattr(limit, name) for limit in mine) for name in ("servers", "gpus", "su_per_hour")))


def together(limits: Iterable[Limit], groups: frozenset[str]) -> tuple[Limit, ...]:
    """The groups whose members have a limit together, of those somebody is in: each of them counts."""
    return tuple(limit for limit in _of(limits, groups) if limit.together is not None)


def over(wanted: Use, used: Use, most: Use) -> Counted | None:
    """Which limit another server would break; None when it may be had."""
    total = wanted.plus(used)
    if total.servers > most.servers:
        return "servers"
    if total.gpus > most.gpus:
        return "gpus"
    return "su_per_hour" if total.su_per_hour > most.su_per_hour else None


def sentence(limit: Counted, used: Use, most: Use) -> str:
    """What a person is told who may not have another."""
    if limit == "servers":
        return f"You may have {counted(most.servers, 'server')} at once, and you have {used.servers:g}."
    if limit == "gpus":
        return f"You may use {counted(most.gpus, 'GPU')} at once, and your servers use {used.gpus:g}."
    return (
        f"Your servers may cost {most.su_per_hour:g} SU an hour together, and cost {used.su_per_hour:g} SU without "
        "this one."
    )


def _of(limits: Iterable[Limit], groups: frozenset[str]) -> list[Limit]:
    return [limit for limit in limits if limit.name == EVERYONE or limit.name in groups]


def _best(values: Iterable[float | None]) -> float:
    # A group that says nothing of GPUs does not lift what another says of them.
    return max((value for value in values if value is not None), default=inf)
