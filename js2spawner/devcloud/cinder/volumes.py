"""Volumes: created, listed, labelled, deleted. Attaching is Nova's business."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import set_status, volume_in
from js2spawner.devcloud.cinder.common import (
    TEXT_AT_MOST,
    VOLUME_TYPE,
    ZONE,
    check_room,
    checked_metadata,
    cut,
    invalid,
    remove,
    volume_of,
)
from js2spawner.devcloud.cinder.content import fill
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.records import Behaviour, Image, Snapshot, Volume

_BACKEND = "2f3f0d8e-4b0c-4a59-9d0b-0f2f5f6f7a10"
_MALFORMED = "The server could not comply with the request since it is either malformed or otherwise incorrect."
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
    found, link = cut(call, found, "Volume")
    full = call.path.endswith("/detail")
    views = [_full_view(call, known) if full else _brief(call.cloud, known) for known in found]
    return Answer({"volumes": views} | ({"volumes_links": link} if link else {}))


async def create_volume(call: Call) -> Answer:
    asked = call.member("volume")
    name, metadata = _name(asked.get("name")), checked_metadata(asked.get("metadata") or {})
    size = _size(asked)
    _check_offers(call, asked)
    size = size or _source_size(call, asked)
    check_room(call, 1, size)
    now = call.cloud.clock.now()
    volume = Volume(
        id=new_id(),
        project_id=call.project_id,
        user_id=call.caller.user.id,
        name=name,
        description=asked.get("description"),
        size_gb=size,
        status="creating",
        zone=ZONE,
        created=now,
        updated=now,
        bootable=bool(asked.get("imageRef")),
        metadata=metadata,
        snapshot_id=asked.get("snapshot_id"),
        source_volume_id=asked.get("source_volid"),
    )
    call.cloud.store.put(volume)
    image_id = str(asked.get("imageRef") or "")
    call.cloud.life.spawn(_create(call.cloud, volume, image_id, call.behaviour or Behaviour()))
    return Answer({"volume": {**_view(call, volume), "updated_at": None}}, 202)


async def _create(cloud: DevCloud, volume: Volume, image_id: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("volume", behaviour):
        return
    failing = behaviour.error and behaviour.error_phase == "volume"
    made = not failing and await fill(cloud, volume, image_id)
    set_status(cloud, volume.id, "available" if made else "error", only_from="creating")
    await cloud.store.flush()


async def show_volume(call: Call) -> Answer:
    return Answer({"volume": _full_view(call, volume_of(call))})


async def update_volume(call: Call) -> Answer:
    volume, asked = volume_of(call), call.member("volume")
    metadata = checked_metadata(asked["metadata"]) if "metadata" in asked else volume.metadata
    changed = replace(
        volume,
        name=asked.get("name", volume.name),
        description=asked.get("description", volume.description),
        metadata=metadata,
        updated=call.cloud.clock.now(),
    )
    return Answer({"volume": _view(call, call.cloud.store.put(changed))})


async def delete_volume(call: Call) -> Answer:
    volume = volume_of(call)
    held = any(snapshot.volume_id == volume.id for snapshot in call.cloud.store.all(Snapshot))
    if volume.status not in ("available", "error", "error_extending") or volume.attachments or held:
        raise Refusal(400, _IN_USE)
    call.cloud.store.put(replace(volume, status="deleting"))
    if (call.behaviour or Behaviour()).stuck != "volume":
        call.cloud.life.later("volume", lambda: remove(call.cloud, Volume, volume.id))
    return Answer(status=202, content_type=HTML)


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(volume_of(call).metadata)})


async def set_metadata(call: Call) -> Answer:
    volume = volume_of(call)
    asked = checked_metadata(call.member("metadata"))
    metadata = asked if call.method == "PUT" else {**volume.metadata, **asked}
    call.cloud.store.put(replace(volume, metadata=metadata))
    return Answer({"metadata": metadata})


async def delete_metadata(call: Call) -> Answer:
    volume, key = volume_of(call), call.names["key"]
    if key not in volume.metadata:
        raise Refusal(404, f"Volume {volume.id} has no metadata with key {key}.")
    left = {name: value for name, value in volume.metadata.items() if name != key}
    call.cloud.store.put(replace(volume, metadata=left))
    return Answer(content_type=HTML)


def _name(name: object) -> str | None:
    if name is not None and len(str(name)) > TEXT_AT_MOST:
        text = f"name has {len(str(name))} characters, more than {TEXT_AT_MOST}."
        raise Refusal(400, f"Invalid input received: {text}")
    return None if name is None else str(name)


def _size(asked: dict[str, Any]) -> int:
    """The size asked for; zero where a source says it."""
    size = asked.get("size")
    if size is None:
        if not asked.get("snapshot_id") and not asked.get("source_volid"):
            raise Refusal(400, _MALFORMED)
        return 0
    if isinstance(size, int) and size < 1:
        raise invalid("size", size, f"{size} is less than the minimum of 1")
    if not str(size).isdecimal():
        raise invalid("size", size, f"{size!r} does not match '^[0-9]+$'")
    return int(size)


def _check_offers(call: Call, asked: dict[str, Any]) -> None:
    """Raises Refusal for a type, zone or image that there is not."""
    kind = asked.get("volume_type")
    if kind not in (None, VOLUME_TYPE["id"], VOLUME_TYPE["name"]):
        raise Refusal(404, f"Volume type with name {kind} could not be found.")
    image = call.cloud.store.get(Image, str(asked.get("imageRef"))) if asked.get("imageRef") else None
    if asked.get("imageRef") and image is None:
        raise Refusal(400, "Invalid image identifier or unable to access requested image.")
    _source_size(call, asked)
    zone = asked.get("availability_zone")
    if zone not in (None, ZONE):
        raise Refusal(400, f"Availability zone '{zone}' is invalid.")


def _source_size(call: Call, asked: dict[str, Any]) -> int:
    """The size of what the volume is to be a copy of. Raises Refusal when that is not there."""
    if asked.get("source_volid"):
        source = volume_in(call.cloud, call.project_id, str(asked["source_volid"]))
        if source is None:
            raise Refusal(404, f"Volume {asked['source_volid']} could not be found.")
        return source.size_gb
    if not asked.get("snapshot_id"):
        return 0
    key = str(asked["snapshot_id"])
    snapshot = call.cloud.store.get(Snapshot, key)
    if snapshot is None or snapshot.project_id != call.project_id:
        raise Refusal(404, f"Snapshot {key} could not be found.")
    return snapshot.size_gb


def _metadata_filter(text: str) -> dict[str, str]:
    """Cinder reads it as Python writes a dictionary, and JSON of texts is that too; anything else filters nothing."""
    try:
        wanted = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {}
    return {str(key): str(value) for key, value in wanted.items()} if isinstance(wanted, dict) else {}


def _brief(cloud: DevCloud, volume: Volume) -> dict[str, Any]:
    base = f"{cloud.settings.url}/volume"
    links = [
        {"rel": "self", "href": f"{base}/v3/volumes/{volume.id}"},
        {"rel": "bookmark", "href": f"{base}/volumes/{volume.id}"},
    ]
    return {"id": volume.id, "name": volume.name, "links": links}


def _full_view(call: Call, volume: Volume) -> dict[str, Any]:
    """What is shown when a volume is asked for, and not when it is made or changed."""
    return {**_view(call, volume), "os-vol-tenant-attr:tenant_id": volume.project_id}


def _view(call: Call, volume: Volume) -> dict[str, Any]:
    placed = volume.status != "creating"
    since: dict[int, dict[str, Any]] = {
        13: {"group_id": None},
        21: {"provider_id": None},
        48: {"service_uuid": _BACKEND if placed else None, "shared_targets": not placed},
        63: {"volume_type_id": VOLUME_TYPE["id"]},
        65: {"consumes_quota": True},
    }
    newer = {name: value for minor, members in since.items() if call.at_least(minor) for name, value in members.items()}
    return {
        **newer,
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
        "links": _brief(call.cloud, volume)["links"],
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
                "device": held.device or None,
                "attached_at": iso_micro(held.attached_at),
            }
            for held in volume.attachments
            if held.status == "attached"
        ],
    }


ROUTES = (
    Route("GET", "/volumes", "volumes.list", list_volumes),
    Route("GET", "/volumes/detail", "volumes.list", list_volumes),
    Route("POST", "/volumes", "volumes.create", create_volume),
    Route("GET", "/volumes/{id}", "volumes.show", show_volume),
    Route("PUT", "/volumes/{id}", "volumes.update", update_volume),
    Route("DELETE", "/volumes/{id}", "volumes.delete", delete_volume),
    Route("GET", "/volumes/{id}/metadata", "volumes.show", show_metadata),
    Route("POST", "/volumes/{id}/metadata", "volumes.update", set_metadata),
    Route("PUT", "/volumes/{id}/metadata", "volumes.update", set_metadata),
    Route("DELETE", "/volumes/{id}/metadata/{key}", "volumes.update", delete_metadata),
)
