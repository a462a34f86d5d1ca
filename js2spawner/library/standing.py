"""The versions of an image as a person looks at them: which is current, who vouches for it, who uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from js2spawner.cloud.cloud import Cloud
from js2spawner.library import properties as named
from js2spawner.library.promoting import own_versions
from js2spawner.library.published import Version, promoted
from js2spawner.library.signing import PublicKeys

_VERDICTS = {
    "good": "signed",
    "unsigned": "not signed",
    "unknown-key": "signed with a key that is not known here",
    "changed": "CHANGED since it was signed",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """One version. `standing` is current, before, withdrawn or waiting; empty for one that nobody vouches for."""

    build: str
    id: str
    standing: str
    signature: str
    status: str
    promoted_at: str
    size_bytes: int
    instances: int
    untested: bool


async def standing_of(cloud: Cloud, name: str, keys: PublicKeys) -> list[Standing]:
    """The versions of an image in this project, newest build first. Raises CloudError."""
    found = await own_versions(cloud, name, keys)
    # What users saved of their instances has the properties of the image they came from, and is no version.
    versions = [
        each for each in found if each.verdict == "good" or each.image.properties.get("image_type") != "snapshot"
    ]
    return [_told(each, versions, len(await cloud.compute.servers_of_image(each.image.id))) for each in versions]


def _told(version: Version, versions: Iterable[Version], instances: int) -> Standing:
    return Standing(
        build=version.build,
        id=version.image.id,
        standing=_word(version, promoted(versions)),
        signature=_VERDICTS[version.verdict],
        status=version.image.status,
        promoted_at=named.instant(version.promoted_at) if version.promoted_at else "",
        size_bytes=version.image.size_bytes,
        instances=instances,
        untested=named.UNTESTED in version.image.properties,
    )


def _word(version: Version, ranked: list[Version]) -> str:
    if not version.usable:
        return ""
    if version.promoted_at is None:
        return "withdrawn" if version.withdrawn else "waiting"
    return "current" if ranked[0].image.id == version.image.id else "before"
