"""Cinder's own notes of who has a volume or is about to: attachments, from microversion 3.27 on.

Nova makes them and takes them away. A member may take one away that no server makes good, and nobody else's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import volume_in
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Server, Volume, VolumeAttachment

SINCE = 27
Held = tuple[Volume, VolumeAttachment]


async def list_attachments(call: Call) -> Answer:
    found = [held for held in _all(call) if _is_asked_for(call, held)]
    view = _view if call.path.endswith("/detail") else _brief
    return Answer({"attachments": [view(held) for held in found]})


async def show_attachment(call: Call) -> Answer:
    return Answer({"attachment": _view(_attachment(call))})


async def create_attachment(call: Call) -> Answer:
    """Reserve a volume for a server, which need not be there. What is reserved can be reserved once more."""
    asked = call.member("attachment")
    volume = volume_in(call.cloud, call.project_id, str(asked.get("volume_uuid")))
    if volume is None:
        raise Refusal(404, f"Volume {asked.get('volume_uuid')} could not be found.")
    if volume.status not in ("available", "reserved"):
        text = (
            f"Volume {volume.id} status must be available or in-use or downloading to reserve, but the current status"
        )
        raise Refusal(400, f"Invalid volume: {text} is {volume.status}.")
    fresh = VolumeAttachment(new_id(), str(asked.get("instance_uuid") or ""), "", None, "reserved")
    held = (*volume.attachments, fresh)
    reserved = replace(volume, status="reserved", attachments=held, updated=call.cloud.clock.now())
    return Answer({"attachment": _view((call.cloud.store.put(reserved), fresh))})


async def delete_attachment(call: Call) -> Answer:
    volume, held = _attachment(call)
    # What is on no host is connected to nothing.
    if held.status == "attaching" or held.attached_at is not None:
        _ask_nova(call, held)
    left = tuple(known for known in volume.attachments if known.id != held.id)
    status = volume.status if left else "available"
    call.cloud.store.put(replace(volume, status=status, attachments=left, updated=call.cloud.clock.now()))
    return Answer({"attachments": [_brief((volume, known)) for known in left]})


def _ask_nova(call: Call, held: VolumeAttachment) -> None:
    """Cinder asks it of what is more than reserved, in the caller's name, and an application credential is none."""
    if call.caller.token.app_credential_id:
        raise Refusal(500, "The server has either erred or is incapable of performing the requested operation.")
    server = call.cloud.store.get(Server, held.server_id)
    if server is None or server.vm_state == "deleted":
        return
    if any(known.attachment_id == held.id for known in server.volumes):
        raise Refusal(409, f"Detach volume from instance {server.id} using the Compute API")


def _all(call: Call) -> list[Held]:
    own = [known for known in call.cloud.store.all(Volume) if known.project_id == call.project_id]
    return [(volume, held) for volume in own for held in volume.attachments]


def _is_asked_for(call: Call, held: Held) -> bool:
    view = _brief(held)
    asked = {"volume_id": "volume_id", "instance_id": "instance", "status": "status"}
    return all(call.query.get(name, view[member]) == view[member] for name, member in asked.items())


def _attachment(call: Call) -> Held:
    for held in _all(call):
        if held[1].id == call.names["id"]:
            return held
    raise Refusal(404, f"Volume attachment could not be found with filter: attachment_id = {call.names['id']}.")


def _brief(held: Held) -> dict[str, Any]:
    volume, attachment = held
    return {
        "id": attachment.id,
        "status": attachment.status,
        "instance": attachment.server_id or None,
        "volume_id": volume.id,
    }


def _view(held: Held) -> dict[str, Any]:
    _, attachment = held
    return {
        **_brief(held),
        "attached_at": iso_micro(attachment.attached_at) or "",
        "detached_at": "",
        # The text, and not what it stands for.
        "attach_mode": "rw" if attachment.status == "attached" else "null",
        "connection_info": {},
    }


ROUTES = (
    Route("GET", "/attachments", "attachments.list", list_attachments, since=SINCE),
    Route("GET", "/attachments/detail", "attachments.list", list_attachments, since=SINCE),
    Route("POST", "/attachments", "attachments.create", create_attachment, since=SINCE),
    Route("GET", "/attachments/{id}", "attachments.show", show_attachment, since=SINCE),
    Route("DELETE", "/attachments/{id}", "attachments.delete", delete_attachment, since=SINCE),
)
