"""A tested build becomes an image in a cloud: uploaded, compared, signed. Nothing half-done counts.

The signature is the last thing that is written, and an image without a good one is nothing to a hub. An upload carries
a tag from its first moment (Nova hands properties on to snapshots, tags it does not), so that one that was
interrupted is found by the next publisher of the build, and finished or removed.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Gone
from js2spawner.cloud.records import Image, NewImage
from js2spawner.library import properties as named
from js2spawner.library.builds import Build
from js2spawner.library.changing import Sleep, change
from js2spawner.library.converting import BuildLost, CannotPublish, DiskFormat, hashed
from js2spawner.library.signing import HASHES, PublicKeys, SigningKey, verdict

UPLOAD_TAG = "js2-upload"

Say = Callable[[str], None]
Promotion = Callable[[], Awaitable[Mapping[str, str]]]

LOOKS = 5
LOOK_EVERY_S = 2.0
SETTLE_LOOKS = 60
"""Looks at an image that may still be taking in the end of an upload whose answer was lost."""

_REMOVED_WITHIN_S = 30.0
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be published: of a build (`properties` hold its id), under a name in Glance, for whom."""

    glance_name: str
    properties: Mapping[str, str]
    disk_format: DiskFormat
    virtual_bytes: int
    min_ram_mb: int
    visibility: str

    @property
    def build(self) -> str:
        return self.properties[named.BUILD]

    @property
    def min_disk_gb(self) -> int:
        return -(-self.virtual_bytes // _GIB)


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is signed. `how`: uploaded now, an upload that only had to be finished, or there already."""

    image: Image
    how: Literal["uploaded", "finished", "was there", "signed"]


async def find(cloud: Cloud, build: str, keys: PublicKeys) -> Image | None:
    """The image of a build that one of the keys vouches for. Raises CloudError."""
    images = await _of_build(cloud, build)
    return next((image for image in images if image.status == "active" and verdict(image, keys) == "good"), None)


async def no_promotion() -> Mapping[str, str]:
    """Signed, and no more: starts get what they got before."""
    return {}


async def upload(
    cloud: Cloud,
    wanted: Wanted,
    file: Path,
    key: SigningKey,
    *,
    say: Say,
    promotion: Promotion = no_promotion,
    sleep: Sleep = asyncio.sleep,
) -> Published:
    """Make the image of a build and sign it, or finish what an earlier publisher began.

    `promotion` gives what is written together with the signature. Raises CannotPublish or CloudError; then no image of
    the build is left that could be taken for one.
    """
    sha512 = await asyncio.to_thread(hashed, file, "sha512")
    whole = await _left_over(cloud, wanted, sha512, say)
    if whole is not None:
        done = await sign(cloud, whole, wanted.properties, key, promotion=promotion, sleep=sleep)
        return Published(done, "finished")
    image = await _create(cloud, wanted, sleep)
    try:
        image = await _fill(cloud, image, file, say, sleep)
        await _compare(image, file, sha512)
    except BaseException as problem:
        # Cancelled too (Ctrl-C). What cannot be removed now is removed by the next publisher, or by prune.
        with suppress(CloudError, TimeoutError, asyncio.CancelledError):
            await asyncio.shield(asyncio.wait_for(cloud.images.delete(image.id), _REMOVED_WITHIN_S))
        if isinstance(problem, CloudError) and not problem.certain:
            raise CannotPublish(
                f"The connection to the cloud was lost while uploading ({problem.detail or problem.name}); nothing was "
                "published. Run it again."
            ) from None
        raise
    # From here on the data are whole: a publisher that fails now leaves what the next one only has to finish.
    return Published(await sign(cloud, image, wanted.properties, key, promotion=promotion, sleep=sleep), "uploaded")


async def sign(
    cloud: Cloud,
    image: Image,
    properties: Mapping[str, str],
    key: SigningKey,
    *,
    promotion: Promotion = no_promotion,
    sleep: Sleep = asyncio.sleep,
) -> Image:
    """Write what an image says of itself, then the signature over it and the data. Raises CannotPublish, CloudError."""
    stale = {name for name in image.properties if name.startswith("js2_")} - properties.keys()
    if _signed_as(properties, image):
        # Another key takes this one's place: it may be what starts get just now, and stays it.
        stale -= {named.SIGNATURE, named.PROMOTED_AT, named.WITHDRAWN_AT}
    if stale or not properties.items() <= image.properties.items():
        image = await change(cloud, image, put=properties, remove=stale, sleep=sleep)
    last = {**await promotion(), named.SIGNATURE: key.sign(image)}
    done = await change(cloud, image, put=last, sleep=sleep)
    if verdict(done, key.keys) != "good":
        raise CannotPublish(f"Image {done.id} was changed while it was signed; find out by whom, and publish again.")
    return done


def _signed_as(properties: Mapping[str, str], image: Image) -> bool:
    """Whether somebody signed the image as this build. What Nova copied is the signature of another build."""
    told = image.properties
    same = all(told.get(name) == properties[name] for name in (named.KIND, named.IMAGE, named.BUILD))
    return same and named.SIGNATURE in told


async def saved_image(cloud: Cloud, image_id: str, build: str) -> Image:
    """The image that a derived build left in the cloud. Raises BuildLost, CannotPublish, CloudError."""
    try:
        image = await cloud.images.get(image_id)
    except Gone:
        raise BuildLost(f"The image of build {build} is gone from the cloud ({image_id}); build it again.") from None
    if image.status != "active":
        raise BuildLost(f"The image of build {build} ({image_id}) is {image.status}, not active; build it again.")
    if image.os_hash_value and image.os_hash_algo not in HASHES:
        raise CannotPublish(_weak(image.os_hash_algo))
    return image


async def signed_by_anybody(cloud: Cloud, build: Build) -> bool:
    """Whether it was published before, by whatever key. Raises CloudError."""
    told = {named.KIND: named.PUBLISHED, named.IMAGE: build.image, named.BUILD: build.id}
    return any(_signed_as(told, image) for image in await _of_build(cloud, build.id))


async def _of_build(cloud: Cloud, build: str) -> list[Image]:
    """Those of this project: what others share with it is not ours to finish, to remove, or to count on."""
    project = await cloud.project_id()
    found = await cloud.images.list(properties={named.BUILD: build})
    return [image for image in found if image.owner == project and image.properties.get(named.BUILD) == build]


async def _left_over(cloud: Cloud, wanted: Wanted, sha512: str, say: Say) -> Image | None:
    """An earlier upload of the same bytes that only lacks its end, or our signature; what is less is removed.

    Never what somebody signed: another key's version may be what starts get and instances use.
    """
    whole: Image | None = None
    for image in await _of_build(cloud, wanted.build):
        if UPLOAD_TAG not in image.tags:
            continue
        same = (image.status, image.os_hash_algo, image.os_hash_value) == ("active", "sha512", sha512)
        signed = _signed_as(wanted.properties, image)
        if same and whole is None:
            told = "signing it anew" if signed else "finishing it"
            say(f"Found an earlier upload of this build ({image.id}); {told}.")
            whole = image
            continue
        if signed:
            continue
        say(f"Removing an earlier upload of this build that was interrupted ({image.id}, {image.status}).")
        with suppress(Gone):
            await cloud.images.delete(image.id)
    return whole


async def _create(cloud: Cloud, wanted: Wanted, sleep: Sleep) -> Image:
    """The queued image. A lost answer is looked up by the id that we chose, so that there are never two."""
    new = NewImage(
        id=str(uuid.uuid4()),
        name=wanted.glance_name,
        disk_format=wanted.disk_format,
        visibility=wanted.visibility,
        min_disk_gb=wanted.min_disk_gb,
        min_ram_mb=wanted.min_ram_mb,
        properties=wanted.properties,
        tags=(UPLOAD_TAG,),
    )
    try:
        return await cloud.images.create(new)
    except CloudError as error:
        if error.certain:
            raise
    for _ in range(LOOKS):
        await sleep(LOOK_EVERY_S)
        with suppress(CloudError):
            return await cloud.images.get(new.id)
    raise CannotPublish(
        "The cloud did not say whether it made the image, and shows none; nothing was published. Run it again."
    )


async def _fill(cloud: Cloud, image: Image, file: Path, say: Say, sleep: Sleep) -> Image:
    """Send the data; the image as it is once Glance has them all."""
    size = await asyncio.to_thread(os.path.getsize, file)
    progress = _Progress(size, say)
    try:
        await cloud.images.upload(image.id, file, progress)
    except CloudError as error:
        if error.certain or progress.sent < size:
            raise
        # Everything was sent and only the answer is missing: the image itself tells.
        for _ in range(SETTLE_LOOKS):
            image = await cloud.images.get(image.id)
            if image.status == "active":
                return image
            if image.status != "saving":
                break
            await sleep(LOOK_EVERY_S)
        raise
    return await cloud.images.get(image.id)


async def _compare(image: Image, file: Path, sha512: str) -> None:
    """Raises CannotPublish unless Glance's hash of what it holds is ours of what we meant."""
    algorithm = image.os_hash_algo
    if algorithm not in HASHES:
        raise CannotPublish(_weak(algorithm))
    ours = sha512 if algorithm == "sha512" else await asyncio.to_thread(hashed, file, algorithm)
    if image.os_hash_value != ours:
        raise CannotPublish("What arrived in the cloud is not what was sent; it was removed. Publish again.")


def _weak(algorithm: str) -> str:
    told = f"with {algorithm}" if algorithm else "not at all"
    return (
        f"This cloud hashes images {told}, and nobody can vouch for that; ask its operator to set Glance's "
        "hashing_algorithm to sha512."
    )


@dataclass(slots=True)
class _Progress:
    """Says how far an upload is, at every tenth of it."""

    size: int
    say: Say
    sent: int = 0
    told: int = 0

    def __call__(self, sent: int) -> None:
        self.sent = sent
        tenth = 10 * sent // self.size if self.size else 10
        if tenth > self.told:
            self.told = tenth
            self.say(f"Uploaded {sent / 1e6:.0f} of {self.size / 1e6:.0f} MB ({10 * tenth} %).")
