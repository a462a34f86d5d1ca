"""The library as its page and scripts get it: values in words, numbers and percentages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from js2spawner.library.software import Kind, Package
from js2spawner.library_page import Held, Usual

KIND_TITLES: Mapping[Kind, str] = {"pypi": "Python", "deb": "Debian", "cran": "R"}


def as_json(images: Iterable[Held]) -> dict[str, Any]:
    """For scripts and for the search in the browser: nothing in it changes by itself, so that it can be kept."""
    return {"images": [_image_json(image) for image in images]}


def _image_json(image: Held) -> dict[str, Any]:
    return {
        **_told(image),
        "usual_start": {each.flavor.name: {"p50_s": each.p50_s, "p90_s": each.p90_s} for each in image.usual},
        "packages": [
            {"kind": each.kind, "name": each.name, "version": each.version, "licence": each.licence}
            for each in image.software.packages
        ],
    }


def _told(image: Held) -> dict[str, Any]:
    """What scripts and the page get alike."""
    return {
        "name": image.entry.name,
        "title": image.entry.title,
        "description": image.entry.description,
        "inside": list(image.entry.inside),
        "gpu": image.entry.gpu,
        "in_cloud": image.stored,
        "build": image.build,
        "built_at": _iso(image.built_at),
        "rebuild_due_at": _iso(image.due_at),
        "size_bytes": image.size_bytes,
        "licences": image.licences,
        "untested": image.untested,
        "packages_state": image.software.state,
    }


def _iso(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if instant else None


def shown(images: Iterable[Held], now: datetime) -> list[dict[str, Any]]:
    """What the page's template shows beside the lists; bars are percentages of the longest among these images."""
    images = tuple(images)
    largest = max((image.size_bytes for image in images), default=0)
    slowest = max((usual.p90_s for image in images for usual in image.usual), default=0.0)
    return [
        {
            **_told(image),
            "age": _age(image.built_at, now),
            "due": _due_words(image.due_at, now),
            "overdue": image.due_at is not None and image.due_at <= now,
            "age_percent": _age_percent(image, now),
            "size": _size(image.size_bytes),
            "size_percent": _percent(image.size_bytes, largest),
            "usual": [_usual_shown(usual, slowest) for usual in image.usual],
            "counts": _counts(image.software.packages),
            "packages": len(image.software.packages),
        }
        for image in images
    ]


def _usual_shown(usual: Usual, slowest_s: float) -> dict[str, Any]:
    half, most = span(usual.p50_s), span(usual.p90_s)
    return {
        "flavor": usual.flavor.title,
        "half": half,
        "most": "" if half == most else most,
        "p50_percent": _percent(usual.p50_s, slowest_s),
        "p90_percent": _percent(usual.p90_s, slowest_s),
    }


def _counts(packages: tuple[Package, ...]) -> list[dict[str, Any]]:
    numbers = {kind: sum(package.kind == kind for package in packages) for kind in KIND_TITLES}
    return [{"kind": kind, "title": KIND_TITLES[kind], "number": number} for kind, number in numbers.items() if number]


def _age(built_at: datetime | None, now: datetime) -> str:
    if built_at is None:
        return ""
    days = max(0, (now - built_at).days)
    return _days(days) if days else "less than a day"


def _due_words(due_at: datetime | None, now: datetime) -> str:
    if due_at is None:
        return ""
    if due_at <= now:
        return f"its rebuild is due since {due_at:%Y-%m-%d}"
    left = (due_at - now).days
    return f"rebuilt in {_days(left)}" if left else "rebuilt within a day"


def _age_percent(image: Held, now: datetime) -> int | None:
    """How much of its time is over; None where nobody said when it is to be rebuilt."""
    if image.built_at is None or image.due_at is None:
        return None
    whole, over = image.due_at - image.built_at, now - image.built_at
    return min(100, max(2, round(100 * over / whole)))


def _percent(part: float, whole: float) -> int:
    return max(2, round(100 * part / whole)) if whole > 0 and part > 0 else 0


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _size(size_bytes: int) -> str:
    if size_bytes >= 10**9:
        return f"{size_bytes / 10**9:.1f} GB"
    return f"{max(1, round(size_bytes / 10**6))} MB" if size_bytes else ""


def span(seconds: float) -> str:
    """As `durations.js` writes it on the other pages: 42 s, 1 min 35 s."""
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    large, unit, small, small_unit = (
        (whole // 60, "min", whole % 60, "s") if whole < 3600 else (whole // 3600, "h", whole % 3600 // 60, "min")
    )
    return f"{large} {unit} {small} {small_unit}" if small else f"{large} {unit}"
