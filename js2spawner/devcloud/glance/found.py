"""An image as a project sees it: whether at all, and what is said of it."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Answer, Call
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.records import Image

DONE = Answer(status=204, content_type=HTML)


def image_of(call: Call, *, missing: str = "No image found with ID {}") -> Image:
    """The image in the path; a shared one also for who has not accepted it yet. Raises Refusal."""
    key = call.names["image_id"]
    image = call.cloud.store.get(Image, key)
    if image is None or not (_everybodys(call, image) or membership(image, call.project_id)):
        raise Refusal(404, missing.format(key))
    return image


def own_image(call: Call, action: str, *, missing: str = "No image found with ID {}") -> Image:
    """The image in the path, if the caller may do more than look. Raises Refusal, which names the action."""
    image = image_of(call, missing=missing)
    if image.owner != call.project_id and not call.caller.admin:
        raise Refusal(403, f"You are not authorized to complete {action} action.")
    return image


def listed(call: Call, image: Image, member_status: str, visibility: str) -> bool:
    """Whether the caller's lists show an image: of those offered to it only what it has answered with this status, and
    of the community's others only if they are asked for."""
    offered = membership(image, call.project_id)
    accepted = offered is not None and member_status in (offered, "all")
    others = image.visibility == "community" and image.owner != call.project_id and not call.caller.admin
    return accepted or (_everybodys(call, image) and (not others or visibility in ("community", "all")))


def membership(image: Image, project_id: str) -> str | None:
    """What a project has answered to the offer of a shared image, if it was made one."""
    if image.visibility != "shared":
        return None
    return next((member.status for member in image.members if member.project_id == project_id), None)


def _everybodys(call: Call, image: Image) -> bool:
    return image.visibility in ("public", "community") or image.owner == call.project_id or call.caller.admin


def image_view(image: Image) -> dict[str, Any]:
    return {
        **image.properties,
        "id": image.id,
        "name": image.name or None,
        "owner": image.owner,
        "status": image.status,
        "visibility": image.visibility,
        "created_at": iso(image.created),
        "updated_at": iso(image.updated),
        "size": image.size,
        "virtual_size": image.size if image.disk_format == "raw" else None,
        "checksum": image.checksum,
        "os_hash_algo": "sha512" if image.hash_value else None,
        "os_hash_value": image.hash_value,
        "os_hidden": False,
        "protected": image.protected,
        "min_disk": image.min_disk_gb,
        "min_ram": image.min_ram_mb,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "tags": list(image.tags),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }
