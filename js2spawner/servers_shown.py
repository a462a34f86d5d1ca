"""Servers as the list page and scripts get them: state, cost, end, and what can be done. Pure: values in, dicts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

from js2spawner import spending
from js2spawner.farewell import farewell
from js2spawner.handshake.messages import Gpu, Health, HomeReport
from js2spawner.instance import (
    Ending,
    Idle,
    Instant,
    Leaving,
    Owner,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
)
from js2spawner.lease import duration
from js2spawner.limits import Use
from js2spawner.numbers_shown import plain, plain_or_none, plural

STATES = {
    "in-line": "in line",
    "starting": "starting",
    "returning": "coming back",
    "running": "running",
    "saving": "being saved",
    "shelving": "going on the shelf",
    "shelved": "on the shelf",
    "ending": "ending",
    "stopped": "stopped",
    "stranded": "left in a region that is no longer in the catalog",
}
# What moves by itself soon: pages look again sooner.
MOVING = frozenset({"in-line", "starting", "returning", "saving", "shelving", "ending"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What the catalog says of a server: the words people know, what an hour costs, what may become of it."""

    image_title: str = ""
    flavor_title: str = ""
    region_title: str = ""
    su_per_hour: float | None = None
    idle: tuple[Idle, ...] = ()
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One server, as everybody who knows of it says.

    `place` is its place in the line, `lease` its lease as pages get it; `health` and `home` are its guest's own words.
    `may_open`: whoever looks may use it. `stopping`: JupyterHub is at it. `earlier`: the server is another one now.
    `stranded`: its region has left the catalog.
    """

    owner: Owner
    title: str
    terms: Terms = Terms()
    record: Record | None = None
    place: Mapping[str, Any] | None = None
    lease: Mapping[str, Any] | None = None
    health: Health | None = None
    home: HomeReport | None = None
    saving: bool = False
    stopping: bool = False
    may_open: bool = True
    earlier: bool = False
    stranded: bool = False


def state_of(seen: Seen) -> str:
    """The state in which a person would say it is, one of STATES."""
    if seen.stranded:
        return "stranded"
    if seen.place is not None:
        return "in-line"
    record = seen.record
    if record is None:
        return "ending" if seen.stopping else "stopped"
    match record.state:
        case Running():
            return "ending" if seen.stopping else "saving" if seen.saving else "running"
        case Shelved():
            return "shelved"
        case Returning():
            return "returning"
        case Shelving() | Leaving(then="shelve"):
            return "shelving"
        case Leaving() | Ending():
            return "ending"
    return "starting"


def row(seen: Seen, now: Instant) -> dict[str, Any]:
    """One server. Times are UTC instants, sizes GB, prices SU; what is not known is None."""
    record, terms, state = seen.record, seen.terms, state_of(seen)
    told: dict[str, Any] = {
        "user": seen.owner.user,
        "server": seen.owner.server,
        "title": seen.title,
        "state": state,
        "state_text": STATES[state],
        "image": terms.image_title,
        "flavor": terms.flavor_title,
        "region": terms.region_title,
        "su_per_hour": plain_or_none(terms.su_per_hour),
        "su_per_hour_now": 0,
        "su_so_far": None,
        "since": None,
        "age": "",
        "place": seen.place,
        "ends_at": None,
        "ends": "",
        "warn": False,
        "then": None,
        "then_sentence": "",
        "gpu": terms.gpu,
        "gpus": [_gpu(gpu) for gpu in seen.health.gpus] if seen.health and state in ("running", "saving") else [],
        "home": None,
    }
    if record is not None:
        told |= _of_record(record, seen, now)
    told["earlier"] = seen.earlier
    told["actions"] = _of_earlier(state) if seen.earlier else _actions(seen, state, told["then"])
    return told


def _of_record(record: Record, seen: Seen, now: Instant) -> dict[str, Any]:
    terms = seen.terms
    parting = farewell(record.plan, terms.idle, terms.su_per_hour)
    return {
        "attempt": record.attempt_id,
        "since": _iso(record.begun_at),
        "age": duration(max(0.0, now - record.begun_at)),
        "su_so_far": plain_or_none(spending.su_so_far(record, terms.su_per_hour, now)),
        "su_per_hour_now": plain_or_none(spending.su_per_hour_now(record, terms.su_per_hour)),
        "then": parting["then"],
        "then_sentence": parting["then_sentence"],
        "home": _home(record, seen.home),
        **({} if seen.stranded else _end(record, seen.lease, now)),
    }


def _end(record: Record, lease: Mapping[str, Any] | None, now: Instant) -> dict[str, Any]:
    """When it ends by itself and why, in a few words."""
    if isinstance(record.state, Shelved):
        left = duration(max(0.0, record.expires_at - now))
        return {"ends_at": _iso(record.expires_at), "ends": f"deleted in {left} if not brought back"}
    if lease is None or not lease.get("ends_at"):
        return {}
    why = {"idle": "if nobody uses it", "age": "its longest life"}.get(str(lease["why"]), "")
    left = duration(float(lease["seconds_left"]))
    return {"ends_at": lease["ends_at"], "ends": f"in {left}: {why}", "warn": bool(lease["warn"])}


def _home(record: Record, told: HomeReport | None) -> dict[str, Any]:
    home = record.plan.home
    mounted = told is not None and told.total_gb > 0
    return {
        "kind": home.kind,
        "size_gb": home.size_gb,
        "used_gb": round(told.used_gb, 1) if told is not None and mounted else None,
        "total_gb": round(told.total_gb, 1) if told is not None and mounted else None,
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "name": gpu.name,
        "utilisation_percent": round(gpu.utilisation_percent),
        "memory_used_gb": round(gpu.memory_used_mb / 1024, 1),
        "memory_total_gb": round(gpu.memory_total_mb / 1024, 1),
    }


def _actions(seen: Seen, state: str, then: str | None) -> list[str]:
    """What can be done with it, the likeliest first."""
    match state:
        case "in-line":
            waits = seen.place is None or seen.place.get("waits", True)
            return ["watch" if waits else "back", "leave"]
        case "starting" | "returning":
            return ["watch", "stop"]
        case "running" | "saving":
            actions = ["open"] if seen.may_open else []
            if seen.lease is not None and seen.lease.get("can_extend"):
                actions.append("extend")
            actions.append("shelve" if then == "shelve" else "stop")
            if then == "shelve":
                actions.append("delete")
            elif "shelve" in seen.terms.idle:
                actions.append("shelve")
            return actions
        case "shelving":
            # Who wants it back while it is on its way there gets it as soon as it has arrived.
            return ["back"]
        case "shelved":
            return ["back", "delete"]
        case "stopped":
            return ["start", "remove"] if seen.owner.server else ["start"]
    return []


def _of_earlier(state: str) -> list[str]:
    """What can be done with an instance that its server is not any more: it waits on the shelf for its end."""
    return ["delete"] if state == "shelved" else []


def listed(rows: Sequence[dict[str, Any]], query: str = "", most: int = 300) -> dict[str, Any]:
    """The rows that have all the words of `query` in them, at most so many, and what all of these cost together."""
    words = query.lower().split()
    found = [each for each in rows if all(word in _searched(each) for word in words)]
    found.sort(key=lambda each: (each["user"], each["server"]))
    return {
        "servers": found[:most],
        "left_out": max(0, len(found) - most),
        "query": query,
        "su_per_hour_now": _sum(each["su_per_hour_now"] for each in found),
        "su_so_far": _sum(each["su_so_far"] for each in found),
    }


def limits_told(used: Use, most: Use) -> list[str]:
    """How much of what one person may have at once is in use; nothing of what has no limit."""
    told = []
    if most.servers != inf:
        servers = plural(most.servers, "server")
        told.append(f"You have {used.servers:g} of {most.servers:g} {servers} that you may have at once.")
    if most.gpus != inf:
        told.append(f"They use {used.gpus:g} of {most.gpus:g} {plural(most.gpus, 'GPU')}.")
    if most.su_per_hour != inf:
        told.append(f"They cost {used.su_per_hour:g} of at most {most.su_per_hour:g} SU an hour.")
    return told


def _searched(shown: Mapping[str, Any]) -> str:
    names = ("user", "server", "title", "image", "flavor", "region", "state_text")
    return "\n".join(str(shown[name]) for name in names).lower()


def _sum(numbers: Iterable[float | None]) -> float | int:
    return plain(sum(number for number in numbers if number))


def _iso(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
