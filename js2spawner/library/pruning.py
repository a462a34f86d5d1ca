"""Which versions of an image may go, and why each other one stays. Pure; `Pruner` carries it out."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import Conflict, Forbidden, Gone
from js2spawner.cloud.records import Image
from js2spawner.library import properties as named
from js2spawner.library.builds import Build, Builds
from js2spawner.library.published import Version, promoted, versions, when
from js2spawner.library.publishing import UPLOAD_TAG
from js2spawner.library.signing import PublicKeys, verdict

KEEP = 2
STRAY_AFTER = timedelta(days=1)
"""No upload takes longer; an unsigned one that is older was interrupted."""

RECORD_WITHIN = timedelta(hours=1)
"""A builder writes the record of a build seconds after its image in the cloud is finished."""

STARTS_MAY_HOLD = timedelta(hours=1)
"""A start knows its image by id from the moment it was chosen, and may wait in line for a while."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one image or local build (`id`), and why."""

    build: str
    id: str
    delete: bool
    why: str


def fates(found: Sequence[Version], keep: int, now: datetime) -> list[Fate]:
    """What becomes of the versions of one image, newest build first, if no instance uses those that go.

    Kept are the `keep` that were promoted last, and what was built after the current one. Snapshots that users made of
    their instances claim to be versions, and are none.
    """
    ranked = promoted(found)
    return [_fate(version, ranked, keep, now) for version in found if not version.of_a_user]


def _fate(version: Version, ranked: Sequence[Version], keep: int, now: datetime) -> Fate:
    image, build = version.image, version.build
    if version.verdict == "unsigned":
        return _unsigned(version, now)
    if version.verdict != "good":
        return Fate(build, image.id, False, _LEFT_ALONE[version.verdict])
    place = next((place for place, each in enumerate(ranked) if each.image.id == image.id), None)
    if place == 0:
        return Fate(build, image.id, False, "it is the current version")
    if place is not None and place < keep:
        return Fate(build, image.id, False, f"one of the {keep} versions that are kept")
    if place is None and (not ranked or build > ranked[0].build):
        return Fate(build, image.id, False, "withdrawn" if version.withdrawn else "not promoted yet")
    if now - _replaced_at(version, ranked, place) < STARTS_MAY_HOLD:
        return Fate(build, image.id, False, "it was current within the last hour, and starts may still use it")
    return Fate(build, image.id, True, f"older than the {keep} versions that are kept")


def _replaced_at(version: Version, ranked: Sequence[Version], place: int | None) -> datetime:
    """Since when starts get another version: that was promoted, or somebody went back from this one."""
    if place is not None:
        return ranked[place - 1].promoted_at or _LONG_AGO
    return when(version.image.properties.get(named.WITHDRAWN_AT, "")) or _LONG_AGO


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LEFT_ALONE: Mapping[str, str] = {
    "unknown-key": "signed with a key that is not known here; left alone",
    "changed": "not what was signed; left alone, have a look at it",
}


def _unsigned(version: Version, now: datetime) -> Fate:
    image = version.image
    if UPLOAD_TAG not in image.tags:
        return Fate(version.build, image.id, False, "nobody signed it, and no upload of ours left it; left alone")
    if now - image.created < STRAY_AFTER:
        return Fate(version.build, image.id, False, "its upload may be under way")
    return Fate(version.build, image.id, True, "an upload that was never finished")


def unrecorded(images: Iterable[Image], builder: str, known: Collection[str], now: datetime) -> list[Fate]:
    """What becomes of derived builds whose builder was killed when all but the record was done; `known` have one."""
    why = "its builder was killed before it wrote a record"
    return [
        Fate(image.properties.get(named.BUILD, ""), image.id, True, why)
        for image in images
        if image.properties.get(named.KIND) == named.BUILT
        and image.properties.get(named.BUILT_BY) == builder
        # A snapshot that a user made of an instance of it has its properties, and another id.
        and image.properties.get(named.BUILT_AS) == image.id
        and image.properties.get(named.BUILD) not in known
        and now - image.created > RECORD_WITHIN
    ]


