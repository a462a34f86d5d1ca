"""Changes of an image's properties that are made once, whatever becomes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Conflict
from js2spawner.cloud.records import Image

TRIES = 3
PAUSE_S = 2.0

Sleep = Callable[[float], Awaitable[None]]


async def change(
    cloud: Cloud,
    image: Image,
    *,
    put: Mapping[str, str] | None = None,
    remove: Collection[str] = (),
    sleep: Sleep = asyncio.sleep,
) -> Image:
    """Put and remove properties in one step; the image as it is then. Raises CloudError.

    A change whose answer was lost is looked for, and made again if it did not happen: all of it or nothing has.
    """
    wanted, unwanted = dict(put or {}), set(remove)
    for attempt in range(1, TRIES + 1):
        try:
            return await cloud.images.update(image.id, put=wanted, remove=sorted(unwanted & image.properties.keys()))
        except CloudError as error:
            # A property that was to be removed and is not there: somebody was quicker.
            if (error.certain and not isinstance(error, Conflict)) or attempt == TRIES:
                raise
        await sleep(PAUSE_S)
        image = await cloud.images.get(image.id)
        if wanted.items() <= image.properties.items() and not unwanted & image.properties.keys():
            return image
    raise AssertionError("unreachable")
