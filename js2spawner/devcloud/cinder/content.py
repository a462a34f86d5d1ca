"""What volumes hold, on the host: made, grown, copied from one another, into snapshots and into images.

A copy takes the time that copying takes, so each is done in a thread while its record shows that it is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.files import uploaded
from js2spawner.devcloud.machine import volumes
from js2spawner.devcloud.records import Snapshot, Volume

log = logging.getLogger(__name__)


async def fill(cloud: DevCloud, volume: Volume, image_id: str = "") -> bool:
    """Make what a new volume holds: nothing, or a copy of its source. False if the source is not there any more."""
    where, source = file_of(cloud, volume), _source(cloud, volume, image_id)
    async with still(cloud, volume.source_volume_id or ""):
        return await asyncio.to_thread(_fill, where, source, volume.size_gb)


async def snap(cloud: DevCloud, snapshot: Snapshot) -> bool:
    """Copy what a volume holds right now."""
    volume = cloud.store.get(Volume, snapshot.volume_id)
    if volume is None:
        return False
    async with still(cloud, volume.id):
        where = cloud.settings.directory / "snapshots" / snapshot.id
        return await asyncio.to_thread(_fill, where, file_of(cloud, volume), snapshot.size_gb)


async def pour_out(cloud: DevCloud, volume: Volume, image_id: str) -> bool:
    """Copy a volume into the bytes of an image. Only a disk has bytes: a folder leaves the image empty."""
    async with still(cloud, volume.id):
        return await asyncio.to_thread(_pour_out, file_of(cloud, volume), uploaded(cloud, image_id))


async def grow(cloud: DevCloud, volume: Volume) -> None:
    """Give it its new size, and let the machine that has it know."""
    await asyncio.to_thread(volumes.grow, file_of(cloud, volume), volume.size_gb)
    for held in volume.attachments if volume.attached else ():
        await cloud.hypervisor.grown(held.server_id, volume.id)


@asynccontextmanager
async def still(cloud: DevCloud, volume_id: str) -> AsyncIterator[None]:
    """For as long as the block lasts nothing is written to the volume by a machine that has it."""
    volume = cloud.store.get(Volume, volume_id)
    if volume is None or not volume.attached:
        yield
        return
    async with cloud.hypervisor.held_still(volume.attachments[0].server_id, volume.id):
        yield


def file_of(cloud: DevCloud, volume: Volume) -> Path:
    return cloud.settings.directory / "volumes" / volume.id


def _source(cloud: DevCloud, volume: Volume, image_id: str) -> Path | None:
    if volume.snapshot_id:
        return cloud.settings.directory / "snapshots" / volume.snapshot_id
    if volume.source_volume_id:
        return cloud.settings.directory / "volumes" / volume.source_volume_id
    data = uploaded(cloud, image_id) if image_id else None
    return data if data is not None and data.exists() else None


def _fill(where: Path, source: Path | None, size_gb: int) -> bool:
    where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if source is None:
            volumes.make(where, size_gb)
        else:
            volumes.copy(source, where, size_gb)
    except OSError as problem:
        log.warning("Volume or snapshot %s: %s.", where.name, problem)
        return False
    return True


def _pour_out(source: Path, data: Path) -> bool:
    data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if source.is_file():
            volumes.copy_file(source, data)
        else:
            data.touch(mode=0o600)
    except OSError as problem:
        log.warning("Image %s: %s.", data.name, problem)
        return False
    return True
