"""The list of images: filtered, ordered and cut as the query asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from js2spawner.devcloud.calls import Answer, Call
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.glance.found import image_view, listed
from js2spawner.devcloud.records import Image

_DEFAULT_PAGE, _MAX_PAGE = 25, 1000
_CONTROL = {"limit", "marker", "sort", "sort_key", "sort_dir", "member_status"}
_SORTABLE = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
_VISIBILITIES = ("public", "private", "shared", "community", "all")
_MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")

View = Mapping[str, Any]


async def list_images(call: Call) -> Answer:
    member_status = call.query.get("member_status", "accepted")
    _check(member_status in _MEMBER_STATUSES, f"Invalid status: {member_status}")
    visibility = call.query.get("visibility", "")
    _check(visibility in ("", *_VISIBILITIES), f"Invalid visibility value: {visibility}")
    size = _page_size(call.query.get("limit", ""))
    images = [image for image in call.cloud.store.all(Image) if listed(call, image, member_status, visibility)]
    views: list[View] = _ordered(call, [image_view(image) for image in images])
    for key in set(call.query) - _CONTROL:
        views = [view for view in views if _fits(view, key, call.query.getall(key))]
    views = _behind(call.query.get("marker"), views)
    kept = [(key, value) for key, value in call.query.items() if key != "marker"]
    body: dict[str, Any] = {"images": views[:size], "schema": "/v2/schemas/images", "first": _link(kept)}
    if len(views) > size > 0:
        body["next"] = _link([("marker", views[size - 1]["id"]), *kept])
    return Answer(body)


def _check(fine: object, otherwise: str) -> None:
    if not fine:
        raise Refusal(400, otherwise)


def _page_size(text: str) -> int:
    _check(not text or text.removeprefix("-").isdecimal(), "limit param must be an integer")
    _check(not text.startswith("-"), "limit param must be positive")
    return min(int(text) if text else _DEFAULT_PAGE, _MAX_PAGE)


def _ordered(call: Call, views: list[View]) -> list[View]:
    key, _, direction = call.query.get("sort", "").partition(":")
    key = key or call.query.get("sort_key", "created_at")
    direction = direction or call.query.get("sort_dir", "desc")
    known = ", ".join(_SORTABLE)
    _check(key in _SORTABLE, f"Invalid sort key: {key}. It must be one of the following: {known}.")
    _check(direction in ("asc", "desc"), f"Invalid sort direction: {direction}")
    return sorted(views, key=lambda view: (str(view[key] or ""), view["id"]), reverse=direction == "desc")


def _fits(view: View, key: str, wanted: list[str]) -> bool:
    if key == "tag":
        return set(wanted) <= set(view["tags"])
    if key in ("size_min", "size_max"):
        size = view["size"] or 0
        for text in wanted:
            _check(text.isdecimal(), "Unable to filter on a range with a non-numeric value.")
        return all(size >= int(text) if key == "size_min" else size <= int(text) for text in wanted)
    if key == "visibility" and "all" in wanted:
        return True
    held = str(view.get(key)).lower()
    return all(held in text.removeprefix("in:").lower().split(",") for text in wanted)


def _behind(marker: str | None, views: list[View]) -> list[View]:
    if marker is None:
        return views
    ids = [view["id"] for view in views]
    _check(marker in ids, f"No image found with ID {marker}")
    return views[ids.index(marker) + 1 :]


def _link(query: list[tuple[str, str]]) -> str:
    text = "&".join(f"{key}={value}" for key, value in query)
    return f"/v2/images?{text}" if text else "/v2/images"
