from __future__ import annotations

from typing import Any

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.images import Images

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
