"""Finds a package in the lists of all images. Pure; `static/library_search.js` does the same in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from js2spawner.library.software import Kind
from js2spawner.library_page import Held

FOUND_AT_MOST = 60
ASKED_AT_MOST = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where a package was found."""

    image: str
    title: str
    version: str
    licence: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One package and the images that hold it."""

    kind: Kind
    name: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the best hits first, how many more there are, and all of it in a sentence."""

    hits: tuple[Hit, ...]
    more: int
    sentence: str


def search(images: Iterable[Held], asked: str) -> Found:
    """The packages whose names hold every word asked for."""
    images = tuple(images)
    words = [_alike(word) for word in asked[:ASKED_AT_MOST].split()]
    if not any(words):
        return Found((), 0, "")
    places: dict[tuple[Kind, str], list[Place]] = {}
    for image in images:
        for package in image.software.packages:
            if all(word in _alike(package.name) for word in words):
                place = Place(image.entry.name, image.entry.title, package.version, package.licence)
                places.setdefault((package.kind, package.name), []).append(place)
    hits = [Hit(kind, name, tuple(where)) for (kind, name), where in places.items()]
    whole = "-".join(words)
    hits.sort(key=lambda hit: (_nearness(_alike(hit.name), whole), _alike(hit.name), hit.kind, hit.name))
    return Found(tuple(hits[:FOUND_AT_MOST]), max(0, len(hits) - FOUND_AT_MOST), _sentence(hits, len(images)))


def _alike(name: str) -> str:
    """How names are compared: as PyPI does (PEP 503), where `Jupyter_Server` is `jupyter-server`."""
    return re.sub(r"[-_.]+", "-", name.lower())


def _nearness(name: str, whole: str) -> int:
    if name == whole:
        return 0
    if name.startswith(whole):
        return 1
    return 2 if f"-{whole}-" in f"-{name}-" else 3


def _sentence(hits: list[Hit], images: int) -> str:
    if not hits:
        return "No list of packages here has a name like this."
    if len(hits) > 1:
        return f"{len(hits)} packages have a name like this."
    in_images = len({place.image for place in hits[0].places})
    return f"{hits[0].name} is in {in_images} of {images} {'image' if images == 1 else 'images'}."
