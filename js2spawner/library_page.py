"""What is known of each image that somebody may use: what it holds, its age and size, how long it takes to start.

Pure. What an image says of itself stands in its properties, which everybody on the allocation can write: it is read
with bounds and shown as text, and it decides nothing. Which image is the current one of a name, the offer says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry, ImageEntry
from js2spawner.cloud.records import Image
from js2spawner.library import properties
from js2spawner.library.software import BadSoftware, Package, unpacked
from js2spawner.options import NOTHING_KNOWN, Offer, Who

# A definition that is never due says so with a number; one that says more than this says nothing.
_DAYS_AT_MOST = 3650


@dataclass(frozen=True, slots=True)
class Software:
    """The packages of one image, by kind and name, or why there is no list of them."""

    state: Literal["listed", "unlisted", "broken"]
    packages: tuple[Package, ...] = ()


@dataclass(frozen=True, slots=True)
class Usual:
    """What starts on one flavor usually take: half of them at most `p50_s` seconds, nine of ten at most `p90_s`."""

    flavor: FlavorEntry
    p50_s: float
    p90_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """One image of the catalog with what the cloud has of it.

    `stored`: whether the cloud has the image; None when it has not answered. Times are None, texts empty and the size 0
    where nobody told them.
    """

    entry: ImageEntry
    stored: bool | None
    build: str
    built_at: datetime | None
    due_at: datetime | None
    size_bytes: int
    licences: str
    untested: bool
    usual: tuple[Usual, ...]
    software: Software


def held(catalog: Catalog, who: Who, offers: Mapping[str, Offer]) -> tuple[Held, ...]:
    """The images this user may use, in the catalog's order. `offers` by region; one that is missing is not known."""
    return tuple(
        _held(entry, catalog, offers.get(catalog.region_of(entry).name, NOTHING_KNOWN))
        for entry in catalog.images
        if who.belongs(entry.groups)
    )


def for_others(catalog: Catalog, who: Who) -> tuple[str, ...]:
    """The titles of images that only members of other groups may use, as the choice page names them too."""
    return tuple(entry.title for entry in catalog.images if not who.belongs(entry.groups))


def _held(entry: ImageEntry, catalog: Catalog, offer: Offer) -> Held:
    image = offer.images.get(entry.name)
    told = image.properties if image else {}
    built_at = _instant(told.get(properties.BUILT_AT, "")) or (image.created if image else None)
    return Held(
        entry=entry,
        stored=(image is not None) if offer.known else None,
        build=_plain(told.get(properties.BUILD, ""))[:100],
        built_at=built_at,
        due_at=_due(built_at, told.get(properties.REBUILD_AFTER_DAYS, "")),
        size_bytes=image.size_bytes if image else 0,
        licences=_plain(told.get(properties.LICENCES, ""))[:500],
        untested=properties.UNTESTED in told,
        usual=_usual(entry, catalog, offer),
        software=_software(image),
    )


def _usual(entry: ImageEntry, catalog: Catalog, offer: Offer) -> tuple[Usual, ...]:
    found = ((flavor, offer.typical_s.get((entry.name, flavor.name))) for flavor in catalog.flavors_for(entry))
    return tuple(Usual(flavor, *typical) for flavor, typical in found if typical)


def _software(image: Image | None) -> Software:
    packed = properties.from_parts(image.properties) if image else ""
    return software_of(packed) if packed else Software("unlisted")


# By content, so that an image whose properties change is read anew; a hub offers tens of images, not hundreds.
@lru_cache(maxsize=128)
def software_of(packed: str) -> Software:
    """A packed list of packages, ready to be shown. A list that cannot be read is told as that."""
    try:
        packages = unpacked(packed)
    except BadSoftware:
        return Software("broken")
    shown = {
        Package(each.kind, _plain(each.name), _plain(each.version), _plain(each.licence))
        for each in packages
        if _plain(each.name)
    }
    return Software("listed", tuple(sorted(shown, key=lambda each: (each.kind, each.name.lower(), each.name))))


def _plain(text: str) -> str:
    """Without control characters and those that turn the direction of writing: no name may rewrite its surroundings."""
    return "".join(character for character in text if character.isprintable()).strip()


def _instant(text: str) -> datetime | None:
    try:
        told = datetime.fromisoformat(text)
        return told.replace(tzinfo=told.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _due(built_at: datetime | None, days: str) -> datetime | None:
    try:
        after = timedelta(days=float(days))
    except (ValueError, OverflowError):
        return None
    if built_at is None or not timedelta() < after <= timedelta(days=_DAYS_AT_MOST):
        return None
    return built_at + after