def local_fates(builds: Iterable[Build], keep: int) -> list[Fate]:
    """What becomes of the builds of one image on this machine, newest first."""
    kept, goes = f"one of the {keep} builds that are kept", f"older than the {keep} builds that are kept"
    return [
        Fate(build.id, build.id, place >= keep, goes if place >= keep else kept) for place, build in enumerate(builds)
    ]


@dataclass(frozen=True, slots=True)
class Pruner:
    """Deletes what may go, in a cloud and on this machine."""

    cloud: Cloud
    builds: Builds
    keys: PublicKeys
    keep: int = KEEP
    dry_run: bool = False

    async def in_cloud(self, name: str, now: datetime) -> list[Fate]:
        """Raises CloudError."""
        project = await self.cloud.project_id()
        images = await self.cloud.images.list(properties={named.IMAGE: name})
        found = versions((image for image in images if image.owner == project), name, self.keys)
        decided = [*fates(found, self.keep, now), *await self._without_record(name, images, project, now)]
        seen = {image.id: image for image in images}
        return [await self._carried_out(fate, seen[fate.id]) for fate in decided]

    async def _without_record(self, name: str, images: Sequence[Image], project: str, now: datetime) -> list[Fate]:
        own = [image for image in images if image.owner == project]
        if not any(image.properties.get(named.KIND) == named.BUILT for image in own):
            return []
        # Only who builds in clouds needs that room.
        from js2spawner.library.derived.leftovers import builder_id

        builder = await asyncio.to_thread(builder_id, self.builds)
        known = {build.id for build in await asyncio.to_thread(self.builds.of, name)}
        return unrecorded(own, builder, known, now)

    async def _carried_out(self, fate: Fate, seen: Image) -> Fate:
        """Looked at once more before anything goes: an instance that uses it keeps it, and so does who promotes it."""
        if not fate.delete:
            return fate
        users = await self.cloud.compute.servers_of_image(fate.id)
        if users:
            count = f"{len(users)} instance{'s use' if len(users) > 1 else ' uses'} it"
            return replace(fate, delete=False, why=f"{count} ({', '.join(server.name for server in users[:3])})")
        if not self.dry_run:
            try:
                with suppress(Gone):
                    if (await self.cloud.images.get(fate.id)).properties != seen.properties:
                        return replace(fate, delete=False, why="somebody changed it meanwhile; looked at next time")
                    await self.cloud.images.delete(fate.id)
            except Conflict:
                # Storage that clones disks from images (Ceph) says so, also of instances in other projects.
                return replace(fate, delete=False, why="the cloud's storage still needs it for an instance")
            except Forbidden:
                return replace(fate, delete=False, why="the cloud does not let it be deleted; is it protected?")
        return fate

    async def here(self, name: str) -> list[Fate]:
        """The builds on this machine, and what a derived one left in the cloud that was never published."""
        found = await asyncio.to_thread(self.builds.of, name)
        decided = local_fates(found, self.keep)
        return [await self._gone_here(build, fate) for build, fate in zip(found, decided, strict=True)]

    async def _gone_here(self, build: Build, fate: Fate) -> Fate:
        if not fate.delete or self.dry_run:
            return fate
        if build.kind == "derived" and build.cloud == self.cloud.name and not await self._let_go(build.cloud_image):
            return replace(fate, delete=False, why="an instance uses its image, which only this build's record names")
        await asyncio.to_thread(shutil.rmtree, self.builds.place(build))
        return fate

    async def _let_go(self, image_id: str) -> bool:
        """Delete it if it was never published: nothing else knows of it once its record is gone. False: it is needed.

        A published one is a version, and has its own fate.
        """
        with suppress(Gone):
            image = await self.cloud.images.get(image_id)
            if verdict(image, self.keys) != "unsigned":
                return True
            if await self.cloud.compute.servers_of_image(image_id):
                return False
            try:
                await self.cloud.images.delete(image_id)
            except Conflict:
                return False
        return True
