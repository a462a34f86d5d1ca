"""Glance: which images there are, and the life of one. (Image API v2 reference.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .caller import Call, Caller, Sink, Stream, path
from .errors import BadRequest
from .reading import Json, instant, read, text, words
from .records import Image, NewImage

PAGE = 500
"""Images a page; Glance's default is 25, its usual ceiling 1000."""

CHUNK_BYTES = 1024 * 1024

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

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

    async def list(self, *, name: str | None = None, properties: Mapping[str, str] | None = None) -> list[Image]:
        """The images this project may use, newest first: public, shared, its own.

        With a name, or values of properties or tags (`{"tag": …}`), only those that have them.
        """
        params = {
            "sort": "created_at:desc",
            "limit": str(PAGE),
            **(properties or {}),
            **({"name": name} if name else {}),
        }
        found = await self._caller.pages(self._request("list-images", "GET", path("images"), params=params), "images")
        images = [read(image_from_json, image, "image") for image in found]
        return sorted(images, key=lambda image: image.created, reverse=True)

    async def get(self, image_id: str) -> Image:
        """One image; raises Gone."""
        answer = await self._caller.call(self._request("get-image", "GET", path("images", image_id)))
        return read(image_from_json, answer, "image")

    async def create(self, new: NewImage) -> Image:
        """Make an image without data.

        Errors with `certain` False may have made one: look for `new.id` before asking again. Raises Conflict when
        something has (or ever had) that id.
        """
        answer = await self._caller.call(self._request("create-image", "POST", path("images"), body=_create_body(new)))
        return read(image_from_json, answer, "image")

    async def upload(
        self,
        image_id: str,
        file: Path,
        told: Callable[[int], None] = lambda _: None,
        *,
        stall_s: float = 300.0,
        longest_s: float = 6 * 3600.0,
    ) -> None:
        """Give a queued image its data.

        After an error with `certain` False look at the image's status: queued or killed, nothing came of it; saving,
        the service has not noticed yet that nothing more will come; active, it has everything it was sent.

        Args:
            told: called with the bytes sent so far.
            stall_s: seconds without progress after which the upload is given up.
            longest_s: seconds it may take in all.
        """
        size = await asyncio.to_thread(_size, file)
        # A call that is cheap to refuse goes first, so that a token that has run out is renewed before data are sent.
        await self.get(image_id)
        stream = Stream(chunks=lambda: _chunks(file, told), size=size, stall_s=stall_s, longest_s=longest_s)
        where = path("images", image_id, "file")
        await self._caller.call(self._request("upload-image", "PUT", where, stream=stream))

    async def download(
        self,
        image_id: str,
        file: Path,
        told: Callable[[int], None] = lambda _: None,
        *,
        stall_s: float = 300.0,
        longest_s: float = 24 * 3600.0,
    ) -> None:
        """Fetch an image's data into a file. What the file holds already counts as their beginning, and is kept.

        After an error the same call goes on where it was. Whoever needs to know compares the hash in the end.
        Raises OSError for a file that cannot be opened.

        Args:
            told: called with the bytes that are there so far.
            stall_s: seconds without progress after which the download is given up.
            longest_s: seconds it may take in all.
        """
        await self.get(image_id)
        with await asyncio.to_thread(file.open, "ab") as data:
            had = there = data.tell()

            async def begin(rest: bool) -> None:
                nonlocal there
                # A service that knows nothing of ranges gives all of it.
                if not rest:
                    await asyncio.to_thread(data.truncate, 0)
                    there = 0

            async def take(chunk: bytes) -> None:
                nonlocal there
                await asyncio.to_thread(data.write, chunk)
                there += len(chunk)
                told(there)

            sink = Sink(begin=begin, take=take, stall_s=stall_s, longest_s=longest_s)
            headers = {"Range": f"bytes={had}-"} if had else {}
            where = path("images", image_id, "file")
            await self._caller.call(self._request("download-image", "GET", where, headers=headers, sink=sink))

    async def update(
        self, image_id: str, *, put: Mapping[str, object] | None = None, remove: Iterable[str] = ()
    ) -> Image:
        """Set and remove properties or Glance's own fields (name, visibility, min_disk, …), all of them or none.

        Setting is the same however often it is done. Raises Conflict when a property to be removed is not there.
        """
        changes = [
            *({"op": "add", "path": pointer(name), "value": value} for name, value in (put or {}).items()),
            *({"op": "remove", "path": pointer(name)} for name in remove),
        ]
        where = path("images", image_id)
        answer = await self._caller.call(self._request("update-image", "PATCH", where, body=changes, headers=PATCH))
        return read(image_from_json, answer, "image")

    async def delete(self, image_id: str) -> None:
        """Delete an image and its data. Raises Gone; Conflict while the storage holds it for an instance."""
        await self._caller.call(self._request("delete-image", "DELETE", path("images", image_id)))

    @staticmethod
    def _request(operation: str, method: str, where: str, **more: Any) -> Call:
        return Call(service="image", operation=operation, method=method, path=where, **more)


def pointer(name: str) -> str:
    """A property's name as a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _create_body(new: NewImage) -> dict[str, Any]:
    if taken := _OWN_FIELDS & new.properties.keys():
        raise BadRequest(f"Properties of an image must not be named {', '.join(sorted(taken))}.")
    return {
        "id": new.id,
        "name": new.name,
        "visibility": new.visibility,
        "container_format": "bare",
        "disk_format": new.disk_format,
        "min_disk": new.min_disk_gb,
        "min_ram": new.min_ram_mb,
        "tags": list(new.tags),
        **new.properties,
    }


def _size(file: Path) -> int:
    return file.stat().st_size


async def _chunks(file: Path, told: Callable[[int], None]) -> AsyncIterator[bytes]:
    sent = 0
    with await asyncio.to_thread(file.open, "rb") as data:
        while chunk := await asyncio.to_thread(data.read, CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            told(sent)


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
        owner=words(image, "owner"),
        disk_format=words(image, "disk_format"),
        os_hash_algo=words(image, "os_hash_algo"),
        os_hash_value=words(image, "os_hash_value"),
        tags=frozenset(str(tag) for tag in image.get("tags") or ()),
    )
