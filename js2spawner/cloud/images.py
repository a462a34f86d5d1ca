"""Glance: which images there are. (Image API v2 reference.)"""

from __future__ import annotations

from .caller import Call, Caller, path
from .reading import Json, instant, read, text, words
from .records import Image

PAGE = 500
"""Images a page; Glance's default is 25, its usual ceiling 1000."""

# What Glance says about every image; all other text in an image is a property somebody gave it.
# fmt: off
_OWN_FIELDS = frozenset({
    "id", "name", "status", "visibility", "size", "virtual_size", "min_disk", "min_ram", "created_at",
    "updated_at", "checksum", "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "tags",
    "container_format", "disk_format", "self", "file", "schema", "direct_url", "locations", "stores",
})
# fmt: on


class Images:
    """The image service of one cloud. Every method raises CloudError."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, *, name: str | None = None) -> list[Image]:
        """The images this project may use, newest first: public, shared, its own. All of one name if one is given."""
        params = {"sort": "created_at:desc", "limit": str(PAGE), **({"name": name} if name else {})}
        call = Call(service="image", operation="list-images", method="GET", path=path("images"), params=params)
        images = [read(image_from_json, image, "image") for image in await self._caller.pages(call, "images")]
        return sorted(images, key=lambda image: image.created, reverse=True)

    async def get(self, image_id: str) -> Image:
        """One image; raises Gone."""
        where = path("images", image_id)
        answer = await self._caller.call(Call(service="image", operation="get-image", method="GET", path=where))
        return read(image_from_json, answer, "image")


def image_from_json(image: Json) -> Image:
    return Image(
        id=text(image, "id"),
        name=words(image, "name"),
        status=text(image, "status"),
        visibility=words(image, "visibility"),
        # Null while an image is queued.
        size_bytes=int(image.get("size") or 0),
        min_disk_gb=int(image.get("min_disk") or 0),
        min_ram_mb=int(image.get("min_ram") or 0),
        created=instant(text(image, "created_at")),
        checksum=words(image, "os_hash_value") or words(image, "checksum"),
        properties={key: value for key, value in image.items() if key not in _OWN_FIELDS and isinstance(value, str)},
    )
