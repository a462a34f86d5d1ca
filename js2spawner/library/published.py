"""The versions of an image that lie in a cloud, and which of them starts get. Pure.

An image of the library is known by its properties, not by its name in Glance. Only what the operator's key vouches for
counts; of that, the version promoted last is the current one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from js2spawner.cloud.errors import BadImage, ImageChanged, ImageNotPublished
from js2spawner.cloud.records import Image
from js2spawner.library import properties as named
from js2spawner.library.signing import PublicKeys, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Version:
    """One image in Glance that says it is a version of an image of the library; `verdict` tells whether it is."""

    image: Image
    verdict: Verdict
    promoted_at: datetime | None

    @property
    def build(self) -> str:
        return self.image.properties.get(named.BUILD, "")

    @property
    def definition(self) -> str:
        return self.image.properties.get(named.DEFINITION, "")

    @property
    def made_with(self) -> str:
        return self.image.properties.get(named.MADE_WITH, "")

    @property
    def began(self) -> datetime:
        """When its build began; long ago if it does not say so."""
        return when(self.image.properties.get(named.BUILT_AT, "")) or datetime.min.replace(tzinfo=UTC)

    @property
    def withdrawn(self) -> bool:
        """It was current, and somebody went back from it."""
        return named.WITHDRAWN_AT in self.image.properties

    @property
    def usable(self) -> bool:
        return self.verdict == "good" and self.image.status == "active"

    @property
    def of_a_user(self) -> bool:
        """Nova says of what it saves that it is a snapshot. A derived build is one too, but a signed one."""
        return self.verdict != "good" and self.image.properties.get("image_type") == "snapshot"


def versions(images: Iterable[Image], name: str, keys: PublicKeys) -> list[Version]:
    """All that claim to be versions of the image, newest build first; those of one build as Glance got them.

    Snapshots that users made of their instances claim it too (Nova copies properties); their verdict is "changed".
    """
    found = [
        Version(image, verdict(image, keys), when(image.properties.get(named.PROMOTED_AT, "")))
        for image in images
        if image.properties.get(named.IMAGE) == name and image.properties.get(named.KIND) == named.PUBLISHED
    ]
    return sorted(found, key=lambda version: (version.build, version.image.created), reverse=True)


def promoted(of: Iterable[Version]) -> list[Version]:
    """The versions that are or were current and can be so again, the current one first."""
    dated = [(version.promoted_at, version.build, version) for version in of if version.usable and version.promoted_at]
    return [version for *_, version in sorted(dated, key=lambda each: each[:2], reverse=True)]


def current(images: Sequence[Image], name: str, keys: PublicKeys) -> Image | None:
    """The image that a start gets now, or None."""
    return next((version.image for version in promoted(versions(images, name, keys))), None)


def why_none(images: Sequence[Image], name: str, keys: PublicKeys) -> BadImage:
    """What to tell when there is no current version: the error's sentence is the user's, its detail the operator's."""
    known = versions(images, name, keys)
    claimed = [version for version in known if version.promoted_at and not _copied(version)]
    about = f"image {name!r} of the library"
    if any(version.usable for version in known):
        return ImageNotPublished(f"{about} is published but no version is promoted; run js2 image promote {name}")
    if not claimed:
        remedy = f"run js2 image publish {name} --promote"
        left = f"; only snapshots with its properties are left, such as {known[0].image.id}" if known else ""
        return ImageNotPublished(f"{about} is not published in this cloud{left}; {remedy}")
    newest = max(claimed, key=lambda version: (version.promoted_at, version.build))
    where = f"{newest.image.name!r} ({newest.image.id})"
    match newest.verdict:
        case "unknown-key":
            return ImageChanged(f"{about}: {where} is signed with a key that this hub does not trust")
        case "unsigned":
            return ImageChanged(f"{about}: {where} has no signature")
        case "changed":
            return ImageChanged(f"{about}: {where} is not what was signed: its data or properties are others")
    return ImageNotPublished(f"{about}: {where} is {newest.image.status}")


def _copied(version: Version) -> bool:
    """A snapshot of somebody's instance: the signature that Nova copied is good for other data."""
    return version.of_a_user and version.verdict == "changed"


def when(text: str) -> datetime | None:
    """An instant somebody wrote into a property; None if it is none."""
    try:
        told = datetime.fromisoformat(text)
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
