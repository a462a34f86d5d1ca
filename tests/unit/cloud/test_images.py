from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.images import Images
from js2spawner.cloud.records import NewImage

from .stand_in import StandIn

IMAGES = "/image/v2/images"


def image(image_id: str, created: str, **more: Any) -> dict[str, Any]:
    return {
        "id": image_id,
        "name": "Featured-Ubuntu24",
        "status": "active",
        "visibility": "public",
        "size": 2_361_393_152,
        "min_disk": 20,
        "min_ram": 2048,
        "created_at": created,
        "checksum": "eeb1",
        "os_hash_value": "b795",
        "os_hash_algo": "sha512",
        "tags": [],
        **more,
    }


@pytest.fixture
def images(caller: Caller) -> Images:
    return Images(caller)


async def test_images_of_one_name_come_newest_first_across_pages(images: Images, stand_in: StandIn) -> None:
    first = {"images": [image("old", "2026-10-01T00:00:00Z")], "next": "/v2/images?marker=old"}
    stand_in.on("GET", IMAGES, first, {"images": [image("new", "2026-11-01T00:00:00Z")]})
    assert [found.id for found in await images.list(name="Featured-Ubuntu24")] == ["new", "old"]
    assert stand_in.seen[0].query["name"] == "Featured-Ubuntu24"
    assert stand_in.seen[1].query["marker"] == "old"


