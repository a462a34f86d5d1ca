"""What a build leaves in the cloud, taken away: its own in any case, and that of a builder that was killed.

Everything carries the builder's id, which lies beside its builds. One builder has one build of an image at a time
(`Builds.alone`), so whoever holds that knows that all else that is marked with the image's name is nobody's any more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import Conflict, Gone, NoAnswer
from js2spawner.cloud.records import Image, Server
from js2spawner.library import properties
from js2spawner.library.builds import Builds, Busy
from js2spawner.library.derived.launching import BUILDER, BUILDING, EXPIRES, PURPOSE, group_of, tag_of
from js2spawner.library.derived.settings import Patience
from js2spawner.library.derived.waiting import seen

Say = Callable[[str], None]


def builder_id(builds: Builds) -> str:
    """This builder's id, made at its first build and kept beside its builds."""
    file = builds.folder / ".builder-id"
    builds.folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        # Whole or not at all, and never in place of one: two first builds at once are one builder's.
        made = builds.folder / f".builder-id-{secrets.token_hex(4)}"
        made.write_text(f"{secrets.token_hex(12)}\n")
        with suppress(FileExistsError):
            file.hardlink_to(made)
        made.unlink()
    return file.read_text().strip()


async def sweep(cloud: Cloud, builder: str, image: str, builds: Builds, say: Say, patience: Patience) -> None:
    """Before a build: take away what earlier ones of this builder left. The caller holds the build of `image`."""
    servers, images = await marked(cloud, builder)
    now = datetime.now(UTC)
    others = {_image_of(server) for server in servers} | {_image_of(found) for found in images}
    for other in sorted(others - {image, ""}):
        try:
            with builds.alone(f"build of {other}"):
                await _remove(cloud, builder, other, servers, images, say, patience)
        except Busy:
            late_servers = [each for each in servers if expired(each, now)]
            late_images = [each for each in images if expired(each, now)]
            await _remove(cloud, builder, other, late_servers, late_images, say, patience, group_too=False)
    await _remove(cloud, builder, image, servers, images, say, patience)


async def remove_all_of(cloud: Cloud, builder: str, image: str, say: Say, patience: Patience) -> None:
    """After a build, whatever became of it: nothing of it stays but an image that is finished. Raises CloudError."""
    servers, images = await marked(cloud, builder)
    await _remove(cloud, builder, image, servers, images, say, patience)


async def marked(cloud: Cloud, builder: str) -> tuple[list[Server], list[Image]]:
    """The instances and unfinished images that carry this builder's marks."""
    servers = [
        server
        for server in await cloud.compute.list_servers(tag=tag_of(builder))
        if server.metadata.get(PURPOSE) == BUILDING and server.metadata.get(BUILDER) == builder
    ]
    images = [
        image
        for image in await cloud.images.list(properties={BUILDER: builder})
        if image.properties.get(PURPOSE) == BUILDING and image.properties.get(BUILDER) == builder
    ]
    return servers, images


def expired(found: Server | Image, now: datetime) -> bool:
    """Whether the instant has passed at which it must be gone. What cannot be read has no such instant."""
    try:
        return datetime.fromisoformat(_told(found).get(EXPIRES, "")) < now
    except (ValueError, TypeError):
        return False


def _told(found: Server | Image) -> dict[str, str]:
    return dict(found.metadata if isinstance(found, Server) else found.properties)


def _image_of(found: Server | Image) -> str:
    return _told(found).get(properties.IMAGE, "")


async def _remove(
    cloud: Cloud,
    builder: str,
    image: str,
    servers: list[Server],
    images: list[Image],
    say: Say,
    patience: Patience,
    *,
    group_too: bool = True,
) -> None:
    for server in (each for each in servers if _image_of(each) == image):
        await remove_server(cloud, server.id, patience)
        say(f"instance {server.name} is deleted")
    for unfinished in (each for each in images if _image_of(each) == image):
        try:
            await cloud.images.delete(unfinished.id)
        except Gone:
            continue
        say(f"unfinished image {unfinished.name} is deleted")
    if group_too:
        await _remove_group(cloud, group_of(builder, image), patience)


async def remove_server(cloud: Cloud, server_id: str, patience: Patience) -> None:
    """Delete the instance and see it gone, and any port that stayed. Raises CloudError when the time is up."""

    async def look() -> bool | None:
        try:
            await cloud.compute.delete_server(server_id)
        except Gone:
            return True
        except Conflict:
            pass  # it is just being saved or stopped; that ends
        return None

    # To ask again for what is being deleted is no mistake, and Nova forgets a deletion now and then.
    if not await seen(look, patience.delete_s, max(patience.look_every_s, 1.0)):
        raise NoAnswer(f"instance {server_id} was not deleted within {patience.delete_s:.0f} s")
    for port in await cloud.network.list_ports(device_id=server_id):
        try:
            await cloud.network.delete_port(port.id)
        except (Gone, Conflict):
            continue


async def _remove_group(cloud: Cloud, name: str, patience: Patience) -> None:
    """Neutron keeps a group while a port uses it, and a port may outlive its instance by a moment."""
    until = time.monotonic() + min(60.0, patience.delete_s)
    while (group := await cloud.network.find_group(name)) is not None:
        try:
            await cloud.network.delete_group(group.id)
        except Gone:
            return
        except Conflict:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(patience.look_every_s)
