"""Glance: which images there are, and the life of one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import Client, Seen
from tests.contract.clouds import Cloud

Answer = Callable[..., None]
NOWHERE = "11111111-1111-1111-1111-111111111111"
IMAGES = "/image/v2/images"
BYTES = b"the bytes of a disk"
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def image(cloud: Cloud) -> AsyncIterator[str]:
    """An active image of the member's own."""
    cloud.ledger.begin()
    image_id = await _queued(cloud.member, "contract-image", hw_disk_bus="scsi")
    assert (await cloud.member.call("PUT", f"{IMAGES}/{image_id}/file", BYTES, headers=OCTETS)).status == 204
    yield image_id
    await cloud.ledger.end()


async def test_an_image_is_made_filled_shown_and_deleted(cloud: Cloud, answer: Answer) -> None:
    asked = {
        "name": "contract-made",
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 1,
        "hw_disk_bus": "scsi",
        "hw_scsi_model": "virtio-scsi",
        "js2": "yes",
        "tags": ["contract"],
    }
    made = await cloud.member.call("POST", IMAGES, asked)
    answer("image-made", _plain(made))
    path = f"{IMAGES}/{made.body['id']}"
    answer("image-queued-file", await cloud.member.call("GET", f"{path}/file"))
    filled = await cloud.member.call("PUT", f"{path}/file", BYTES, headers=OCTETS)
    answer("image-filled", filled)
    shown = await cloud.member.call("GET", path)
    answer("image-shown", _plain(shown))
    assert shown.body["os_hash_value"] == hashlib.sha512(BYTES).hexdigest()
    assert shown.body["checksum"] == hashlib.md5(BYTES, usedforsecurity=False).hexdigest()
    assert (await cloud.member.call("GET", f"{path}/file")).body == BYTES.decode()
    answer("image-filled-again", await cloud.member.call("PUT", f"{path}/file", BYTES, headers=OCTETS))
    answer("image-deleted", await cloud.member.call("DELETE", path))
    answer("image-gone", await cloud.member.call("GET", path))
    answer("image-gone-again", await cloud.member.call("DELETE", path))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("public", {"visibility": "public"}),
        ("bad-visibility", {"visibility": "nope"}),
        ("bad-format", {"disk_format": "nope"}),
        ("bad-id", {"id": "nope"}),
        ("number-as-property", {"hw_disk_bus": 7}),
        ("read-only", {"status": "active"}),
        ("name-too-long", {"name": "n" * 256}),
        ("bad-min-disk", {"min_disk": -1}),
    ],
)
async def test_an_image_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, name: str, asked: dict[str, Any]
) -> None:
    seen = await cloud.member.call("POST", IMAGES, {"name": "contract-bad", **asked})
    answer(f"image-refused-{name}", replace(seen, body=_without_schema(seen.body)))


async def test_an_id_serves_one_image(cloud: Cloud, answer: Answer, image: str) -> None:
    answer("image-refused-twice", await cloud.member.call("POST", IMAGES, {"name": "contract-twice", "id": image}))


async def test_an_image_is_changed_by_a_patch(cloud: Cloud, answer: Answer) -> None:
    path = f"{IMAGES}/{await _queued(cloud.member, 'contract-patched', hw_disk_bus='scsi')}"

    async def patch(*operations: Any) -> Seen:
        return await cloud.member.call("PATCH", path, list(operations), headers=PATCH)

    answer(
        "image-patched",
        _plain(
            await patch(
                {"op": "replace", "path": "/name", "value": "contract-renamed"},
                {"op": "add", "path": "/js2", "value": "yes"},
                {"op": "remove", "path": "/hw_disk_bus"},
                {"op": "replace", "path": "/visibility", "value": "private"},
            )
        ),
    )
    answer("image-patch-public", await patch({"op": "replace", "path": "/visibility", "value": "public"}))
    answer("image-patch-read-only", await patch({"op": "replace", "path": "/status", "value": "active"}))
    answer("image-patch-missing", await patch({"op": "remove", "path": "/nope"}))
    answer("image-patch-replaces-nothing", await patch({"op": "replace", "path": "/nope", "value": "x"}))
    answer("image-patch-bad-operation", await patch({"op": "bend", "path": "/name", "value": "x"}))
    answer("image-patch-no-list", await cloud.member.call("PATCH", path, {"name": "x"}, headers=PATCH))


