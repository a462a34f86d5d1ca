"""The projects that a shared image is offered to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.glance.found import image_of, own_image
from js2spawner.devcloud.records import Image, ImageMember

_STATUSES = ("pending", "accepted", "rejected")


async def list_members(call: Call) -> Answer:
    image = image_of(call)
    return Answer({"members": [_view(image, member) for member in image.members], "schema": "/v2/schemas/members"})


async def add_member(call: Call) -> Answer:
    image, project_id = own_image(call, "add_member"), _text(call, "member")
    if image.visibility != "shared":
        raise Refusal(403, "Only shared images have members.")
    if any(known.project_id == project_id for known in image.members):
        raise Refusal(409, f"Member {project_id} is duplicated for image {image.id}")
    now = call.cloud.clock.now()
    member = ImageMember(project_id, "pending", now, now)
    call.cloud.store.put(replace(image, members=(*image.members, member)))
    return Answer(_view(image, member))


async def answer_offer(call: Call) -> Answer:
    image, status = image_of(call), _text(call, "status")
    member = _member_of(call, image)
    if status not in _STATUSES:
        raise Refusal(400, f"Provided object does not match schema 'member': '{status}' is not one of {_STATUSES}")
    if member.project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, "You are not authorized to complete modify_member action.")
    answered = replace(member, status=status, updated=call.cloud.clock.now())
    members = tuple(answered if known == member else known for known in image.members)
    call.cloud.store.put(replace(image, members=members))
    return Answer(_view(image, answered))


async def remove_member(call: Call) -> Answer:
    image = own_image(call, "delete_member")
    member = _member_of(call, image)
    call.cloud.store.put(replace(image, members=tuple(known for known in image.members if known != member)))
    return NOTHING


def _member_of(call: Call, image: Image) -> ImageMember:
    key = call.names["project_id"]
    for member in image.members:
        if member.project_id == key:
            return member
    raise Refusal(404, f"{key} not found in the member list of the image {image.id}.")


def _text(call: Call, name: str) -> str:
    value = call.body.get(name) if isinstance(call.body, dict) else None
    if not isinstance(value, str):
        raise Refusal(400, f"Provided object does not match schema 'member': '{name}' is a required property")
    return value


def _view(image: Image, member: ImageMember) -> dict[str, Any]:
    return {
        "member_id": member.project_id,
        "image_id": image.id,
        "status": member.status,
        "created_at": iso(member.created),
        "updated_at": iso(member.updated),
        "schema": "/v2/schemas/member",
    }


ROUTES = (
    Route("GET", "/members", "members.list", list_members),
    Route("POST", "/members", "members.create", add_member),
    Route("PUT", "/members/{project_id}", "members.update", answer_offer),
    Route("DELETE", "/members/{project_id}", "members.delete", remove_member),
)
