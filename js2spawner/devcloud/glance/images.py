"""Images made, filled, changed and deleted. Bytes are kept in files beside the state."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.cloud import new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.files import is_id, sweep, uploaded
from js2spawner.devcloud.glance.found import DONE, image_of, image_view, own_image
from js2spawner.devcloud.records import Image, SpentImage

MAX_IMAGE_BYTES = 20 * 2**30
_CHUNK = 2**20
_BASE = {
    "id", "name", "owner", "status", "visibility", "created_at", "updated_at", "size", "virtual_size", "checksum",
    "os_hash_algo", "os_hash_value", "os_hidden", "protected", "min_disk", "min_ram", "disk_format",
    "container_format", "tags", "self", "file", "schema",
}  # fmt: skip
_OPERATIONS = ("add", "remove", "replace")
_NAME_AT_MOST = 255
_ID_SHAPE = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_ONE_OF: Mapping[str, tuple[str | None, ...]] = {
    "visibility": ("community", "public", "private", "shared"),
    "disk_format": (None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"),
    "container_format": (None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"),
}
_CHANGEABLE: Mapping[str, str] = {
    "name": "name",
    "visibility": "visibility",
    "protected": "protected",
    "min_disk": "min_disk_gb",
    "min_ram": "min_ram_mb",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "tags": "tags",
}


async def create_image(call: Call) -> Answer:
    asked = call.body if isinstance(call.body, dict) else {}
    now = call.cloud.clock.now()
    key = str(asked.get("id") or new_id())
    if not is_id(key):
        raise against_schema(f"'{key}' does not match '{_ID_SHAPE}'")
    if call.cloud.store.get(Image, key) or call.cloud.store.get(SpentImage, key):
        raise Refusal(409, f"Image ID {key} already exists!")
    _check_members(call, asked)
    image = Image(key, "", call.project_id, "queued", "shared", now, now)
    known = {_CHANGEABLE[name]: value for name, value in asked.items() if name in _CHANGEABLE}
    properties = {name: value for name, value in asked.items() if name not in _BASE}
    known["tags"] = tuple(asked.get("tags") or ())
    image = call.cloud.store.put(replace(image, properties=properties, **known))
    return Answer(image_view(image), 201, {"Location": f"{call.cloud.settings.url}/image/v2/images/{key}"})


async def show_image(call: Call) -> Answer:
    return Answer(image_view(image_of(call)))


async def change_image(call: Call) -> Answer:
    """A JSON patch of members and properties (application/openstack-images-v2.1-json-patch)."""
    image = own_image(call, "modify_image")
    if not isinstance(call.body, list):
        raise Refusal(400, "Request body must be a JSON array of operation objects.")
    for operation in call.body:
        name = str(operation.get("path", "")).strip("/").replace("~1", "/").replace("~0", "~")
        image = _patched(call, image, str(operation.get("op")), name, operation.get("value"))
    return Answer(image_view(call.cloud.store.put(replace(image, updated=call.cloud.clock.now()))))


async def delete_image(call: Call) -> Answer:
    image = own_image(call, "delete_image", missing="Failed to find image {} to delete")
    if image.protected:
        raise Refusal(403, f"Image {image.id} is protected and cannot be deleted.")
    call.cloud.store.remove(image)
    call.cloud.store.put(SpentImage(image.id))
    call.cloud.life.spawn(sweep(call.cloud))
    return DONE


async def upload(call: Call) -> Answer:
    image = own_image(call, "upload_image")
    if image.status != "queued":
        raise Refusal(409, f"Image status transition from {image.status} to saving is not allowed")
    call.cloud.store.put(replace(image, status="saving"))
    target = uploaded(call.cloud, image.id)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    size, md5, sha512 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha512()
    try:
        with target.open("wb") as file:
            async for chunk in call.stream.iter_chunked(_CHUNK):
                size += len(chunk)
                _check_upload(size)
                md5.update(chunk)
                sha512.update(chunk)
                await asyncio.to_thread(file.write, chunk)
    except BaseException:
        target.unlink(missing_ok=True)
        call.cloud.store.put(image)
        raise
    done = replace(
        image,
        status="active",
        size=size,
        checksum=md5.hexdigest(),
        hash_value=sha512.hexdigest(),
        has_data=True,
        updated=call.cloud.clock.now(),
    )
    call.cloud.store.put(done)
    return DONE


def _check_upload(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise Refusal(413, "Image exceeds the storage quota")


async def download(call: Call) -> Answer:
    image = image_of(call)
    if image.status == "deactivated" and not call.caller.admin:
        raise Refusal(403, "The requested image has been deactivated. Image data download is forbidden.")
    if not image.has_data:
        return NOTHING
    where = uploaded(call.cloud, image.id)
    return Answer(where, content_type="application/octet-stream", headers={"Content-Md5": image.checksum or ""})


async def add_tag(call: Call) -> Answer:
    image = own_image(call, "modify_image")
    call.cloud.store.put(replace(image, tags=tuple(dict.fromkeys((*image.tags, call.names["tag"])))))
    return DONE


async def delete_tag(call: Call) -> Answer:
    image, tag = own_image(call, "modify_image"), call.names["tag"]
    if tag not in image.tags:
        raise Refusal(404, "The resource could not be found.")
    call.cloud.store.put(replace(image, tags=tuple(known for known in image.tags if known != tag)))
    return DONE


async def deactivate(call: Call) -> Answer:
    return _moved(call, "deactivate", ("active", "deactivated"), "deactivated")


async def reactivate(call: Call) -> Answer:
    return _moved(call, "reactivate", ("active", "deactivated"), "active")


def _moved(call: Call, action: str, from_any: tuple[str, ...], status: str) -> Answer:
    image = own_image(call, f"{action}_image")
    if image.status not in from_any:
        raise Refusal(403, f"Not allowed to {action} image in status '{image.status}'")
    call.cloud.store.put(replace(image, status=status, updated=call.cloud.clock.now()))
    return DONE


def _patched(call: Call, image: Image, operation: str, name: str, value: Any) -> Image:
    if operation not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise Refusal(400, f"Invalid operation: `{operation}`. It must be one of the following: {known}.")
    if name not in _CHANGEABLE and name in _BASE:
        raise Refusal(403, f"Attribute '{name}' is read-only.")
    if operation != "add" and name not in _CHANGEABLE and name not in image.properties:
        text = f"There was a conflict when trying to complete your request.\nProperty {name} does not exist."
        raise Refusal(409, text)
    if operation == "remove":
        return replace(image, properties={key: kept for key, kept in image.properties.items() if key != name})
    _check_members(call, {name: value})
    if name in _CHANGEABLE:
        known_member: dict[str, Any] = {_CHANGEABLE[name]: tuple(value) if name == "tags" else value}
        return replace(image, **known_member)
    return replace(image, properties={**image.properties, name: value})


def _check_members(call: Call, asked: Mapping[str, Any]) -> None:
    """Raises Refusal for what Glance's schema, its range checks or its policy have against these members."""
    for name, value in asked.items():
        if name in _ONE_OF and value not in _ONE_OF[name]:
            raise against_schema(f"{value!r} is not one of {list(_ONE_OF[name])}")
        if name == "name" and isinstance(value, str) and len(value) > _NAME_AT_MOST:
            raise against_schema(f"{value!r} is too long")
        if name in ("min_disk", "min_ram") and isinstance(value, int) and value < 0:
            raise Refusal(400, f"Invalid value '{value}' for parameter '{name}': Cannot be a negative value")
        if name in _BASE - _CHANGEABLE.keys() - {"id"}:
            raise Refusal(403, f"Attribute '{name}' is read-only.")
        if name not in _BASE and not isinstance(value, str):
            raise against_schema(f"{value!r} is not of type 'string'")
    if asked.get("visibility") == "public" and not call.caller.admin:
        raise Refusal(403, "You are not authorized to complete publicize_image action.")


def against_schema(why: str) -> Refusal:
    """Glance adds the part of its schema and the value; nobody reads that."""
    return Refusal(400, f"Provided object does not match schema 'image': {why}")


_IMAGE = "/v2/images/{image_id}"
ROUTES = (
    Route("POST", "/v2/images", "images.create", create_image),
    Route("GET", _IMAGE, "images.show", show_image),
    Route("PATCH", _IMAGE, "images.update", change_image),
    Route("DELETE", _IMAGE, "images.delete", delete_image),
    Route("PUT", f"{_IMAGE}/file", "images.upload", upload, stream=True),
    Route("GET", f"{_IMAGE}/file", "images.download", download),
    Route("POST", f"{_IMAGE}/actions/deactivate", "images.deactivate", deactivate),
    Route("POST", f"{_IMAGE}/actions/reactivate", "images.reactivate", reactivate),
    Route("PUT", f"{_IMAGE}/tags/{{tag}}", "images.tags", add_tag),
    Route("DELETE", f"{_IMAGE}/tags/{{tag}}", "images.tags", delete_tag),
)
