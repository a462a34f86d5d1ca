"""POST /volumes/{id}/action: what may be done to a volume, and how Cinder refuses it otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import release, set_status
from js2spawner.devcloud.cinder.common import VOLUME_TYPE, check_room, invalid, volume_of
from js2spawner.devcloud.cinder.content import grow, pour_out
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.files import uploaded
from js2spawner.devcloud.records import Behaviour, Image, Volume

_ACCEPTED = Answer(status=202)


async def act_on_volume(call: Call) -> Answer:
    volume = volume_of(call)
    action, asked = next(iter(call.body.items())) if isinstance(call.body, dict) and call.body else ("", None)
    arguments = asked if isinstance(asked, dict) else {}
    match action:
        case "os-extend":
            return _extend(call, volume, arguments)
        case "os-volume_upload_image":
            return _upload(call, volume, arguments)
        case "os-reserve":
            return _reserve(call, volume)
        case "os-unreserve":
            set_status(call.cloud, volume.id, "in-use" if volume.attached else "available", only_from="attaching")
            return _ACCEPTED
        case "os-begin_detaching":
            return _begin_detaching(call, volume)
        case "os-roll_detaching":
            set_status(call.cloud, volume.id, "in-use", only_from="detaching")
            return _ACCEPTED
        case "os-detach" if not volume.attachments:
            call.cloud.store.put(replace(volume, status="available", updated=call.cloud.clock.now()))
            return _ACCEPTED
        case "os-detach" if not volume.attachments:
            release(call.cloud, volume.id)
            return _ACCEPTED
        case "os-detach" | "os-attach":
            # What Cinder answers when an application credential does this behind Nova's back.
            raise Refusal(500, "The server has either erred or is incapable of performing the requested operation.")
        case "os-reset_status" if call.caller.admin:
            call.cloud.store.put(replace(volume, status=str(arguments.get("status", "available"))))
            return Answer(status=202)
        case "os-set_bootable":
            call.cloud.store.put(replace(volume, bootable=bool(arguments.get("bootable"))))
            return Answer()
    text = f"There is no such action: {action}. Verify the request body and Content-Type header and try again."
    raise Refusal(400, text)


def _reserve(call: Call, volume: Volume) -> Answer:
    """What nobody but Nova has a reason to do, and any member may: the volume is "attaching" for nobody."""
    if not set_status(call.cloud, volume.id, "attaching", only_from="available"):
        raise Refusal(400, f"Invalid volume: Volume status must be available to reserve, but is {volume.status}.")
    return _ACCEPTED


def _begin_detaching(call: Call, volume: Volume) -> Answer:
    if not volume.attached or not set_status(call.cloud, volume.id, "detaching", only_from="in-use"):
        text = "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach."
        raise Refusal(400, f"Invalid volume: {text}")
    return _ACCEPTED


def _extend(call: Call, volume: Volume, arguments: dict[str, Any]) -> Answer:
    text = arguments.get("new_size")
    if not str(text).isdecimal():
        raise invalid("new_size", text, f"{text!r} does not match '^[0-9]+$'")
    size = int(str(text))
    # A volume in use grows from microversion 3.42 on.
    growing = ("available", "in-use") if call.at_least(42) else ("available",)
    if volume.status not in growing:
        wanted = {"status": growing if call.at_least(42) else "available"}
        why = f"Volume {volume.id} status must be '{wanted}' to extend, currently {volume.status}."
        raise Refusal(400, f"Invalid volume: {why}")
    if size <= volume.size_gb:
        sizes = f"(current: {volume.size_gb}, extended: {size})"
        raise Refusal(400, f"Invalid input received: New size for extend must be greater than current size. {sizes}.")
    check_room(call, 0, size - volume.size_gb)
    grown = call.cloud.store.put(replace(volume, status="extending", size_gb=size))
    call.cloud.life.spawn(_grow(call.cloud, grown, volume.status, call.behaviour or Behaviour()))
    return Answer(status=202)


async def _grow(cloud: DevCloud, volume: Volume, before: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("volume", behaviour):
        return
    await grow(cloud, volume)
    set_status(cloud, volume.id, before, only_from="extending")
    await cloud.store.flush()


def _upload(call: Call, volume: Volume, arguments: dict[str, Any]) -> Answer:
    """Copy a volume into an image. One in use would have to be forced, which this cloud, like most, does not allow."""
    name = arguments.get("image_name")
    if not isinstance(name, str) or not name:
        raise invalid("os-volume_upload_image", arguments, "'image_name' is a required property")
    if volume.status != "available":
        raise Refusal(400, f"Invalid volume: Volume {volume.id} status must be available")
    now = call.cloud.clock.now()
    disk_format = str(arguments.get("disk_format") or "raw")
    image = Image(
        new_id(), name, call.project_id, "queued", "shared", now, now,
        disk_format=disk_format, container_format=str(arguments.get("container_format") or "bare"),
    )  # fmt: skip
    call.cloud.store.put(image)
    busy = call.cloud.store.put(replace(volume, status="uploading", updated=now))
    call.cloud.life.spawn(_copy(call.cloud, busy, image, call.behaviour or Behaviour()))
    view: dict[str, Any] = {
        "id": volume.id,
        "updated_at": iso_micro(volume.updated),
        "status": "uploading",
        "display_description": volume.description,
        "size": volume.size_gb,
        "volume_type": {
            **VOLUME_TYPE,
            "is_public": True,
            "extra_specs": {},
            "qos_specs_id": None,
            "created_at": iso_micro(now),
            "updated_at": iso_micro(now),
            "deleted_at": None,
            "deleted": False,
        },
        "image_id": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "image_name": image.name,
        "protected": False,
        "visibility": image.visibility,
    }
    return Answer({"os-volume_upload_image": view}, 202)


async def _copy(cloud: DevCloud, volume: Volume, image: Image, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("volume", behaviour):
        return
    failing = behaviour.error and behaviour.error_phase == "volume"
    made = not failing and await pour_out(cloud, volume, image.id)
    size = uploaded(cloud, image.id).stat().st_size if made else 0
    if made and cloud.store.get(Image, image.id) is not None:
        now = cloud.clock.now()
        cloud.store.put(replace(image, status="active", size=size, has_data=True, updated=now))
    set_status(cloud, volume.id, "available", only_from="uploading")
    await cloud.store.flush()


ROUTES = (Route("POST", "/volumes/{id}/action", "volumes.action", act_on_volume),)
