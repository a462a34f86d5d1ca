"""What becomes of a server at its end, of what is on it and of its home, and what each way costs. Pure, in words.

The warning before an end, the lease page, the list of servers and JupyterLab's notice say the same, since all say this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from js2spawner.instance import HomeKind, Idle, Plan
from js2spawner.numbers_shown import counted, plain, plain_or_none

Then = Literal["delete", "shelve"]

_DAY_S = 24 * 3600.0


def then_of(idle: Idle) -> Then:
    """What follows an end. `keep` only means that idleness is no end: its longest life is one, and deletes."""
    return "shelve" if idle == "shelve" else "delete"


def home_stays(kind: HomeKind) -> bool:
    return kind != "none"


def farewell(
    plan: Plan, allowed: Sequence[Idle] = (), su_per_hour: float | None = None, *, home_gb: float = 0
) -> dict[str, Any]:
    """For pages and scripts. `allowed` is what its profile lets its user choose; `home_gb` what the home has used."""
    then, days = then_of(plan.idle), plain(plan.shelved_s / _DAY_S)
    return {
        "then": then,
        "home": plan.home.kind,
        "home_stays": home_stays(plan.home.kind),
        "home_gb": plain(home_gb),
        "su_per_hour": plain_or_none(su_per_hour),
        "shelved_days": days,
        "then_sentence": sentence(then, plan.home.kind, days),
        "ways": [_way(each, plan.home.kind, days, su_per_hour) for each in _ways(plan.idle, allowed)],
    }


def sentence(then: Then, home: HomeKind, days: float) -> str:
    """What happens then, and what stays."""
    stays = home_stays(home)
    if then == "shelve":
        kept = f"The instance is then put on the shelf as it is, for {_days(days)}, and costs nothing there."
        return f"{kept} {_home_too() if stays else _no_home_on_shelf()}"
    if stays:
        return "The instance is then deleted. Your home stays with all its files; what you installed elsewhere is gone."
    return "The instance is then deleted with everything on it: it has no home that stays, and your files go, too."


def _home_too() -> str:
    return "Your home stays, too."


def _no_home_on_shelf() -> str:
    return "It has no home that stays: what is not brought back by then is deleted with your files."


def _ways(idle: Idle, allowed: Sequence[Idle]) -> list[str]:
    """Going on first; then what follows by itself; then what its user may have instead."""
    then = then_of(idle)
    others: list[str] = ["shelve"] if "shelve" in allowed and then != "shelve" else []
    if then != "delete":
        others.append("delete")
    return ["on", then, *others]


def _way(name: str, home: HomeKind, days: float, su_per_hour: float | None) -> dict[str, Any]:
    """One row of what can be done, with what an hour of it costs."""
    stays = home_stays(home)
    titles = {"on": "Keep it running", "shelve": "On the shelf", "delete": "Deleted"}
    told = {
        "on": "All goes on.",
        "shelve": f"As it is, for {_days(days)}; brought back with one click.",
        "delete": "Your home stays; the rest is gone." if stays else "Everything on it is gone, your files, too.",
    }
    price = su_per_hour if name == "on" else 0
    return {"name": name, "title": titles[name], "text": told[name], "su_per_hour": plain_or_none(price)}


def _days(days: float) -> str:
    if days < 1:
        return counted(max(1, round(days * 24)), "hour")
    return counted(days, "day")
