"""From an instance that is done to an image that is whole: stop it, have Nova save it, wait until Glance has it all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Conflict, Gone
from js2spawner.cloud.records import Image
from js2spawner.library import properties
from js2spawner.library.derived.launching import BUILDER, Marks
from js2spawner.library.derived.settings import Patience
from js2spawner.library.derived.waiting import seen
from js2spawner.library.scratch.tools import CannotBuild


async def stop(cloud: Cloud, server_id: str, patience: Patience) -> None:
    """Switch the instance off, so that all it wrote is on its disk. Raises CannotBuild, CloudError."""
    try:
        await cloud.compute.act(server_id, "os-stop")
    except CloudError as error:
        # It is off, or going off, already; or the answer was lost. The wait will tell.
        if error.certain and not isinstance(error, Conflict):
            raise

    async def look() -> bool | None:
        server = await cloud.compute.get_server(server_id)
        return True if server.status == "SHUTOFF" and server.task_state is None else None

    if not await seen(look, patience.stop_s, patience.look_every_s):
        raise CannotBuild(f"the instance did not stop within {patience.stop_s:.0f} s")


async def save(cloud: Cloud, server_id: str, marks: Marks, patience: Patience) -> Image:
    """Have it saved; the image once it is active. Until `finish` it carries the marks of a build under way.

    Raises CannotBuild, CloudError.
    """
    name = f"js2-{marks.image}-{marks.build}"
    try:
        image_id = await cloud.compute.create_image(server_id, name, marks.metadata)
    except CloudError as error:
        if error.certain:
            raise
        image_id = await _look_up(cloud, marks, patience, error)

    async def look() -> Image | None:
        try:
            image = await cloud.images.get(image_id)
        except Gone:
            raise CannotBuild("the cloud gave up saving the instance and removed the image") from None
        if image.status in ("killed", "deleted", "pending_delete", "deactivated"):
            raise CannotBuild(f"the image became {image.status} while it was saved")
        return image if image.status == "active" else None

    saved = await seen(look, patience.save_s, patience.look_every_s)
    if saved is None:
        raise CannotBuild(f"the instance was not saved within {patience.save_s:.0f} s")
    return saved


async def _look_up(cloud: Cloud, marks: Marks, patience: Patience, error: CloudError) -> str:
    async def look() -> str | None:
        images = await cloud.images.list(properties={properties.BUILD: marks.build})
        return next((image.id for image in images if image.properties.get(BUILDER) == marks.builder), None)

    found = await seen(look, patience.look_up_s, patience.look_every_s)
    if found is None:
        raise error
    return found


async def finish(cloud: Cloud, image: Image, told: Mapping[str, str], patience: Patience) -> Image:
    """Take off the marks and whatever of ours Nova copied from the base's image; `told` is what is true instead."""
    wanted = {**told, properties.KIND: properties.BUILT, properties.BUILT_AS: image.id}
    until = time.monotonic() + patience.look_up_s
    while True:
        stale = {name for name in image.properties if name.startswith("js2_")} - wanted.keys()
        if not stale and wanted.items() <= image.properties.items():
            return image
        try:
            image = await cloud.images.update(image.id, put=wanted, remove=sorted(stale))
        except CloudError as error:
            # An answer that was lost may hide a success: look, and do what is left to do.
            if error.certain or time.monotonic() > until:
                raise
            await asyncio.sleep(patience.look_every_s)
            image = await cloud.images.get(image.id)