async def test_an_image_keeps_what_somebody_gave_it_as_properties(images: Images, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z", hw_disk_bus="scsi", js2_cohort="bio"))
    found = await images.get("i")
    assert found.properties == {"hw_disk_bus": "scsi", "js2_cohort": "bio"}
    assert found.checksum == "b795"
    assert (found.size_bytes, found.min_disk_gb, found.min_ram_mb) == (2_361_393_152, 20, 2048)


async def test_an_image_that_is_still_queued_has_no_size_yet(images: Images, stand_in: StandIn) -> None:
    queued = image("i", "2026-10-01T00:00:00Z", status="queued", size=None, checksum=None, os_hash_value=None)
    stand_in.on("GET", f"{IMAGES}/i", queued)
    found = await images.get("i")
    assert (found.size_bytes, found.checksum) == (0, "")


async def test_an_image_that_is_not_there_is_gone(images: Images, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{IMAGES}/i", {"message": "No image found with ID i", "code": "404 Not Found"}, status=404)
    with pytest.raises(errors.Gone, match="No image found"):
        await images.get("i")


async def test_an_image_is_made_under_the_id_it_was_given(images: Images, stand_in: StandIn) -> None:
    stand_in.on("POST", IMAGES, image("mine", "2026-10-01T00:00:00Z", status="queued"), status=201)
    made = await images.create(NewImage("mine", "js2-minimal", "raw", properties={"js2": "yes"}, tags=("t",)))
    assert made.id == "mine"
    [sent] = stand_in.seen
    assert sent.body["id"] == "mine"
    assert (sent.body["visibility"], sent.body["container_format"]) == ("private", "bare")
    assert (sent.body["js2"], sent.body["tags"]) == ("yes", ["t"])


async def test_a_create_without_an_answer_is_not_sent_twice(images: Images, stand_in: StandIn) -> None:
    stand_in.on("POST", IMAGES, _lose)
    with pytest.raises(errors.NoAnswer):
        await images.create(NewImage("mine", "js2-minimal", "raw"))
    assert len(stand_in.calls("POST", IMAGES)) == 1


async def test_a_property_cannot_take_the_place_of_what_is_glances_own(images: Images, stand_in: StandIn) -> None:
    with pytest.raises(errors.BadRequest, match="visibility"):
        await images.create(NewImage("mine", "js2-minimal", "raw", properties={"visibility": "public"}))
    assert stand_in.seen == []


async def test_a_file_goes_up_in_chunks_of_a_known_total_and_tells_how_far_it_is(
    images: Images, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("js2spawner.cloud.images.CHUNK_BYTES", 400)
    file = _disk(tmp_path)
    _uploadable(stand_in, "")
    told: list[int] = []
    await images.upload("i", file, told.append)
    [sent] = stand_in.calls("PUT", f"{IMAGES}/i/file")
    assert sent.body == file.read_bytes()
    assert (sent.headers["Content-Type"], sent.headers["Content-Length"]) == ("application/octet-stream", "1000")
    assert told == [400, 800, 1000]


async def test_an_upload_that_stands_still_is_given_up(images: Images, stand_in: StandIn, tmp_path: Path) -> None:
    never = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    _uploadable(stand_in, silent)
    with pytest.raises(errors.NoAnswer):
        await images.upload("i", _disk(tmp_path), stall_s=0.1)
    assert len(stand_in.calls("PUT", f"{IMAGES}/i/file")) == 1


async def test_an_upload_ends_when_it_has_lasted_too_long_in_all(
    images: Images, stand_in: StandIn, tmp_path: Path
) -> None:
    never = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    _uploadable(stand_in, silent)
    async with asyncio.timeout(20):
        with pytest.raises(errors.NoAnswer):
            await images.upload("i", _disk(tmp_path), stall_s=3600, longest_s=0.1)


async def test_a_store_that_is_full_is_a_quota(images: Images, stand_in: StandIn, tmp_path: Path) -> None:
    async def full(_: web.Request) -> web.Response:
        return web.Response(status=413, text="<html><h1>413</h1>Image storage quota exceeded</html>")

    _uploadable(stand_in, full)
    with pytest.raises(errors.QuotaExceeded, match="storage quota") as raised:
        await images.upload("i", _disk(tmp_path))
    assert raised.value.quota == "images"


async def test_changes_of_an_image_go_in_one_patch(images: Images, stand_in: StandIn) -> None:
    stand_in.on("PATCH", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z"))
    await images.update("i", put={"js2_a": "1", "odd/na~me": "2"}, remove=["js2_b"])
    [sent] = stand_in.seen
    assert sent.headers["Content-Type"] == "application/openstack-images-v2.1-json-patch"
    assert sent.body == [
        {"op": "add", "path": "/js2_a", "value": "1"},
        {"op": "add", "path": "/odd~1na~0me", "value": "2"},
        {"op": "remove", "path": "/js2_b"},
    ]


async def test_an_image_knows_whose_it_is_and_glances_own_hash(images: Images, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z", owner="p", disk_format="raw", tags=["t"]))
    found = await images.get("i")
    assert (found.owner, found.disk_format, found.tags) == ("p", "raw", {"t"})
    assert (found.os_hash_algo, found.os_hash_value) == ("sha512", "b795")


async def _lose(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    raise asyncio.CancelledError


def _disk(folder: Path) -> Path:
    file = folder / "disk.raw"
    file.write_bytes(bytes(range(250)) * 4)
    return file


def _uploadable(stand_in: StandIn, answer: Any) -> None:
    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z", status="queued"))
    stand_in.on("PUT", f"{IMAGES}/i/file", answer)


async def test_a_download_that_broke_off_goes_on_where_it_was(
    images: Images, stand_in: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "home.raw"
    file.write_bytes(b"0123")

    async def rest(request: web.Request) -> web.Response:
        assert request.headers["Range"] == "bytes=4-"
        return web.Response(body=b"456789", status=206)

    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z"))
    stand_in.on("GET", f"{IMAGES}/i/file", rest)
    told: list[int] = []
    await images.download("i", file, told.append)
    assert file.read_bytes() == b"0123456789"
    assert told[-1] == 10


async def test_a_service_without_ranges_gives_all_of_it_and_nothing_is_there_twice(
    images: Images, stand_in: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "home.raw"
    file.write_bytes(b"0123")

    async def everything(request: web.Request) -> web.Response:
        return web.Response(body=b"0123456789")

    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z"))
    stand_in.on("GET", f"{IMAGES}/i/file", everything)
    await images.download("i", file)
    assert file.read_bytes() == b"0123456789"


async def test_a_download_without_progress_is_given_up(images: Images, stand_in: StandIn, tmp_path: Path) -> None:
    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"01")
        await asyncio.sleep(30)
        return response

    stand_in.on("GET", f"{IMAGES}/i", image("i", "2026-10-01T00:00:00Z"))
    stand_in.on("GET", f"{IMAGES}/i/file", stalls)
    with pytest.raises(errors.NoAnswer):
        await images.download("i", tmp_path / "home.raw", stall_s=0.1)
    assert (tmp_path / "home.raw").read_bytes() == b"01"
