"""A home's way from the cloud to a file: snapshot, volume, image, download.

A machine outside of the cloud cannot attach a volume, and a copy of the home itself would keep its user from starting a
server for as long as it takes. So a snapshot is made into a volume, that is copied into an image, and the image's data
are fetched. Each step leaves something behind that has a name of its own; a call that was broken off is taken up by the
next one where it was, as long as what it left is not too old to be called the home as it is now.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from js2spawner.cloud.errors import CloudError, Gone, NoAnswer
from js2spawner.cloud.records import Image
from js2spawner.fleet.homes_in_cloud import LOOK_EVERY_S, HomesInCloud
from js2spawner.fleet.names import HUB_KEY
from js2spawner.home_commands.common import SETTLE_S, HomeRefused, moment, told
from js2spawner.home_commands.snapshot import take
from js2spawner.home_copies import (
    EXPORT,
    EXPORT_OF,
    FETCHED,
    Snapshot,
    copied_at,
    export_metadata,
    export_name,
    left_behind,
)
from js2spawner.homes import Home, meaning
from js2spawner.instance import Instant

UPLOAD_S = 6 * 3600.0
_TRIES = 5
_BLOCK_BYTES = 4 * 1024 * 1024

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: which snapshot (None: the home as it is now), where to, and as which kind of disk image."""

    file: Path
    disk_format: str
    snapshot_id: str | None = None

    @property
    def part(self) -> Path:
        """What has been fetched so far."""
        return self.file.with_name(f"{self.file.name}.part")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the home as it was at `copied_at`.

    `hash_value` is what the cloud says of its data and the file's was compared with, and `hash_algorithm` how it was
    made; both are empty where the cloud says nothing that can be compared here.
    """

    file: Path
    size_bytes: int
    copied_at: Instant
    hash_algorithm: str
    hash_value: str


@dataclass(frozen=True, slots=True)
class _Copy:
    """An image that holds, or will hold, the home as it was at `at`."""

    image: Image
    at: Instant


class Exporter:
    """One home's export."""

    def __init__(
        self, there: HomesInCloud, home: Home, wish: Wish, say: Say, clock: Callable[[], Instant] = time.time
    ) -> None:
        self._there = there
        self._home = home
        self._wish = wish
        self._say = say
        self._clock = clock
        self._images = there.cloud.images
        self._volumes = there.cloud.volumes

    async def run(self) -> Exported:
        """All of it, or what is left of it. Raises HomeRefused, CloudError, OSError; all can be gone on with."""
        if self._home.kind == "share":
            raise HomeRefused(f"the home of {self._home.user} is a share: mount it where its files are wanted.")
        copy = await self._image()
        image, algorithm = copy.image, _algorithm(copy.image)
        self._begin_anew_without_hash(algorithm)
        await self._fetch(image)
        self._say("Comparing the file with what the cloud says of it.")
        await self._compare(image, algorithm)
        self._wish.part.replace(self._wish.file)
        await self._let_go(image)
        size = self._wish.file.stat().st_size
        return Exported(self._wish.file, size, copy.at, algorithm, image.os_hash_value if algorithm else "")

    async def discard(self) -> list[str]:
        """Delete what calls that were broken off have left behind, of whatever snapshot; what it was."""
        left: list[str] = []
        for image in await self._there.exported([self._home]):
            await self._there.delete_exported(image)
            left.append(f"image {image.id}")
        for volume in await self._volumes.list({HUB_KEY: self._there.hub_id, EXPORT_OF: self._home.id}):
            await self._volumes.delete(volume.id)
            left.append(f"volume {volume.id}")
        own = [each for each in await self._there.snapshots(self._home) if self._is_own(each)]
        await self._until_gone([each.split()[1] for each in left if each.startswith("volume")])
        await self._there.delete_snapshots(own)
        left += [f"snapshot {each.id}" for each in own]
        if self._wish.part.exists():
            self._wish.part.unlink()
            left.append(str(self._wish.part))
        return left

    # ---- in the cloud -----------------------------------------------------------------------------------------------

    async def _image(self) -> _Copy:
        """The finished image that holds the home. What it was made from is deleted."""
        copy = await self._begun_image()
        if copy is None:
            snapshot = await self._snapshot()
            volume = await self._copy(snapshot)
            self._say(f"The cloud writes volume {volume.id} into an image; this takes long.")
            copy = _Copy(await self._upload(volume), snapshot.taken_at)
        image = await self._until_active(copy.image)
        # Not before it is there: what Cinder is still writing it may describe anew.
        await self._images.update(image.id, put=export_metadata(self._home, self._there.hub_id, copy.at))
        await self._clear_up()
        return _Copy(image, copy.at)

    async def _begun_image(self) -> _Copy | None:
        """What an earlier call has begun and may be gone on with; what may not is deleted."""
        snapshot = await self._begun_snapshot()
        begun: _Copy | None = None
        for image in await self._images_of_it():
            at = copied_at(image, snapshot, self._clock())
            if begun is None and at is not None:
                self._say(f"An earlier export is gone on with; its copy of the home is of {moment(at)} UTC.")
                begun = _Copy(image, at)
                continue
            self._say(f"Image {image.id}, which an earlier export has left, is deleted.")
            try:
                await self._there.delete_exported(image)
            except CloudError as error:
                self._say(f"It stays: {told(error)}")
        return begun

    async def _begun_snapshot(self) -> Snapshot | None:
        """The snapshot that is wanted, or that an earlier call has taken of the home as it is now."""
        snapshots = await self._there.snapshots_of(self._home)
        if self._wish.snapshot_id is not None:
            return next((each for each in snapshots if each.id == self._wish.snapshot_id), None)
        for each in snapshots:
            if self._is_own(each) and each.status == "available" and not left_behind(each.taken_at, self._clock()):
                return each
        return None

    async def _snapshot(self) -> Snapshot:
        if begun := await self._begun_snapshot():
            return begun
        if self._wish.snapshot_id is not None:
            raise HomeRefused(f"snapshot {self._wish.snapshot_id} is not there any more.")
        self._say("A snapshot of the home is made.")
        return await take(self._there, self._home, EXPORT)

    async def _copy(self, snapshot: Snapshot) -> Home:
        marks = {HUB_KEY: self._there.hub_id, EXPORT_OF: self._home.id}
        found = [each for each in await self._volumes.list(marks) if each.snapshot_id == snapshot.id]
        if not found:
            self._say("A volume is made from the snapshot.")
        volume = (
            await self._there.get("volume", found[0].id)
            if found
            else await self._there.create_from(snapshot, self._home, marks)
        )
        volume = await self._there.until_settled(volume, SETTLE_S)
        if meaning(volume) != "ready":
            await self._there.delete(volume)
            raise HomeRefused(f"the cloud could not make a volume from the snapshot: it showed {volume.status}.")
        return volume

    async def _upload(self, volume: Home) -> Image:
        before = {image.id for image in await self._images_of_it()}
        try:
            return await self._images.get(await self._volumes.upload(volume.id, self._name, self._wish.disk_format))
        except CloudError as error:
            if error.certain:
                raise
        # An answer that was lost may hide an image.
        await asyncio.sleep(LOOK_EVERY_S)
        if found := [image for image in await self._images_of_it() if image.id not in before]:
            return found[0]
        raise NoAnswer("the cloud never confirmed the image; try again")

    async def _until_active(self, image: Image) -> Image:
        until = time.monotonic() + UPLOAD_S
        while image.status != "active":
            if image.status not in ("queued", "saving", "importing"):
                raise HomeRefused(f"the cloud could not write the image: it shows {image.id} as {image.status}.")
            if time.monotonic() > until:
                raise NoAnswer(f"image {image.id} is still {image.status} after {UPLOAD_S / 3600:.0f} h")
            await asyncio.sleep(LOOK_EVERY_S)
            image = await self._images.get(image.id)
        return image

    async def _clear_up(self) -> None:
        """Delete volume and snapshot, now that the image holds what they did."""
        copies = await self._volumes.list({HUB_KEY: self._there.hub_id, EXPORT_OF: self._home.id})
        for each in copies:
            copy = await self._there.until_settled(await self._there.get("volume", each.id), SETTLE_S)
            await self._there.delete(copy)
        await self._until_gone([each.id for each in copies])
        own = [each for each in await self._there.snapshots(self._home) if self._is_own(each)]
        await self._there.delete_snapshots(own)

    def _is_own(self, snapshot: Snapshot) -> bool:
        return snapshot.taken == EXPORT and snapshot.home_id == self._home.id

    async def _until_gone(self, volume_ids: list[str]) -> None:
        until = time.monotonic() + SETTLE_S
        for volume_id in volume_ids:
            while time.monotonic() < until:
                try:
                    await self._volumes.get(volume_id)
                except Gone:
                    break
                await asyncio.sleep(LOOK_EVERY_S)

    async def _images_of_it(self) -> list[Image]:
        return [image for image in await self._there.exported([self._home]) if image.name == self._name]

    async def _let_go(self, image: Image) -> None:
        """Delete the image, whose data are here. Where that fails, at least no later call takes it."""
        try:
            await self._there.delete_exported(image)
        except CloudError as error:
            self._say(f"Image {image.id} could not be deleted, which --discard does later: {told(error)}")
            with suppress(CloudError):
                await self._images.update(image.id, put={FETCHED: "yes"})

    @property
    def _name(self) -> str:
        return export_name(self._home, self._wish.snapshot_id, self._wish.disk_format)

    # ---- to the file ------------------------------------------------------------------------------------------------

    def _begin_anew_without_hash(self, algorithm: str) -> None:
        """What an earlier call has fetched may be of another image, which only a hash can tell."""
        if not algorithm and self._wish.part.exists():
            self._say(f"{self._wish.part} is fetched anew: the cloud has no hash by which it could be compared.")
            self._wish.part.unlink()

    async def _fetch(self, image: Image) -> None:
        """The image's data, from where an earlier call has come to."""
        part, said_at = self._wish.part, 0.0

        def tell(there: int) -> None:
            nonlocal said_at
            if time.monotonic() - said_at > 2 or there == image.size_bytes:
                said_at = time.monotonic()
                self._say(f"{there / 1e6:,.0f} of {image.size_bytes / 1e6:,.0f} MB")

        for attempt in range(1, _TRIES + 1):
            had = part.stat().st_size if part.exists() else 0
            if had == image.size_bytes:
                return
            if had > image.size_bytes:
                part.unlink()
            # Somebody's files: nobody else on this machine may read them.
            part.touch(mode=0o600)
            try:
                await self._images.download(image.id, part, tell)
            except NoAnswer as error:
                if attempt == _TRIES:
                    raise
                self._say(f"The download broke off and goes on ({error}).")

    async def _compare(self, image: Image, algorithm: str) -> None:
        good = self._wish.part.stat().st_size == image.size_bytes
        if good and algorithm:
            good = await asyncio.to_thread(_hash, self._wish.part, algorithm) == image.os_hash_value
        if not good:
            self._wish.part.unlink()
            raise HomeRefused("what was fetched is not what the cloud holds, and was deleted: try again.")


def _algorithm(image: Image) -> str:
    """How Glance has made the hash it names, if that can be done here, too; else ""."""
    try:
        # SHAKE's digests have no length of their own.
        known = hashlib.new(image.os_hash_algo).digest_size > 0
    except ValueError:
        known = False
    return image.os_hash_algo if known and image.os_hash_value else ""


def _hash(file: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with file.open("rb") as data:
        while block := data.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
