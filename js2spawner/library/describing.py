"""What a published image is told to say of itself: its properties in Glance, from the build and its definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from js2spawner.library import properties as named
from js2spawner.library.builds import Build
from js2spawner.library.definition import Definition
from js2spawner.library.software import Package, packed

_OTHERS = "others"


def described(definition: Definition, build: Build, software: Iterable[Package]) -> dict[str, str]:
    """All properties but the signature, which is made of what Glance shows of them, and what promotes."""
    packages = tuple(software)
    told = {
        **named.HARDWARE,
        named.KIND: named.PUBLISHED,
        named.IMAGE: build.image,
        named.BUILD: build.id,
        named.DEFINITION: build.definition,
        named.BUILT_AT: build.at,
        named.REBUILD_AFTER_DAYS: f"{definition.rebuild_after_days:g}",
        named.TITLE: definition.title[: named.VALUE_AT_MOST],
        named.LICENCES: licence_note(packages),
        **listed(packages),
    }
    if build.boot is None or not build.boot.passed:
        told[named.UNTESTED] = "yes"
    return {name: value for name, value in told.items() if value}


def listed(packages: tuple[Package, ...]) -> dict[str, str]:
    """The list of software in parts; without licences, or none at all, where it would not fit on an image."""
    for shorter in (packages, tuple(replace(package, licence="") for package in packages)):
        try:
            return named.in_parts(packed(shorter))
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
