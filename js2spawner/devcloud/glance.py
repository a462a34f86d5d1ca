"""Glance v2: images made, filled, listed, changed and deleted. Bytes are kept in files beside the state."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route, Service
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.files import is_id, sweep, uploaded
from js2spawner.devcloud.records import Image

MAX_IMAGE_BYTES = 20 * 2**30
_CHUNK = 2**20
_DEFAULT_PAGE, _MAX_PAGE = 25, 1000
_CONTROL = {"limit", "marker", "sort", "sort_key", "sort_dir", "member_status"}
_BASE = {
    "id", "name", "owner", "status", "visibility", "created_at", "updated_at", "size", "virtual_size", "checksum",
    "os_hash_algo", "os_hash_value", "os_hidden", "protected", "min_disk", "min_ram", "disk_format",
    "container_format", "tags", "self", "file", "schema",
}  # fmt: skip
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


async def versions(call: Call) -> Answer:
    link = {"rel": "self", "href": f"{call.cloud.settings.url}/image/v2/"}
    found = [
        {"id": f"v2.{minor}", "status": "CURRENT" if minor == 16 else "SUPPORTED", "links": [link]}
        for minor in (16, 9, 2, 0)
    ]
    return Answer({"versions": found}, 300)


async def list_images(call: Call) -> Answer:
    views = [_view(image) for image in _ordered(call) if _visible(call, image)]
    for key in set(call.query) - _CONTROL:
        views = [view for view in views if _fits(view, key, call.query.getall(key))]
    marker = call.query.get("marker")
    if marker:
        ids = [view["id"] for view in views]
        if marker not in ids:
            raise Refusal(400, f"Invalid marker. Image {marker} could not be found.")
        views = views[ids.index(marker) + 1 :]
    text = call.query.get("limit", "")
    if text and not text.isdecimal():
        raise Refusal(400, "limit param must be an integer")
    size = min(int(text) if text else _DEFAULT_PAGE, _MAX_PAGE)
    body: dict[str, Any] = {"images": views[:size], "schema": "/v2/schemas/images", "first": "/v2/images"}
    if len(views) > size > 0:
        kept = "&".join(f"{key}={value}" for key, value in call.query.items() if key != "marker")
        body["next"] = f"/v2/images?marker={views[size - 1]['id']}" + (f"&{kept}" if kept else "")
    return Answer(body)


async def create_image(call: Call) -> Answer:
    asked = call.body if isinstance(call.body, dict) else {}
    now = call.cloud.clock.now()
    key = str(asked.get("id") or new_id())
    if not is_id(key):
        raise Refusal(400, f"Invalid image id format: {key[:60]}")
    if call.cloud.store.get(Image, key):
        raise Refusal(409, f"Image ID {key} already exists!")
    if asked.get("visibility") == "public" and not call.caller.admin:
        raise Refusal(403, "You are not authorized to complete publicize_image action.")
    image = Image(key, "", call.project_id, "queued", "shared", now, now)
    known = {_CHANGEABLE[name]: value for name, value in asked.items() if name in _CHANGEABLE}
    properties = {name: str(value) for name, value in asked.items() if name not in _BASE}
    known["tags"] = tuple(asked.get("tags") or ())
    image = call.cloud.store.put(replace(image, properties=properties, **known))
    return Answer(_view(image), 201, {"Location": f"{call.cloud.settings.url}/image/v2/images/{key}"})


async def show_image(call: Call) -> Answer:
    return Answer(_view(_image_of(call)))


async def change_image(call: Call) -> Answer:
    """A JSON patch of members and properties (application/openstack-images-v2.1-json-patch)."""
    image = _owned(call)
    if not isinstance(call.body, list):
        raise Refusal(400, "Request body must be a JSON array of operation objects.")
    for operation in call.body:
        name = str(operation.get("path", "")).strip("/").replace("~1", "/").replace("~0", "~")
        image = _patched(call, image, str(operation.get("op")), name, operation.get("value"))
    return Answer(_view(call.cloud.store.put(replace(image, updated=call.cloud.clock.now()))))


async def delete_image(call: Call) -> Answer:
    image = _owned(call)
    if image.protected:
        raise Refusal(403, f"Image {image.id} is protected and cannot be deleted.")
    call.cloud.store.remove(image)
    call.cloud.life.spawn(sweep(call.cloud))
    return Answer(status=204)


async def upload(call: Call) -> Answer:
    image = _owned(call)
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
    return Answer(status=204)


def _check_upload(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise Refusal(413, "Image exceeds the storage quota")


async def download(call: Call) -> Answer:
    image = _image_of(call)
    if not image.has_data:
        return Answer(status=204)
    raw = await asyncio.to_thread(uploaded(call.cloud, image.id).read_bytes)
    return Answer(raw, content_type="application/octet-stream", headers={"Content-Md5": image.checksum or ""})


async def add_tag(call: Call) -> Answer:
    image = _owned(call)
    call.cloud.store.put(replace(image, tags=tuple(dict.fromkeys((*image.tags, call.names["tag"])))))
    return Answer(status=204)


async def delete_tag(call: Call) -> Answer:
    image, tag = _owned(call), call.names["tag"]
    if tag not in image.tags:
        raise Refusal(404, f"The tag {tag} could not be found")
    call.cloud.store.put(replace(image, tags=tuple(known for known in image.tags if known != tag)))
    return Answer(status=204)


def _patched(call: Call, image: Image, operation: str, name: str, value: Any) -> Image:
    if operation == "remove":
        return replace(image, properties={key: kept for key, kept in image.properties.items() if key != name})
    if operation not in ("add", "replace"):
        raise Refusal(400, f"Operations must be one of add, replace, remove, not {operation}.")
    if name == "visibility" and value == "public" and not call.caller.admin:
        raise Refusal(403, "You are not authorized to complete publicize_image action.")
    if name in _CHANGEABLE:
        known: dict[str, Any] = {_CHANGEABLE[name]: tuple(value) if name == "tags" else value}
        return replace(image, **known)
    if name in _BASE:
        raise Refusal(403, f"Attribute '{name}' is read-only.")
    return replace(image, properties={**image.properties, name: str(value)})


def _ordered(call: Call) -> list[Image]:
    key, _, direction = call.query.get("sort", "").partition(":")
    key = key or call.query.get("sort_key", "created_at")
    down = (direction or call.query.get("sort_dir", "desc")) == "desc"
    images = list(call.cloud.store.all(Image))
    return sorted(images, key=lambda image: (str(_view(image).get(key)), image.id), reverse=down)


def _visible(call: Call, image: Image) -> bool:
    return image.visibility in ("public", "community") or image.owner == call.project_id or call.caller.admin


def _fits(view: Mapping[str, Any], key: str, wanted: list[str]) -> bool:
    if key == "tag":
        return set(wanted) <= set(view["tags"])
    if key in ("size_min", "size_max"):
        size = view["size"] or 0
        return all(size >= int(text) if key == "size_min" else size <= int(text) for text in wanted if text.isdecimal())
    if key == "visibility" and "all" in wanted:
        return True
    held = str(view.get(key))
    return all(held.lower() in text.removeprefix("in:").lower().split(",") for text in wanted)


def _image_of(call: Call) -> Image:
    key = call.names["image_id"]
    image = call.cloud.store.get(Image, key)
    if image is None or not _visible(call, image):
        raise Refusal(404, f"No image found with ID {key}")
    return image


def _owned(call: Call) -> Image:
    image = _image_of(call)
    if image.owner != call.project_id and not call.caller.admin:
        raise Refusal(403, "You are not authorized to complete this action.")
    return image


def _view(image: Image) -> dict[str, Any]:
    return {
        **image.properties,
        "id": image.id,
        "name": image.name,
        "owner": image.owner,
        "status": image.status,
        "visibility": image.visibility,
        "created_at": iso(image.created),
        "updated_at": iso(image.updated),
        "size": image.size,
        "virtual_size": None,
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


_IMAGE = "/v2/images/{image_id}"
SERVICE = Service(
    "image",
    "/image",
    (
        Route("GET", "", "versions", versions, open=True),
        Route("GET", "/", "versions", versions, open=True),
        Route("GET", "/versions", "versions", versions, open=True),
        Route("GET", "/v2/images", "images.list", list_images),
        Route("POST", "/v2/images", "images.create", create_image),
        Route("GET", _IMAGE, "images.show", show_image),
        Route("PATCH", _IMAGE, "images.update", change_image),
        Route("DELETE", _IMAGE, "images.delete", delete_image),
        Route("PUT", f"{_IMAGE}/file", "images.upload", upload, stream=True),
        Route("GET", f"{_IMAGE}/file", "images.download", download),
        Route("PUT", f"{_IMAGE}/tags/{{tag}}", "images.tags", add_tag),
        Route("DELETE", f"{_IMAGE}/tags/{{tag}}", "images.tags", delete_tag),
    ),
)
