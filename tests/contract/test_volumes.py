"""Cinder: a volume's life, alone and at a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, Client, Seen, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing

Answer = Callable[..., None]
NOWHERE = "11111111-1111-1111-1111-111111111111"
VOLUMES, SNAPSHOTS = "/volume/v3/volumes", "/volume/v3/snapshots"
# Who runs a cloud names its zones and types.
LOOSE = ("availability_zone", "volume_type")


async def test_a_volume_is_made_shown_and_deleted(cloud: Cloud, answer: Answer) -> None:
    asked = {"name": "contract-made", "size": 1, "metadata": {"user": "alice"}, "description": "a home"}
    made = await cloud.member.call("POST", VOLUMES, {"volume": asked})
    answer("volume-made", made, loose=LOOSE)
    path = f"{VOLUMES}/{made.body['volume']['id']}"
    await _until(cloud.member, path, "available")
    answer("volume-available", await cloud.member.call("GET", path), loose=LOOSE)
    detail = await cloud.member.call("GET", f"{VOLUMES}/detail?name=contract-made")
    answer("volume-listed", detail, loose=LOOSE)
    brief = await cloud.member.call("GET", f"{VOLUMES}?name=contract-made")
    answer("volume-listed-briefly", brief)
    answer("volume-deleted", await cloud.member.call("DELETE", path))
    await cloud.member.gone(path)
    answer("volume-gone", await cloud.member.call("GET", path))
    answer("volume-gone-again", await cloud.member.call("DELETE", path))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("no-size", {}),
        ("size-zero", {"size": 0}),
        ("negative-size", {"size": -1}),
        ("size-as-word", {"size": "big"}),
        ("name-too-long", {"size": 1, "name": "n" * 256}),
        ("metadata-too-long", {"size": 1, "metadata": {"k": "v" * 256}}),
        ("metadata-number", {"size": 1, "metadata": {"k": 7}}),
        ("unknown-type", {"size": 1, "volume_type": "nope"}),
        ("unknown-zone", {"size": 1, "availability_zone": "nope"}),
        ("unknown-snapshot", {"size": 1, "snapshot_id": NOWHERE}),
        ("unknown-image", {"size": 1, "imageRef": NOWHERE}),
        ("unknown-member", {"size": 1, "bogus": 1}),
    ],
)
async def test_a_volume_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, name: str, asked: Mapping[str, Any]
) -> None:
    answer(
        f"volume-refused-{name}",
        await cloud.member.call("POST", VOLUMES, {"volume": {"name": "contract-bad", **asked}}),
    )


async def test_a_volume_is_renamed_and_labelled(cloud: Cloud, answer: Answer) -> None:
    path = f"{VOLUMES}/{await _volume(cloud.member, 'contract-labels', user='alice')}"
    answer("volume-changed", await cloud.member.call("PUT", path, {"volume": {"name": "contract-new"}}), loose=LOOSE)
    metadata = f"{path}/metadata"
    answer("volume-metadata-added", await cloud.member.call("POST", metadata, {"metadata": {"desk": "3"}}))
    assert (await cloud.member.get(metadata))["metadata"] == {"user": "alice", "desk": "3"}
    answer("volume-metadata-replaced", await cloud.member.call("PUT", metadata, {"metadata": {"desk": "4"}}))
    answer("volume-metadata-deleted", await cloud.member.call("DELETE", f"{metadata}/desk"))
    answer("volume-metadata-gone", await cloud.member.call("DELETE", f"{metadata}/desk"))
    answer("volume-metadata-refused", await cloud.member.call("POST", metadata, {"metadata": {"k": "v" * 256}}))


async def test_volumes_are_found_by_metadata_name_and_status(cloud: Cloud) -> None:
    volume = await _volume(cloud.member, "contract-found", contract="found", hub="1")
    wanted = json.dumps({"contract": "found", "hub": "1"})
    for query, found in (
        (f"metadata={wanted}", {volume}),
        (f"metadata={json.dumps({'contract': 'found', 'hub': '2'})}", set()),
        ("name=contract-found", {volume}),
        ("name=contract-f", set()),
        ("name=contract-found&status=available", {volume}),
        ("name=contract-found&status=in-use", set()),
        ("name=contract-found&nope=1", {volume}),
    ):
        listed = (await cloud.member.get(f"{VOLUMES}/detail?{query}"))["volumes"]
        assert {each["id"] for each in listed} == found, query
    assert (await cloud.other.get(f"{VOLUMES}/detail?name=contract-found"))["volumes"] == []


async def test_a_list_comes_in_pages(cloud: Cloud, answer: Answer) -> None:
    names = {await _volume(cloud.member, "contract-page") for _ in range(3)}
    base = f"{VOLUMES}/detail?name=contract-page&limit=2"
    first = await cloud.member.get(base)
    assert [link["rel"] for link in first["volumes_links"]] == ["next"]
    second = await cloud.member.get(f"{base}&marker={first['volumes'][-1]['id']}")
    assert "volumes_links" not in second
    assert [len(page["volumes"]) for page in (first, second)] == [2, 1]
    assert {each["id"] for page in (first, second) for each in page["volumes"]} == names
    answer("volume-list-unknown-marker", await cloud.member.call("GET", f"{VOLUMES}/detail?marker={NOWHERE}"))
    answer("volume-list-bad-limit", await cloud.member.call("GET", f"{VOLUMES}/detail?limit=many"))


async def test_a_volume_grows_and_does_not_shrink(cloud: Cloud, answer: Answer) -> None:
    path = f"{VOLUMES}/{await _volume(cloud.member, 'contract-grows')}"
    answer("volume-extend-same", await _extend(cloud.member, path, 1))
    answer("volume-extend-word", await _extend(cloud.member, path, "big"))
    answer("volume-extended", await _extend(cloud.member, path, 2))
    await _until(cloud.member, path, "available")
    assert (await cloud.member.get(path))["volume"]["size"] == 2
    answer("volume-unknown-action", await cloud.member.call("POST", f"{path}/action", {"os-nope": {}}))


async def test_a_volume_is_attached_and_detached_by_nova(cloud: Cloud, answer: Answer, standing: Standing) -> None:
    volume_id = await _volume(cloud.member, "contract-attached", user="alice")
    path, attachments = f"{VOLUMES}/{volume_id}", f"{server_path(standing.active)}/os-volume_attachments"
    attach = {"volumeAttachment": {"volumeId": volume_id}}
    loose = ["device"]
    answer("volume-attach", await cloud.member.call("POST", attachments, attach), loose=loose)
    try:
        await _until(cloud.member, path, "in-use")
        answer("volume-in-use", await cloud.member.call("GET", path), loose=[*LOOSE, *loose])
        answer("volume-attachments", await cloud.member.call("GET", attachments), loose=loose)
        answer("volume-attach-again", await cloud.member.call("POST", attachments, attach))
        answer("volume-delete-in-use", await cloud.member.call("DELETE", path))
        answer("volume-extend-in-use", await _extend(cloud.member, path, 2))
        detach = {"os-detach": {}}
        answer("volume-detach-behind-nova", await cloud.member.call("POST", f"{path}/action", detach))
        assert (await cloud.member.get(path))["volume"]["status"] == "in-use"
    finally:
        answer("volume-detach", await cloud.member.call("DELETE", f"{attachments}/{volume_id}"))
        await _until(cloud.member, path, "available")
    assert (await cloud.member.get(attachments))["volumeAttachments"] == []
    answer("volume-detach-again", await cloud.member.call("DELETE", f"{attachments}/{volume_id}"))
    unknown = {"volumeAttachment": {"volumeId": NOWHERE}}
    answer("volume-attach-unknown", await cloud.member.call("POST", attachments, unknown))


async def test_a_volume_outlives_its_server(cloud: Cloud) -> None:
    volume_id = await _volume(cloud.member, "contract-outlives")
    server = await cloud.member.active("contract-with-volume")
    attachments = f"{server_path(server['id'])}/os-volume_attachments"
    await cloud.member.call("POST", attachments, {"volumeAttachment": {"volumeId": volume_id}})
    await _until(cloud.member, f"{VOLUMES}/{volume_id}", "in-use")
    await cloud.member.call("DELETE", server_path(server["id"]))
    await cloud.member.gone(server_path(server["id"]))
    await _until(cloud.member, f"{VOLUMES}/{volume_id}", "available")


async def test_a_project_does_not_see_another_ones_volumes(cloud: Cloud, answer: Answer) -> None:
    path = f"{VOLUMES}/{await _volume(cloud.member, 'contract-hidden')}"
    answer("volume-of-others", await cloud.other.call("GET", path))
    answer("volume-of-others-delete", await cloud.other.call("DELETE", path))
    answer("volume-of-others-extend", await _extend(cloud.other, path, 2))


async def test_a_snapshot_holds_its_volume(cloud: Cloud, answer: Answer) -> None:
    volume_id = await _volume(cloud.member, "contract-source")
    asked = {"snapshot": {"volume_id": volume_id, "name": "contract-snapshot", "metadata": {"k": "v"}}}
    made = await cloud.member.call("POST", SNAPSHOTS, asked)
    answer("snapshot-made", made)
    path = f"{SNAPSHOTS}/{made.body['snapshot']['id']}"
    await _until(cloud.member, path, "available", "snapshot")
    answer("snapshot-available", await cloud.member.call("GET", path))
    answer("volume-delete-with-snapshot", await cloud.member.call("DELETE", f"{VOLUMES}/{volume_id}"))
    listed = (await cloud.member.get(f"{SNAPSHOTS}/detail?volume_id={volume_id}"))["snapshots"]
    assert [each["name"] for each in listed] == ["contract-snapshot"]
    copy = {"volume": {"name": "contract-copy", "snapshot_id": made.body["snapshot"]["id"]}}
    copied = await cloud.member.call("POST", VOLUMES, copy)
    answer("volume-from-snapshot", copied, loose=LOOSE)
    copied_path = f"{VOLUMES}/{copied.body['volume']['id']}"
    await _until(cloud.member, copied_path, "available")
    assert (await cloud.member.get(copied_path))["volume"]["size"] == 1
    answer("snapshot-of-others", await cloud.other.call("GET", path))
    answer("snapshot-deleted", await cloud.member.call("DELETE", path))
    await cloud.member.gone(path)
    answer("snapshot-gone", await cloud.member.call("GET", path))
    unknown = {"snapshot": {"volume_id": NOWHERE, "name": "contract-nothing"}}
    answer("snapshot-of-nothing", await cloud.member.call("POST", SNAPSHOTS, unknown))


async def test_a_quota_is_too_large_a_request(cloud: Cloud, answer: Answer) -> None:
    async with quota(cloud, volumes=0):
        answer("volume-quota-volumes", await _create(cloud.other, "contract-quota", 1))
    async with quota(cloud, gigabytes=2):
        answer("volume-quota-gigabytes", await _create(cloud.other, "contract-quota", 3))
    assert (await cloud.other.get(f"{VOLUMES}?name=contract-quota"))["volumes"] == []


async def test_limits_tell_what_is_left(cloud: Cloud, answer: Answer) -> None:
    limits = await cloud.member.call("GET", "/volume/v3/limits")
    answer("volume-limits", limits, loose=["absolute"])
    before = limits.body["limits"]["absolute"]
    await _volume(cloud.other, "contract-counted", 2)
    own = (await cloud.other.get("/volume/v3/limits"))["limits"]["absolute"]
    assert own["totalVolumesUsed"] >= 1
    assert own["totalGigabytesUsed"] >= 2
    assert own.keys() == before.keys()


async def test_there_is_a_type_of_volumes(cloud: Cloud) -> None:
    types = (await cloud.member.get("/volume/v3/types"))["volume_types"]
    assert types
    assert all({"id", "name", "is_public", "description", "extra_specs"} <= each.keys() for each in types)
    zones = (await cloud.member.get("/volume/v3/os-availability-zone"))["availabilityZoneInfo"]
    assert zones == [{"zoneName": "nova", "zoneState": {"available": True}}]


@asynccontextmanager
async def quota(cloud: Cloud, **limits: int) -> AsyncIterator[None]:
    """The other project's limits in Cinder, for as long as the block lasts."""
    path = f"/volume/v3/os-quota-sets/{cloud.other.project_id}"
    before = (await cloud.admin.get(path))["quota_set"]
    seen = await cloud.admin.call("PUT", path, {"quota_set": limits})
    assert seen.status == 200, seen
    try:
        yield
    finally:
        await cloud.admin.call("PUT", path, {"quota_set": {name: before[name] for name in limits}})


async def _create(person: Client, name: str, size: int, **metadata: str) -> Seen:
    return await person.call("POST", VOLUMES, {"volume": {"name": name, "size": size, "metadata": metadata}})


async def _volume(person: Client, name: str, size: int = 1, **metadata: str) -> str:
    """The id of a new volume that is available."""
    seen = await _create(person, name, size, **metadata)
    assert seen.status == 202, seen
    volume_id = str(seen.body["volume"]["id"])
    await _until(person, f"{VOLUMES}/{volume_id}", "available")
    return volume_id


async def _extend(person: Client, path: str, size: object) -> Seen:
    return await person.call("POST", f"{path}/action", {"os-extend": {"new_size": size}})


async def _until(person: Client, path: str, status: str, key: str = "volume") -> None:
    shown: Any = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while shown != status:
                shown = (await person.get(path))[key]["status"]
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"{path} is {shown} and not {status}") from None
