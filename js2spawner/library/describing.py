"""What a published image is told to say of itself: its properties in Glance, from the build and its definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

from js2spawner.library import properties as named
from js2spawner.library.builds import Build
from js2spawner.library.definition import Definition
from js2spawner.library.software import Package, packed

_OTHERS = "others"
_TO_COME = 8
"""Properties there must be room for: the signature, two that promote and go back, and some of the cloud's own."""


def described(
    definition: Definition, build: Build, software: Iterable[Package], others: Collection[str] = ()
) -> dict[str, str]:
    """All properties but the signature, which is made of what Glance shows of them, and what promotes.

    `others` are names of those that the image has already: there is room for fewer parts of the list then.
    """
    packages = tuple(software)
    told = {
        **named.HARDWARE,
        named.KIND: named.PUBLISHED,
        named.IMAGE: build.image,
        named.BUILD: build.id,
        named.DEFINITION: build.definition,
        named.MADE_WITH: build.made_with,
        named.BUILT_AT: build.at,
        named.REBUILD_AFTER_DAYS: f"{definition.rebuild_after_days:g}",
        named.TITLE: definition.title[: named.VALUE_AT_MOST],
        named.LICENCES: licence_note(packages),
    }
    if build.boot is None or not build.boot.passed:
        told[named.UNTESTED] = "yes"
    staying = {name for name in others if not name.startswith("js2_")} - told.keys()
    room = named.PROPERTIES_AT_MOST - len(told) - len(staying) - _TO_COME
    told |= listed(packages, min(room, named.PARTS_AT_MOST))
    return {name: value for name, value in told.items() if value}


def listed(packages: tuple[Package, ...], most: int = named.PARTS_AT_MOST) -> dict[str, str]:
    """The list of software in parts; without licences, or none at all, where it would not fit on an image."""
    for shorter in (packages, tuple(replace(package, licence="") for package in packages)):
        try:
            return named.in_parts(packed(shorter), most)
        except ValueError:
            continue
    return {}


def licence_note(packages: Iterable[Package]) -> str:
    """The licences by how many packages have them, the most frequent first, as far as a property holds."""
    counts = Counter(package.licence or "unknown" for package in packages)
    note = ""
    for place, (licence, count) in enumerate(counts.most_common()):
        rest = len(counts) - place
        entry = f"{', ' if note else ''}{licence} {count}"
        if len(note) + len(entry) + len(f", {rest} {_OTHERS}") > named.VALUE_AT_MOST:
            return f"{note}{', ' if note else ''}{rest} {_OTHERS}"
        note += entry
    return note
