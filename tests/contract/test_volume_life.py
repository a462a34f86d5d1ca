"""Volumes that servers have: which state shows when, what is refused, and what happens when the server changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, Seen, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing

Answer = Callable[..., None]
VOLUMES, SNAPSHOTS, ATTACHMENTS = "/volume/v3/volumes", "/volume/v3/snapshots", "/volume/v3/attachments"
HOLDS = {"OpenStack-API-Version": "volume 3.27"}
GROWS = {"OpenStack-API-Version": "volume 3.42"}
LOOSE = ("availability_zone", "volume_type", "device", "connection_info", "updated_at")
NOBODY = "11111111-1111-1111-1111-111111111111"


async def a_volume(cloud: Cloud, **more: Any) -> str:
    asked = {"name": "contract-life", "size": 1, **more}
    seen = await cloud.member.call("POST", VOLUMES, {"volume": asked})
    assert seen.status == 202, seen
    await volume_is(cloud, seen.body["volume"]["id"], "available")
    return str(seen.body["volume"]["id"])


async def status_of(cloud: Cloud, volume_id: str) -> str:
    return str((await cloud.member.get(f"{VOLUMES}/{volume_id}"))["volume"]["status"])


async def volume_is(cloud: Cloud, volume_id: str, status: str) -> list[str]:
    """The states it showed until it had this one."""
    shown: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not shown or shown[-1] != status:
                seen = await status_of(cloud, volume_id)
                shown += [seen] if not shown or shown[-1] != seen else []
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"volume {volume_id} was {shown} and not {status}") from None
    return shown


async def attach(cloud: Cloud, server_id: str, volume_id: str) -> Seen:
    path = f"{server_path(server_id)}/os-volume_attachments"
    return await cloud.member.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}})


async def detach(cloud: Cloud, server_id: str, volume_id: str) -> Seen:
    return await cloud.member.call("DELETE", f"{server_path(server_id)}/os-volume_attachments/{volume_id}")


@asynccontextmanager
async def held(cloud: Cloud, server_id: str) -> AsyncIterator[str]:
    """A new volume that a server has; it has it no longer when the block ends."""
    volume_id = await a_volume(cloud)
    assert (await attach(cloud, server_id, volume_id)).status == 200
    try:
        await volume_is(cloud, volume_id, "in-use")
        yield volume_id
    finally:
        await act(cloud, volume_id, "os-roll_detaching")
        await detach(cloud, server_id, volume_id)
        await volume_is(cloud, volume_id, "available")


async def act(cloud: Cloud, volume_id: str, action: str, arguments: Any = None, **more: Any) -> Seen:
    return await cloud.member.call("POST", f"{VOLUMES}/{volume_id}/action", {action: arguments}, **more)


async def holds(cloud: Cloud, volume_id: str) -> Seen:
    return await cloud.member.call("GET", f"{ATTACHMENTS}?volume_id={volume_id}", headers=HOLDS)


async def on_server(cloud: Cloud, server_id: str) -> list[str]:
    listed = await cloud.member.get(f"{server_path(server_id)}/os-volume_attachments")
    return [held["volumeId"] for held in listed["volumeAttachments"]]


async def test_a_volume_on_its_way_to_a_server_and_back_shows_where_it_is(
    cloud: Cloud, answer: Answer, standing: Standing
) -> None:
    volume_id = await a_volume(cloud)
    assert (await attach(cloud, standing.active, volume_id)).status == 200
    assert (await on_server(cloud, standing.active)) == [volume_id]
    coming = await volume_is(cloud, volume_id, "in-use")
    assert set(coming) <= {"reserved", "attaching", "in-use"}
    answer("holds-attached", await holds(cloud, volume_id))
    key = (await holds(cloud, volume_id)).body["attachments"][0]["id"]
    shown = await cloud.member.call("GET", f"{ATTACHMENTS}/{key}", headers=HOLDS)
    answer("hold-attached", shown, loose=LOOSE)
    assert (await detach(cloud, standing.active, volume_id)).status == 202
    going = await volume_is(cloud, volume_id, "available")
    assert set(going) <= {"detaching", "in-use", "available"}
    answer("holds-none", await holds(cloud, volume_id))
    answer("hold-gone", await cloud.member.call("GET", f"{ATTACHMENTS}/{key}", headers=HOLDS))


async def test_a_hold_that_a_server_makes_good_is_not_taken_away_behind_novas_back(
    cloud: Cloud, answer: Answer, standing: Standing
) -> None:
    async with held(cloud, standing.active) as volume_id:
        key = (await holds(cloud, volume_id)).body["attachments"][0]["id"]
        answer("hold-in-use-delete", await cloud.member.call("DELETE", f"{ATTACHMENTS}/{key}", headers=HOLDS))


async def test_a_hold_for_a_server_that_is_gone_can_be_taken_away(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    asked = {"attachment": {"volume_uuid": volume_id, "instance_uuid": NOBODY}}
    made = await cloud.member.call("POST", ATTACHMENTS, asked, headers=HOLDS)
    answer("hold-made", made, loose=LOOSE)
    assert await status_of(cloud, volume_id) == "reserved"
    answer("holds-reserved", await holds(cloud, volume_id))
    assert (await cloud.member.get(f"{VOLUMES}/{volume_id}"))["volume"]["attachments"] == []
    answer("hold-twice", await cloud.member.call("POST", ATTACHMENTS, asked, headers=HOLDS), loose=LOOSE)
    key = made.body["attachment"]["id"]
    answer("hold-of-others", await cloud.other.call("DELETE", f"{ATTACHMENTS}/{key}", headers=HOLDS))
    answer("hold-deleted", await cloud.member.call("DELETE", f"{ATTACHMENTS}/{key}", headers=HOLDS))
    # What is reserved may be reserved once more, and then one hold is left.
    assert await status_of(cloud, volume_id) == "reserved"
    left = (await holds(cloud, volume_id)).body["attachments"]
    answer("hold-deleted-last", await cloud.member.call("DELETE", f"{ATTACHMENTS}/{left[0]['id']}", headers=HOLDS))
    await volume_is(cloud, volume_id, "available")


async def test_a_hold_that_nova_only_reserves_can_be_taken_away_from_a_server_on_the_shelf(
    cloud: Cloud, answer: Answer
) -> None:
    volume_id = await a_volume(cloud)
    server = await cloud.member.active("contract-reserved")
    await attach(cloud, server["id"], volume_id)
    await volume_is(cloud, volume_id, "in-use")
    await cloud.member.act(server["id"], "shelve")
    await cloud.member.settled(server["id"], "SHELVED_OFFLOADED")
    await volume_is(cloud, volume_id, "reserved")
    key = (await holds(cloud, volume_id)).body["attachments"][0]["id"]
    answer("hold-shelved-delete", await cloud.member.call("DELETE", f"{ATTACHMENTS}/{key}", headers=HOLDS))
    assert await status_of(cloud, volume_id) == "available"
    # Nova has not been told.
    assert await on_server(cloud, server["id"]) == [volume_id]


async def test_a_volume_that_attaches_for_nobody_is_freed_by_its_owner(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    answer("volume-reserve", await act(cloud, volume_id, "os-reserve"))
    assert await status_of(cloud, volume_id) == "attaching"
    answer("volume-unreserve", await act(cloud, volume_id, "os-unreserve"))
    assert await status_of(cloud, volume_id) == "available"
    # Where there is nothing to do it says the same.
    answer("volume-unreserve-again", await act(cloud, volume_id, "os-unreserve"))
    answer("volume-roll-detaching-of-available", await act(cloud, volume_id, "os-roll_detaching"))
    assert await status_of(cloud, volume_id) == "available"


async def test_a_detaching_that_has_stuck_is_taken_back_and_done_again(
    cloud: Cloud, answer: Answer, standing: Standing
) -> None:
    async with held(cloud, standing.active) as volume_id:
        answer("volume-begin-detaching", await act(cloud, volume_id, "os-begin_detaching"))
        assert await status_of(cloud, volume_id) == "detaching"
        answer("holds-detaching", await holds(cloud, volume_id))
        answer("detach-while-detaching", await detach(cloud, standing.active, volume_id))
        answer("volume-roll-detaching", await act(cloud, volume_id, "os-roll_detaching"))
        assert await status_of(cloud, volume_id) == "in-use"
        assert (await detach(cloud, standing.active, volume_id)).status == 202
        await volume_is(cloud, volume_id, "available")


async def test_a_volume_belongs_to_one_server_at_a_time(cloud: Cloud, answer: Answer, standing: Standing) -> None:
    async with held(cloud, standing.active) as volume_id:
        other = await cloud.member.active("contract-second")
        answer("attach-of-others", await attach(cloud, other["id"], volume_id))


async def test_nothing_is_attached_to_a_server_that_is_built(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    with cloud.slow("spawning"):
        server_id = await cloud.member.created("contract-early")
        answer("attach-early", await attach(cloud, server_id, volume_id))
    assert await status_of(cloud, volume_id) == "available"


async def test_a_server_that_is_off_takes_a_volume_and_gives_it_back(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    server = await cloud.member.active("contract-off")
    await cloud.member.act(server["id"], "os-stop")
    await cloud.member.settled(server["id"], "SHUTOFF")
    answer("attach-when-off", await attach(cloud, server["id"], volume_id), loose=["device"])
    await volume_is(cloud, volume_id, "in-use")
    answer("detach-when-off", await detach(cloud, server["id"], volume_id))
    await volume_is(cloud, volume_id, "available")


async def test_a_shelved_server_keeps_its_volume_to_itself_until_it_returns(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    server = await cloud.member.active("contract-keeps")
    await attach(cloud, server["id"], volume_id)
    await volume_is(cloud, volume_id, "in-use")
    await cloud.member.act(server["id"], "shelve")
    await cloud.member.settled(server["id"], "SHELVED_OFFLOADED")
    await volume_is(cloud, volume_id, "reserved")
    assert await on_server(cloud, server["id"]) == [volume_id]
    answer("holds-shelved", await holds(cloud, volume_id))
    answer("volume-shelved", await cloud.member.call("GET", f"{VOLUMES}/{volume_id}"), loose=LOOSE)
    await cloud.member.act(server["id"], "unshelve")
    await cloud.member.settled(server["id"], "ACTIVE")
    await volume_is(cloud, volume_id, "in-use")
    assert await on_server(cloud, server["id"]) == [volume_id]


async def test_a_shelved_server_takes_a_volume_and_gives_it_back(
    cloud: Cloud, answer: Answer, standing: Standing
) -> None:
    volume_id = await a_volume(cloud)
    answer("attach-when-shelved", await attach(cloud, standing.shelved, volume_id))
    # Unlike one that came along when the server was shelved, it is in use, on no host.
    await volume_is(cloud, volume_id, "in-use")
    assert await on_server(cloud, standing.shelved) == [volume_id]
    answer("holds-attached-when-shelved", await holds(cloud, volume_id))
    seen = await cloud.member.call("GET", f"{VOLUMES}/{volume_id}")
    answer("volume-attached-when-shelved", seen, loose=["availability_zone", "volume_type"])
    answer("detach-when-shelved", await detach(cloud, standing.shelved, volume_id))
    await volume_is(cloud, volume_id, "available")
    assert await on_server(cloud, standing.shelved) == []


async def test_a_volume_is_not_taken_from_a_server_that_is_just_being_shelved(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    server = await cloud.member.active("contract-shelving")
    await attach(cloud, server["id"], volume_id)
    await volume_is(cloud, volume_id, "in-use")
    with cloud.slow("shelving"):
        await cloud.member.act(server["id"], "shelve")
        seen = await detach(cloud, server["id"], volume_id)
    # A real one may be through with it before it is asked.
    if seen.status == 409:
        assert "while it is in task_state shelving" in seen.body["conflictingRequest"]["message"]
    else:
        assert seen.status == 202
    await cloud.member.settled(server["id"], "SHELVED_OFFLOADED")
    assert await status_of(cloud, volume_id) in ("reserved", "available", "detaching")


async def test_a_server_that_ends_lets_go_of_its_volume_and_what_is_in_it_stays(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud, metadata={"user": "alice"})
    server = await cloud.member.active("contract-ends")
    await attach(cloud, server["id"], volume_id)
    await volume_is(cloud, volume_id, "in-use")
    await cloud.member.call("DELETE", server_path(server["id"]))
    await volume_is(cloud, volume_id, "available")
    answer("volume-let-go", await cloud.member.call("GET", f"{VOLUMES}/{volume_id}"), loose=LOOSE)
    answer("holds-let-go", await holds(cloud, volume_id))


async def test_a_server_starts_with_a_volume_it_was_made_with(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    image = {"source_type": "image", "destination_type": "local", "uuid": cloud.names.image, "boot_index": 0}
    device = {"source_type": "volume", "destination_type": "volume", "uuid": volume_id, "boot_index": -1}
    asked = {"imageRef": cloud.names.image, "block_device_mapping_v2": [image, device]}
    server_id = await cloud.member.created("contract-with", **asked)
    assert set(await volume_is(cloud, volume_id, "in-use")) <= {"reserved", "attaching", "in-use"}
    await cloud.member.settled(server_id, "ACTIVE")
    assert await on_server(cloud, server_id) == [volume_id]
    answer("create-with-volume-in-use", await cloud.member.create("contract-bad", **asked))


async def test_a_volume_in_use_grows_for_who_asks_in_a_version_that_may(
    cloud: Cloud, answer: Answer, standing: Standing
) -> None:
    async with held(cloud, standing.active) as volume_id:
        grown = await act(cloud, volume_id, "os-extend", {"new_size": 2}, headers=GROWS)
        answer("volume-extend-attached", grown)
        assert set(await volume_is(cloud, volume_id, "in-use")) <= {"extending", "in-use"}
        assert (await cloud.member.get(f"{VOLUMES}/{volume_id}"))["volume"]["size"] == 2


async def test_a_snapshot_of_a_volume_in_use_has_to_be_forced(cloud: Cloud, answer: Answer, standing: Standing) -> None:
    async with held(cloud, standing.active) as volume_id:
        asked = {"volume_id": volume_id, "name": "contract-in-use"}
        answer("snapshot-in-use", await cloud.member.call("POST", SNAPSHOTS, {"snapshot": asked}))
        forced = await cloud.member.call("POST", SNAPSHOTS, {"snapshot": {**asked, "force": True}})
        answer("snapshot-forced", forced)
        path = f"{SNAPSHOTS}/{forced.body['snapshot']['id']}"
        async with asyncio.timeout(PATIENCE_S):
            while (await cloud.member.get(path))["snapshot"]["status"] != "available":
                await asyncio.sleep(LOOK_EVERY_S)
        assert await status_of(cloud, volume_id) == "in-use"
        copied = await a_volume(cloud, snapshot_id=forced.body["snapshot"]["id"], size=2)
        assert (await cloud.member.get(f"{VOLUMES}/{copied}"))["volume"]["size"] == 2
        smaller = {"name": "contract-smaller", "snapshot_id": forced.body["snapshot"]["id"], "size": 0}
        answer("volume-from-snapshot-smaller", await cloud.member.call("POST", VOLUMES, {"volume": smaller}))


async def test_snapshots_come_in_pages_and_are_found_by_their_volume(cloud: Cloud) -> None:
    volume_id = await a_volume(cloud)
    made = set()
    for number in range(3):
        asked = {
            "volume_id": volume_id,
            "name": f"contract-page-{number}",
            "force": True,
            "metadata": {"n": str(number)},
        }
        made.add((await cloud.member.call("POST", SNAPSHOTS, {"snapshot": asked})).body["snapshot"]["id"])
    base = f"{SNAPSHOTS}/detail?volume_id={volume_id}&limit=2"
    first = await cloud.member.get(base)
    assert [link["rel"] for link in first["snapshots_links"]] == ["next"]
    second = await cloud.member.get(f"{base}&marker={first['snapshots'][-1]['id']}")
    assert "snapshots_links" not in second
    assert {each["id"] for page in (first, second) for each in page["snapshots"]} == made


@pytest.mark.parametrize("value", ["plain", "o'neil", 'with "quotes"', "a,b: {c}", "grüße", "back\\slash"])
async def test_volumes_are_found_by_metadata_whatever_it_says(cloud: Cloud, value: str) -> None:
    volume_id = await a_volume(cloud, metadata={"js2_user": value, "hub": "1"})
    wanted = repr({"js2_user": value})
    async with cloud.member.http.get(
        cloud.member.url_of(f"{VOLUMES}/detail"),
        params={"metadata": wanted},
        headers={"X-Auth-Token": cloud.member.token},
    ) as listed:
        found = [each["id"] for each in (await listed.json())["volumes"]]
    assert found == [volume_id]


async def test_a_volume_becomes_an_image(cloud: Cloud, answer: Answer) -> None:
    volume_id = await a_volume(cloud)
    asked = {"image_name": "contract-from-volume", "container_format": "bare", "disk_format": "raw", "force": False}
    begun = await act(cloud, volume_id, "os-volume_upload_image", asked)
    answer("volume-upload", begun, loose=["volume_type", "updated_at"])
    try:
        # A real Cinder whose volumes are pretended ones has nothing to copy, and lets go of the image again.
        await volume_is(cloud, volume_id, "available")
    finally:
        await cloud.member.call("DELETE", f"/image/v2/images/{begun.body['os-volume_upload_image']['image_id']}")
    answer("volume-upload-unnamed", await act(cloud, volume_id, "os-volume_upload_image", {"force": False}))


async def test_a_volume_in_use_is_not_made_an_image(cloud: Cloud, answer: Answer, standing: Standing) -> None:
    async with held(cloud, standing.active) as volume_id:
        asked = {"image_name": "contract-never", "container_format": "bare", "disk_format": "raw", "force": False}
        answer("volume-upload-in-use", await act(cloud, volume_id, "os-volume_upload_image", asked))


async def test_a_flavor_of_something_scarce_runs_out_and_comes_back(cloud: Cloud) -> None:
    """A GPU is a resource of which a host has so many (Placement's custom resource classes, VGPU, PCI devices)."""
    flavors = (await cloud.member.get("/compute/v2.1/flavors/detail", version="2.61"))["flavors"]
    scarce = [each for each in flavors if any(spec.startswith("resources:") for spec in each["extra_specs"])]
    if not scarce:
        pytest.skip("this cloud has no flavor that asks for a resource class")
    flavor = min(scarce, key=lambda each: (each["vcpus"], each["ram"]))
    placed: list[str] = []
    try:
        failed = ""
        while not failed:
            assert len(placed) < 20, "this flavor does not run out"
            server_id = await cloud.member.created("contract-scarce", flavorRef=flavor["id"])
            placed.append(server_id)
            server = await _built(cloud, server_id)
            failed = server_id if server["status"] == "ERROR" else ""
        assert server["fault"]["message"].startswith("No valid host was found.")
        await cloud.member.call("DELETE", server_path(failed))
        await cloud.member.call("DELETE", server_path(placed[0]))
        await cloud.member.gone(server_path(placed[0]))
        placed.append(await cloud.member.created("contract-scarce-again", flavorRef=flavor["id"]))
        assert (await _built(cloud, placed[-1]))["status"] == "ACTIVE"
    finally:
        for server_id in placed:
            await cloud.member.call("DELETE", server_path(server_id))


async def _built(cloud: Cloud, server_id: str) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            server = await cloud.member.server(server_id)
            if server["status"] in ("ACTIVE", "ERROR"):
                return server
            await asyncio.sleep(LOOK_EVERY_S)