async def test_a_protected_image_stays(cloud: Cloud, answer: Answer) -> None:
    path = f"{IMAGES}/{await _queued(cloud.member, 'contract-protected', protected=True)}"
    seen = await cloud.member.call("DELETE", path)
    free = [{"op": "replace", "path": "/protected", "value": False}]
    assert (await cloud.member.call("PATCH", path, free, headers=PATCH)).status == 200
    answer("image-protected", seen)


async def test_a_public_image_is_everybodys_to_use_and_nobodys_to_change(cloud: Cloud, answer: Answer) -> None:
    path = f"{IMAGES}/{cloud.names.image}"
    assert (await cloud.other.call("GET", path)).body["visibility"] == "public"
    change = [{"op": "replace", "path": "/name", "value": "mine"}]
    answer("image-public-change", await cloud.member.call("PATCH", path, change, headers=PATCH))
    answer("image-public-delete", await cloud.member.call("DELETE", path))
    answer("image-public-fill", await cloud.member.call("PUT", f"{path}/file", BYTES, headers=OCTETS))


async def test_a_project_does_not_see_another_ones_images(cloud: Cloud, answer: Answer, image: str) -> None:
    answer("image-of-others", await cloud.other.call("GET", f"{IMAGES}/{image}"))
    answer("image-of-others-file", await cloud.other.call("GET", f"{IMAGES}/{image}/file"))
    answer("image-of-others-delete", await cloud.other.call("DELETE", f"{IMAGES}/{image}"))
    assert (await cloud.other.get(f"{IMAGES}?name=contract-image"))["images"] == []


async def test_an_image_is_shared_with_a_project_that_accepts_it(cloud: Cloud, answer: Answer, image: str) -> None:
    members = f"{IMAGES}/{image}/members"
    answer("image-member-made", await cloud.member.call("POST", members, {"member": cloud.other.project_id}))
    answer("image-member-twice", await cloud.member.call("POST", members, {"member": cloud.other.project_id}))
    assert (await cloud.other.call("GET", f"{IMAGES}/{image}")).status == 200
    listed = f"{IMAGES}?name=contract-image"
    assert (await cloud.other.get(listed))["images"] == []
    own = f"{members}/{cloud.other.project_id}"
    answer("image-member-accepts", await cloud.other.call("PUT", own, {"status": "accepted"}))
    assert [each["id"] for each in (await cloud.other.get(listed))["images"]] == [image]
    answer("image-members", await cloud.member.call("GET", members))
    answer("image-member-deleted", await cloud.member.call("DELETE", own))
    answer("image-member-gone", await cloud.member.call("DELETE", own))
    assert (await cloud.other.call("GET", f"{IMAGES}/{image}")).status == 404


async def test_a_deactivated_image_keeps_its_bytes_to_itself(cloud: Cloud, answer: Answer) -> None:
    image_id = await _queued(cloud.member, "contract-deactivated")
    path = f"{IMAGES}/{image_id}"
    answer("image-deactivate-queued", await cloud.admin.call("POST", f"{path}/actions/deactivate"))
    await cloud.member.call("PUT", f"{path}/file", BYTES, headers=OCTETS)
    answer("image-deactivate-as-member", await cloud.member.call("POST", f"{path}/actions/deactivate"))
    assert (await cloud.admin.call("POST", f"{path}/actions/deactivate")).status == 204
    assert (await cloud.member.get(path))["status"] == "deactivated"
    answer("image-deactivated-file", await cloud.member.call("GET", f"{path}/file"))
    answer("image-deactivated-boots", await cloud.member.create("contract-deactivated", imageRef=image_id))
    assert (await cloud.admin.call("POST", f"{path}/actions/reactivate")).status == 204
    assert (await cloud.member.get(path))["status"] == "active"


async def test_a_queued_image_boots_nothing(cloud: Cloud, answer: Answer) -> None:
    image_id = await _queued(cloud.member, "contract-queued")
    answer("image-queued-boots", await cloud.member.create("contract-queued", imageRef=image_id))


