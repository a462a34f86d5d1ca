"""Cinder: volumes and their snapshots. (Block Storage API v3 reference.) Attaching goes through Nova, see compute.py.

What an application credential of an ordinary member may not do is not here: resetting a state, detaching by force and
deleting by force are for a cloud's administrators.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .caller import Call, Caller, path
from .errors import Gone
from .reading import Json, instant, read, strings, text, words
from .records import Volume, VolumeHold, VolumeLimits, VolumeSnapshot

HOLDS_SINCE = "3.27"
"""The microversion (Ocata, 2017) from which Cinder tells who is about to have a volume."""

GROWS_IN_USE_SINCE = "3.42"
"""The microversion (Pike, 2017) from which a volume may grow while it is attached, where the storage allows it."""


class Volumes:
    """The block storage of one cloud. Every method raises CloudError; Gone where the volume is no more."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self,
        name: str,
        size_gb: int,
        metadata: Mapping[str, str],
        *,
        volume_type: str | None = None,
        snapshot_id: str | None = None,
    ) -> Volume:
        """Ask for a volume, empty or with what a snapshot holds. Errors with `certain` False may have made one."""
        new: dict[str, object] = {"name": name, "size": size_gb, "metadata": dict(metadata)}
        if volume_type:
            new["volume_type"] = volume_type
        if snapshot_id:
            new["snapshot_id"] = snapshot_id
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

    async def limits(self) -> VolumeLimits:
        answer = await self._call("volume-limits", "GET", path("limits"))
        return read(limits_from_json, answer.get("limits"), "limits")

    async def delete(self, volume_id: str) -> None:
        """Start deleting. Raises Conflict while the volume is attached or has snapshots."""
        await self._call("delete-volume", "DELETE", path("volumes", volume_id))

    async def extend(self, volume_id: str, size_gb: int, *, attached: bool = False) -> None:
        """Start growing a volume to this size. Raises Conflict where it is attached and `attached` was not said.

        Where the storage cannot grow what is attached the refusal is BadRequest or Conflict, in its own words.
        """
        since = GROWS_IN_USE_SINCE if attached else ""
        await self._act("extend-volume", volume_id, "os-extend", {"new_size": size_gb}, since)

    async def set_metadata(self, volume_id: str, values: Mapping[str, str]) -> None:
        """Add or change these items; others stay."""
        body = {"metadata": dict(values)}
        await self._call("set-volume-metadata", "POST", path("volumes", volume_id, "metadata"), body)

    async def delete_metadata(self, volume_id: str, key: str) -> None:
        """Remove one item; one that is not there is no error."""
        try:
            await self._call("delete-volume-metadata", "DELETE", path("volumes", volume_id, "metadata", key))
        except Gone as gone:
            # Cinder: "Volume … has no metadata with key …", as opposed to "Volume … could not be found."
            if "no metadata" not in gone.detail:
                raise

    # ---- who has it -------------------------------------------------------------------------------------------------

    async def holds(self, volume_id: str) -> tuple[VolumeHold, ...]:
        """Who has the volume or is about to have it, which `Volume.attached_to` tells only of the former."""
        call = self._request("list-holds", "GET", path("attachments"), None, HOLDS_SINCE, {"volume_id": volume_id})
        found = [read(hold_from_json, each, "attachment") for each in await self._caller.pages(call, "attachments")]
        return tuple(hold for hold in found if hold.volume_id == volume_id)

    async def drop_hold(self, hold_id: str) -> None:
        """Forget a hold that no server makes good. Raises Conflict while Nova stands by it: then Nova has to detach."""
        await self._call("drop-hold", "DELETE", path("attachments", hold_id), None, HOLDS_SINCE)

    async def unreserve(self, volume_id: str) -> None:
        """Make a volume that is "attaching" for nobody available again."""
        await self._act("unreserve-volume", volume_id, "os-unreserve", None)

    async def roll_detaching(self, volume_id: str) -> None:
        """Take back a detaching that has stuck: the volume is in use again, and can be detached once more."""
        await self._act("roll-detaching", volume_id, "os-roll_detaching", None)

    async def disown(self, volume_id: str) -> None:
        """Make a volume that there is no hold of available again, whatever state it is in."""
        await self._act("disown-volume", volume_id, "os-detach", {})

    # ---- copies -----------------------------------------------------------------------------------------------------

    async def upload(self, volume_id: str, image_name: str, disk_format: str) -> str:
        """Start copying the volume into an image; the image's id. Raises Conflict while the volume is attached.

        Errors with `certain` False may have made an image of that name.
        """
        asked = {"image_name": image_name, "container_format": "bare", "disk_format": disk_format, "force": False}
        answer = await self._act("upload-volume", volume_id, "os-volume_upload_image", asked)
        return read(lambda begun: text(begun, "image_id"), answer.get("os-volume_upload_image"), "image")

    async def snapshots(self, volume_id: str | None = None) -> tuple[VolumeSnapshot, ...]:
        """The snapshots of one volume, or all of the project's."""
        params = {"volume_id": volume_id} if volume_id else {}
        call = self._request("list-snapshots", "GET", path("snapshots", "detail"), params=params)
        found = [read(snapshot_from_json, each, "snapshot") for each in await self._caller.pages(call, "snapshots")]
        return tuple(snapshot for snapshot in found if volume_id in (None, snapshot.volume_id))

    async def get_snapshot(self, snapshot_id: str) -> VolumeSnapshot:
        answer = await self._call("get-snapshot", "GET", path("snapshots", snapshot_id))
        return read(snapshot_from_json, answer.get("snapshot"), "snapshot")

    async def create_snapshot(self, volume_id: str, name: str, metadata: Mapping[str, str]) -> VolumeSnapshot:
        """Ask for a snapshot, of an attached volume too: it then holds what a crash at this moment would leave.

        Errors with `certain` False may have made one.
        """
        new = {"volume_id": volume_id, "name": name, "metadata": dict(metadata), "force": True}
        answer = await self._call("create-snapshot", "POST", path("snapshots"), {"snapshot": new})
        return read(snapshot_from_json, answer.get("snapshot"), "snapshot")

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Start deleting a snapshot. Raises Gone; Conflict while something is made from it."""
        await self._call("delete-snapshot", "DELETE", path("snapshots", snapshot_id))

    async def _act(self, operation: str, volume_id: str, action: str, arguments: object, since: str = "") -> Json:
        return await self._call(operation, "POST", path("volumes", volume_id, "action"), {action: arguments}, since)

    async def _call(self, operation: str, method: str, where: str, body: object = None, since: str = "") -> Json:
        return await self._caller.call(self._request(operation, method, where, body, since))

    @staticmethod
    def _request(
        operation: str,
        method: str,
        where: str,
        body: object = None,
        since: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Call:
        return Call(
            service="block-storage",
            operation=operation,
            method=method,
            path=where,
            body=body,
            params=params or {},
            headers={"OpenStack-API-Version": f"volume {since}"} if since else {},
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
        snapshot_id=words(volume, "snapshot_id"),
    )


def snapshot_from_json(snapshot: Json) -> VolumeSnapshot:
    return VolumeSnapshot(
        id=text(snapshot, "id"),
        volume_id=text(snapshot, "volume_id"),
        name=words(snapshot, "name"),
        status=text(snapshot, "status"),
        size_gb=int(snapshot["size"]),
        metadata=strings(snapshot.get("metadata")),
        created=instant(text(snapshot, "created_at")),
    )


def hold_from_json(attachment: Json) -> VolumeHold:
    return VolumeHold(
        id=text(attachment, "id"),
        volume_id=text(attachment, "volume_id"),
        server_id=words(attachment, "instance"),
        status=words(attachment, "status"),
    )


def limits_from_json(limits: Json) -> VolumeLimits:
    absolute = limits["absolute"]
    return VolumeLimits(
        volumes_used=int(absolute["totalVolumesUsed"]),
        volumes_max=_limit(absolute["maxTotalVolumes"]),
        gigabytes_used=int(absolute["totalGigabytesUsed"]),
        gigabytes_max=_limit(absolute["maxTotalVolumeGigabytes"]),
        snapshots_used=int(absolute["totalSnapshotsUsed"]),
        snapshots_max=_limit(absolute["maxTotalSnapshots"]),
    )


def _limit(value: int) -> int | None:
    return int(value) if value >= 0 else None
