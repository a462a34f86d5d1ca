"""Volumes: created, listed, grown, deleted. Attaching is Nova's business."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import set_status
from js2spawner.devcloud.cinder.common import VOLUME_TYPE, ZONE, check_room, checked_metadata, remove
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Snapshot, Volume

_IN_USE = (
    "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing "
    "and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated "
    "from snapshots after volume transfer."
)


async def list_volumes(call: Call) -> Answer:
    everyone = call.caller.admin and call.query.get("all_tenants", "").lower() in ("1", "true")
    found = [known for known in call.cloud.store.all(Volume) if everyone or known.project_id == call.project_id]
    for key in ("name", "status"):
        if key in call.query:
            found = [known for known in found if getattr(known, key) == call.query[key]]
    if "metadata" in call.query:
        wanted = _metadata_filter(call.query["metadata"])
        found = [known for known in found if wanted.items() <= dict(known.metadata).items()]
    found.sort(key=lambda known: known.created, reverse=True)
    found, link = _cut(call, found)
    full = call.path.endswith("/detail")
    views = [_view(call.cloud, known) if full else _brief(call.cloud, known) for known in found]
    return Answer({"volumes": views} | ({"volumes_links": link} if link else {}))


async def create_volume(call: Call) -> Answer:
    asked = call.member("volume")
    snapshot = call.cloud.store.get(Snapshot, str(asked["snapshot_id"])) if asked.get("snapshot_id") else None
    size = _size(asked.get("size", snapshot.size_gb if snapshot else None))
    check_room(call, 1, size)
    now = call.cloud.clock.now()
    volume = Volume(
        id=new_id(),
        project_id=call.project_id,
        user_id=call.caller.user.id,
        name=asked.get("name"),
        description=asked.get("description"),
        size_gb=size,
        status="creating",
        zone=ZONE,
        created=now,
        updated=now,
        bootable=bool(asked.get("imageRef")),
        metadata=checked_metadata(asked.get("metadata") or {}),
        snapshot_id=asked.get("snapshot_id"),
        source_volume_id=asked.get("source_volid"),
    )
    call.cloud.store.put(volume)
    if not (call.behaviour and call.behaviour.stuck):
        call.cloud.life.later("volume", lambda: set_status(call.cloud, volume.id, "available", only_from="creating"))
    return Answer({"volume": _view(call.cloud, volume)}, 202)


async def show_volume(call: Call) -> Answer:
    return Answer({"volume": _view(call.cloud, _volume_of(call))})


async def update_volume(call: Call) -> Answer:
    volume, asked = _volume_of(call), call.member("volume")
    metadata = checked_metadata(asked["metadata"]) if "metadata" in asked else volume.metadata
    changed = replace(
        volume,
        name=asked.get("name", volume.name),
        description=asked.get("description", volume.description),
        metadata=metadata,
        updated=call.cloud.clock.now(),
    )
    return Answer({"volume": _view(call.cloud, call.cloud.store.put(changed))})


async def delete_volume(call: Call) -> Answer:
    volume = _volume_of(call)
    held = any(snapshot.volume_id == volume.id for snapshot in call.cloud.store.all(Snapshot))
    if volume.status not in ("available", "error", "error_extending") or volume.attachments or held:
        raise Refusal(400, _IN_USE)
    call.cloud.store.put(replace(volume, status="deleting"))
    if not (call.behaviour and call.behaviour.stuck):
        call.cloud.life.later("volume", lambda: remove(call.cloud, Volume, volume.id))
    return Answer(status=202, content_type="text/html; charset=UTF-8")


async def act_on_volume(call: Call) -> Answer:
    volume = _volume_of(call)
    action, asked = next(iter(call.body.items())) if isinstance(call.body, dict) and call.body else ("", None)
    arguments = asked if isinstance(asked, dict) else {}
    match action:
        case "os-extend":
            return _extend(call, volume, arguments)
        case "os-detach" | "os-attach":
            # What Cinder answers when an application credential does this behind Nova's back.
            raise Refusal(500, "The server has either erred or is incapable of performing the requested operation.")
        case "os-reset_status" if call.caller.admin:
            call.cloud.store.put(replace(volume, status=str(arguments.get("status", "available"))))
            return Answer(status=202)
        case "os-set_bootable":
            call.cloud.store.put(replace(volume, bootable=bool(arguments.get("bootable"))))
            return Answer()
    raise Refusal(400, f"There is no such action: {action}")


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(_volume_of(call).metadata)})


async def set_metadata(call: Call) -> Answer:
    volume = _volume_of(call)
    asked = checked_metadata(call.member("metadata"))
    metadata = asked if call.method == "PUT" else {**volume.metadata, **asked}
    call.cloud.store.put(replace(volume, metadata=metadata))
    return Answer({"metadata": metadata})


async def delete_metadata(call: Call) -> Answer:
    volume, key = _volume_of(call), call.names["key"]
    if key not in volume.metadata:
        raise Refusal(404, "Metadata item was not found")
    left = {name: value for name, value in volume.metadata.items() if name != key}
    call.cloud.store.put(replace(volume, metadata=left))
    return Answer()


def _size(size: Any) -> int:
    if not str(size).isdecimal() or int(size) < 1:
        raise Refusal(
            400,
            f"Invalid input received: Invalid volume size provided for create request: {size} (size argument must be "
            "an integer (or string representation of an integer) and greater than zero).",
        )
    return int(size)


def _extend(call: Call, volume: Volume, arguments: dict[str, Any]) -> Answer:
    size = arguments.get("new_size")
    if not isinstance(size, int) or size <= volume.size_gb:
        sizes = f"(current: {volume.size_gb}, extended: {size})"
        raise Refusal(400, f"Invalid input received: New size for extend must be greater than current size. {sizes}.")
    if volume.status not in ("available", "in-use"):
        raise Refusal(
            400,
            f"Invalid volume: Volume {volume.id} status must be '('available', 'in-use')' to extend, "
            f"currently {volume.status}.",
        )
    check_room(call, 0, size - volume.size_gb)
    before = volume.status
    call.cloud.store.put(replace(volume, status="extending" if before == "available" else before, size_gb=size))
    call.cloud.life.later("volume", lambda: set_status(call.cloud, volume.id, "available", only_from="extending"))
    return Answer(status=202)


def _cut(call: Call, found: list[Volume]) -> tuple[list[Volume], list[dict[str, str]]]:
    marker = call.query.get("marker")
    if marker:
        ids = [known.id for known in found]
        if marker not in ids:
            raise Refusal(404, f"Volume {marker} could not be found.")
        found = found[ids.index(marker) + 1 :]
    limit = call.query.get("limit", "")
    size = int(limit) if limit.isdecimal() and int(limit) else 1000
    if len(found) <= size:
        return found, []
    href = f"{call.cloud.settings.url}{call.path}?limit={size}&marker={found[size - 1].id}"
    return found[:size], [{"rel": "next", "href": href}]


def _metadata_filter(text: str) -> dict[str, str]:
    """`{'key': 'value'}`, as Cinder's clients write a dictionary: Python's or JSON's quotes."""
    pairs = (part.partition(":") for part in text.strip("{} ").split(",") if part.strip())
    return {key.strip(" '\""): value.strip(" '\"") for key, _, value in pairs}