async def test_images_are_found(cloud: Cloud, image: str) -> None:
    queued = await _queued(cloud.member, "contract-found", visibility="private", tags=["contract-tag"])
    for query, found in (
        ("name=contract-found", {queued}),
        ("name=contract-f", set()),
        ("name=contract-image&status=active", {image}),
        ("name=contract-image&status=queued", set()),
        ("name=contract-image&visibility=shared", {image}),
        ("name=contract-image&visibility=private", set()),
        ("name=contract-image&visibility=all", {image}),
        ("name=in:contract-image,contract-found", {image, queued}),
        ("tag=contract-tag", {queued}),
        ("hw_disk_bus=scsi&name=contract-image", {image}),
        ("hw_disk_bus=ide&name=contract-image", set()),
        ("nope=1&name=contract-image", set()),
        (f"owner={cloud.member.project_id}&name=contract-image", {image}),
        ("name=contract-image&size_min=1000000", set()),
    ):
        listed = (await cloud.member.get(f"{IMAGES}?{query}"))["images"]
        assert {each["id"] for each in listed} == found, query
    public = (await cloud.member.get(f"{IMAGES}?visibility=public"))["images"]
    assert cloud.names.image in [each["id"] for each in public]
    assert {each["visibility"] for each in public} == {"public"}


async def test_what_others_give_to_the_community_is_listed_only_for_who_asks_for_it(cloud: Cloud, image: str) -> None:
    theirs = await _queued(cloud.other, "contract-community", visibility="community")
    for query, found in (
        ("name=contract-community", set()),
        ("name=contract-community&visibility=community", {theirs}),
        ("name=contract-community&visibility=all", {theirs}),
    ):
        listed = (await cloud.member.get(f"{IMAGES}?{query}"))["images"]
        assert {each["id"] for each in listed} == found, query
    own = (await cloud.other.get(f"{IMAGES}?name=contract-community"))["images"]
    assert [each["id"] for each in own] == [theirs]
    assert (await cloud.member.call("GET", f"{IMAGES}/{theirs}")).status == 200


async def test_a_list_comes_in_pages_in_the_order_asked_for(cloud: Cloud) -> None:
    ids = [await _queued(cloud.member, f"contract-page-{number}", contract_page="yes") for number in range(3)]
    base = f"{IMAGES}?contract_page=yes&sort=name:desc&limit=2"
    first = await cloud.member.get(base)
    assert first["next"].startswith("/v2/images?")
    assert first["first"].startswith("/v2/images?")
    assert first["schema"] == "/v2/schemas/images"
    second = await cloud.member.get(f"{base}&marker={first['images'][-1]['id']}")
    assert "next" not in second
    assert [each["id"] for page in (first, second) for each in page["images"]] == ids[::-1]
    followed = await cloud.member.get(f"/image{first['next']}")
    assert [each["id"] for each in followed["images"]] == [each["id"] for each in second["images"]]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("bad-limit", "limit=many"),
        ("negative-limit", "limit=-1"),
        ("bad-sort", "sort=nope:desc"),
        ("bad-direction", "sort=name:down"),
        ("unknown-marker", f"marker={NOWHERE}"),
        ("bad-visibility", "visibility=nope"),
        ("bad-size", "size_min=many"),
        ("bad-member-status", "member_status=nope"),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(cloud: Cloud, answer: Answer, name: str, query: str) -> None:
    answer(f"image-list-{name}", await cloud.member.call("GET", f"{IMAGES}?{query}"))


async def test_tags_are_added_and_removed_one_by_one(cloud: Cloud, answer: Answer) -> None:
    path = f"{IMAGES}/{await _queued(cloud.member, 'contract-tagged')}"
    answer("image-tag-added", await cloud.member.call("PUT", f"{path}/tags/one"))
    assert (await cloud.member.get(path))["tags"] == ["one"]
    answer("image-tag-deleted", await cloud.member.call("DELETE", f"{path}/tags/one"))
    answer("image-tag-gone", await cloud.member.call("DELETE", f"{path}/tags/one"))


async def _queued(person: Client, name: str, **more: Any) -> str:
    asked = {"name": name, "disk_format": "raw", "container_format": "bare", **more}
    seen = await person.call("POST", IMAGES, asked)
    assert seen.status == 201, seen
    return str(seen.body["id"])


def _without_schema(page: str) -> str:
    """Glance adds the part of its schema that was hurt."""
    return re.sub(r"\s+Failed validating.*<br /><br />", "<br /><br />", page, flags=re.DOTALL)


def _plain(seen: Seen) -> Seen:
    """Without what only Glances with several stores say."""
    members = {key: value for key, value in seen.body.items() if key not in ("stores", "direct_url", "locations")}
    return Seen(seen.status, {"Content-Type": seen.headers["Content-Type"]}, members)
