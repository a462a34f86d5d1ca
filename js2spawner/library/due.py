"""When an image must be built again: it never was, its definition changed, js2spawner did, or it is too old."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from js2spawner.library import baked
from js2spawner.library.definition import Definition


class Dated(Protocol):
    """A build here or a version in a cloud: of which definition it is, made with what, and when it was begun."""

    @property
    def definition(self) -> str: ...

    @property
    def made_with(self) -> str: ...

    @property
    def began(self) -> datetime: ...


def why_due(definition: Definition, newest: Dated | None, now: datetime, *, never: str = "never built") -> str:
    """The reason, in a few words; empty when the newest one will do. `now` has a time zone."""
    if newest is None:
        return never
    if newest.definition != definition.key:
        return "its definition changed"
    if newest.made_with != baked.digest(definition):
        return "its guest program or the way it is built changed"
    age = now - newest.began
    if age > timedelta(days=definition.rebuild_after_days):
        return f"{age.days} days old, at most {definition.rebuild_after_days:g} are allowed"
    return ""


def age_of(build: Dated, now: datetime) -> str:
    """How old a build is, as people say it."""
    seconds = max((now - build.began).total_seconds(), 0.0)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return "new"
