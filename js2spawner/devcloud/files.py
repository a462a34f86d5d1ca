"""Files of images and volumes on the host, removed once nothing is known of what they belong to.

Below the cloud's directory `glance/` holds uploaded bytes, `images/` what snapshots of servers copied, and `volumes/`,
`snapshots/` and `shares/` what volumes, their snapshots and shares hold, each entry named by an id. Ids are never used
again, so an entry without a record is rubbish for good.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.records import Image, Share, Snapshot, Volume

_OWNERS: dict[str, type[Image | Volume | Snapshot | Share]] = {
    "glance": Image,
    "images": Image,
    "volumes": Volume,
    "snapshots": Snapshot,
    "shares": Share,
}


def uploaded(cloud: DevCloud, image_id: str) -> Path:
    """Where the bytes of an image are."""
    return cloud.settings.directory / "glance" / image_id


def is_id(text: str) -> bool:
    """Whether a text is an id as this cloud writes them, and so safe to be a file's name."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


async def sweep(cloud: DevCloud) -> None:
    """Remove what belongs to nothing."""
    for folder, owner in _OWNERS.items():
        # Looked for first, held against the records afterwards: what is made meanwhile is not seen at all.
        found = await asyncio.to_thread(_entries, cloud.settings.directory / folder)
        for entry in found:
            if cloud.store.get(owner, entry.name) is None:
                await asyncio.to_thread(_remove, entry)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if is_id(entry.name)] if folder.is_dir() else []


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
