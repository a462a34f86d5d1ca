"""Cinder: volumes. (Block Storage API v3 reference.) Attaching goes through Nova, see compute.py."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .caller import Call, Caller, path
from .reading import Json, instant, read, strings, text, words
from .records import Volume


class Volumes:
    """The block storage of one cloud. Every method raises CloudError; Gone where the volume is no more."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, name: str, size_gb: int, metadata: Mapping[str, str]) -> Volume:
        """Ask for an empty volume. Errors with `certain` False may have made one."""
        new = {"name": name, "size": size_gb, "metadata": dict(metadata)}
        answer = await self._call("create-volume", "POST", path("volumes"), {"volume": new})
        return read(volume_from_json, answer.get("volume"), "volume")

    async def get(self, volume_id: str) -> Volume:
        answer = await self._call("get-volume", "GET", path("volumes", volume_id))
        return read(volume_from_json, answer.get("volume"), "volume")

    async def list(self, metadata: Mapping[str, str] | None = None) -> list[Volume]:
        """The project's volumes that carry all of these items."""
        wanted = dict(metadata or {})
        call = Call(
            service="block-storage",
            operation="list-volumes",
            method="GET",
            path=path("volumes", "detail"),
            params={"metadata": json.dumps(wanted)} if wanted else {},
        )
        volumes = [read(volume_from_json, volume, "volume") for volume in await self._caller.pages(call, "volumes")]
        # An operator may have taken the filter out of Cinder's resource_filters.json, and then it is ignored.
        return [volume for volume in volumes if wanted.items() <= volume.metadata.items()]

    async def delete(self, volume_id: str) -> None:
        """Start deleting. Raises Conflict while the volume is attached."""
        await self._call("delete-volume", "DELETE", path("volumes", volume_id))

    async def extend(self, volume_id: str, size_gb: int) -> None:
        """Start growing a volume that is not attached to this size."""
        body = {"os-extend": {"new_size": size_gb}}
        await self._call("extend-volume", "POST", path("volumes", volume_id, "action"), body)

    async def set_metadata(self, volume_id: str, values: Mapping[str, str]) -> None:
        """Add or change these items; others stay."""
        body = {"metadata": dict(values)}
        await self._call("set-volume-metadata", "POST", path("volumes", volume_id, "metadata"), body)

    async def _call(self, operation: str, method: str, where: str, body: object = None) -> Json:
        return await self._caller.call(
            Call(service="block-storage", operation=operation, method=method, path=where, body=body)
        )


def volume_from_json(volume: Json) -> Volume:
    return Volume(
        id=text(volume, "id"),
        name=words(volume, "name"),
        status=text(volume, "status"),
        size_gb=int(volume["size"]),
        metadata=strings(volume.get("metadata")),
        attached_to=tuple(text(attachment, "server_id") for attachment in volume.get("attachments") or ()),
        created=instant(text(volume, "created_at")),
    )