def _volume_of(call: Call) -> Volume:
    key = call.names["id"]
    volume = call.cloud.store.get(Volume, key)
    if volume is None or (volume.project_id != call.project_id and not call.caller.admin):
        raise Refusal(404, f"Volume {key} could not be found.")
    return volume


def _brief(cloud: DevCloud, volume: Volume) -> dict[str, Any]:
    base = f"{cloud.settings.url}/volume"
    links = [
        {"rel": "self", "href": f"{base}/v3/volumes/{volume.id}"},
        {"rel": "bookmark", "href": f"{base}/volumes/{volume.id}"},
    ]
    return {"id": volume.id, "name": volume.name, "links": links}


def _view(cloud: DevCloud, volume: Volume) -> dict[str, Any]:
    return {
        "id": volume.id,
        "status": volume.status,
        "size": volume.size_gb,
        "availability_zone": volume.zone,
        "created_at": iso_micro(volume.created),
        "updated_at": iso_micro(volume.updated),
        "name": volume.name,
        "description": volume.description,
        "volume_type": VOLUME_TYPE["name"],
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volume_id,
        "metadata": dict(volume.metadata),
        "links": _brief(cloud, volume)["links"],
        "user_id": volume.user_id,
        "bootable": "true" if volume.bootable else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": False,
        "attachments": [
            {
                "id": volume.id,
                "attachment_id": held.id,
                "volume_id": volume.id,
                "server_id": held.server_id,
                "host_name": None,
                "device": held.device,
                "attached_at": iso_micro(held.attached_at),
            }
            for held in volume.attachments
        ],
        "os-vol-tenant-attr:tenant_id": volume.project_id,
    }


ROUTES = (
    Route("GET", "/volumes", "volumes.list", list_volumes),
    Route("GET", "/volumes/detail", "volumes.list", list_volumes),
    Route("POST", "/volumes", "volumes.create", create_volume),
    Route("GET", "/volumes/{id}", "volumes.show", show_volume),
    Route("PUT", "/volumes/{id}", "volumes.update", update_volume),
    Route("DELETE", "/volumes/{id}", "volumes.delete", delete_volume),
    Route("POST", "/volumes/{id}/action", "volumes.action", act_on_volume),
    Route("GET", "/volumes/{id}/metadata", "volumes.show", show_metadata),
    Route("POST", "/volumes/{id}/metadata", "volumes.update", set_metadata),
    Route("PUT", "/volumes/{id}/metadata", "volumes.update", set_metadata),
    Route("DELETE", "/volumes/{id}/metadata/{key}", "volumes.update", delete_metadata),
)
