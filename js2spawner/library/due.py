"""When an image must be built again: it never was, its definition changed, or it is older than that lets it become."""

from __future__ import annotations

from datetime import datetime, timedelta

from js2spawner.library.builds import Build
from js2spawner.library.definition import Definition


def why_due(definition: Definition, newest: Build | None, now: datetime) -> str:
    """The reason, in a few words; empty when the newest build will do. `now` has a time zone."""
    if newest is None:
        return "never built"
    if newest.definition != definition.key:
        return "its definition changed"
    age = now - newest.began
    if age > timedelta(days=definition.rebuild_after_days):
        return f"{age.days} days old, at most {definition.rebuild_after_days:g} are allowed"
    return ""


def age_of(build: Build, now: datetime) -> str:
    """How old a build is, as people say it."""
    seconds = max((now - build.began).total_seconds(), 0.0)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return "new"
