"""What happens to a server that is stopped, restarted, shelved, rebuilt, resized or deleted: states in their order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, Seen, server_path
from tests.contract.clouds import Cloud, state_of
from tests.contract.test_compute_conflicts import ACTIONS
from tests.contract.test_compute_views import OF_THE_FLAVOR

# A fake hypervisor, as real services may have one for tests, uploads nothing: its images stay queued.
UPLOADED = (["active"], ["queued"])
TRIES = 5


@pytest.fixture(scope="module")
def moving() -> list[str]:
    """The servers that tests move about, the present one last."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def server_id(cloud: Cloud, moving: list[str]) -> str:
    """A server that is ACTIVE: the one that the last test left so, or a new one."""
    if not moving or state_of(await cloud.member.server(moving[-1])) != "ACTIVE/None/active":
        with cloud.ledger.for_good():
            moving.append((await cloud.member.active("contract-moving", tags=["moving"], metadata={"k": "v"}))["id"])
    return moving[-1]


async def until_task(cloud: Cloud, server_id: str, task: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.server(server_id))["OS-EXT-STS:task_state"] != task:
            await asyncio.sleep(LOOK_EVERY_S)


async def addresses_of(cloud: Cloud, server_id: str) -> Any:
    return (await cloud.member.server(server_id))["addresses"]


async def test_stop_and_start_keep_the_addresses(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str
) -> None:
    before = await addresses_of(cloud, server_id)
    async with cloud.watching(server_id) as shown:
        answer("stop", await cloud.member.act(server_id, "os-stop"))
        await cloud.member.settled(server_id, "SHUTOFF")
    states("stop", shown)
    answer("conflict-stop-when-stopped", await cloud.member.act(server_id, "os-stop"))
    answer("conflict-soft-reboot-when-stopped", await cloud.member.act(server_id, "reboot", {"type": "SOFT"}))
    answer("server-stopped", await cloud.member.call("GET", server_path(server_id)), loose=OF_THE_FLAVOR)
    assert await addresses_of(cloud, server_id) == before
    async with cloud.watching(server_id) as shown:
        answer("start", await cloud.member.act(server_id, "os-start"))
        await cloud.member.settled(server_id, "ACTIVE")
    states("start", shown)
    assert await addresses_of(cloud, server_id) == before


@pytest.mark.parametrize("action", ["stop", "reboot-hard", "shelve", "image"])
async def test_one_thing_at_a_time(cloud: Cloud, answer: Callable[..., None], server_id: str, action: str) -> None:
    """While a server is switched off, nothing else is done to it."""
    for _ in range(TRIES):
        with cloud.slow("powering"):
            assert (await cloud.member.act(server_id, "os-stop")).status == 202
            seen = await cloud.member.act(server_id, *ACTIONS[action])
        await bring_back(cloud, server_id)
        if "task_state" in str(seen.body):
            break  # otherwise a fake hypervisor had switched it off already
    answer(f"conflict-{action}-while-stopping", seen)


async def bring_back(cloud: Cloud, server_id: str) -> None:
    """Make the server ACTIVE again, whatever came of what was asked of it."""
    ways = {"SHUTOFF": "os-start", "SHELVED_OFFLOADED": "unshelve"}
    async with asyncio.timeout(PATIENCE_S):
        while (state := state_of(await cloud.member.server(server_id))) != "ACTIVE/None/active":
            status, task, _ = state.split("/")
            if task == "None" and status in ways:
                await cloud.member.act(server_id, ways[status])
            await asyncio.sleep(LOOK_EVERY_S)


@pytest.mark.parametrize("kind", ["SOFT", "HARD", "soft"])
async def test_reboot(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str, kind: str
) -> None:
    async with cloud.watching(server_id) as shown:
        with cloud.slow("rebooting"):
            answer(f"reboot-{kind}", await cloud.member.act(server_id, "reboot", {"type": kind}))
            answer(f"conflict-stop-while-reboot-{kind}", await cloud.member.act(server_id, "os-stop"))
        await cloud.member.settled(server_id, "ACTIVE")
    states(f"reboot-{kind}", shown)


async def test_rebuild(cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str) -> None:
    before = await addresses_of(cloud, server_id)
    async with cloud.watching(server_id) as shown:
        seen = await cloud.member.act(server_id, "rebuild", {"imageRef": cloud.names.image})
        await cloud.member.settled(server_id, "ACTIVE")
    answer("rebuild", seen, loose=[*OF_THE_FLAVOR, "adminPass"])
    states("rebuild", shown)
    assert await addresses_of(cloud, server_id) == before


async def test_resize_waits_for_its_confirmation(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str
) -> None:
    async with cloud.watching(server_id) as shown:
        answer("resize", await cloud.member.act(server_id, "resize", {"flavorRef": cloud.names.bigger_flavor}))
        resized = await cloud.member.settled(server_id, "VERIFY_RESIZE")
    states("resize", shown)
    assert resized["flavor"]["original_name"] == cloud.words["<bigger flavor>"]
    answer("conflict-shelve-when-resized", await cloud.member.act(server_id, "shelve"))
    async with cloud.watching(server_id) as shown:
        answer("resize-confirm", await cloud.member.act(server_id, "confirmResize"))
        await cloud.member.settled(server_id, "ACTIVE")
    states("resize-confirm", shown)
    same = {"flavorRef": cloud.names.bigger_flavor}
    answer("resize-same-flavor", await cloud.member.act(server_id, "resize", same))
    async with cloud.watching(server_id) as shown:
        assert (await cloud.member.act(server_id, "resize", {"flavorRef": cloud.names.flavor})).status == 202
        await cloud.member.settled(server_id, "VERIFY_RESIZE")
        answer("resize-revert", await cloud.member.act(server_id, "revertResize"))
        await cloud.member.settled(server_id, "ACTIVE")
    states("resize-revert", shown)


async def test_shelve_offloads_and_unshelve_brings_it_back(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str
) -> None:
    before = await addresses_of(cloud, server_id)
    async with cloud.watching(server_id) as shown:
        with cloud.slow("shelving"):
            answer("shelve", await cloud.member.act(server_id, "shelve"))
            refused_by_a_task(await cloud.member.act(server_id, "shelve"), "shelve")
        await cloud.member.settled(server_id, "SHELVED_OFFLOADED")
    states("shelve", shown)
    assert await addresses_of(cloud, server_id) == before
    images = (await cloud.member.get("/image/v2/images?name=contract-moving-shelved"))["images"]
    assert [image["status"] for image in images] in UPLOADED
    async with cloud.watching(server_id) as shown:
        with cloud.slow("unshelving"):
            answer("unshelve", await cloud.member.act(server_id, "unshelve"))
            answer("conflict-unshelve-while-unshelving", await cloud.member.act(server_id, "unshelve"))
        await cloud.member.settled(server_id, "ACTIVE")
    states("unshelve", shown)
    assert await addresses_of(cloud, server_id) == before
    await image_gone(cloud, "contract-moving-shelved")


def refused_by_a_task(seen: Seen, verb: str) -> None:
    """Which of several tasks runs by now is a matter of speed."""
    assert seen.status == 409
    refusal = seen.body["conflictingRequest"]["message"]
    assert re.fullmatch(rf"Cannot '{verb}' instance \S+ while it is in task_state \w+", refusal)


async def image_gone(cloud: Cloud, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.get(f"/image/v2/images?name={name}"))["images"]:
            await asyncio.sleep(LOOK_EVERY_S)


async def test_an_image_of_a_server(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None], server_id: str
) -> None:
    async with cloud.watching(server_id) as shown:
        with cloud.slow("snapshot"):
            arguments = {"name": "contract-image", "metadata": {"mine": "yes"}}
            seen = await cloud.member.act(server_id, "createImage", arguments)
            refused_by_a_task(await cloud.member.act(server_id, "os-stop"), "stop")
        await cloud.member.settled(server_id, "ACTIVE")
    answer("create-image", seen)
    states("create-image", shown)
    image = await cloud.member.get(f"/image/v2/images/{seen.body['image_id']}")
    assert [image["status"]] in UPLOADED
    assert image["visibility"] == "private"
    assert (image["mine"], image["image_type"], image["instance_uuid"]) == ("yes", "snapshot", server_id)
    old = await cloud.member.act(server_id, "createImage", {"name": "contract-image-old"}, version="2.44")
    answer("create-image-2.44", old)
    cloud.ledger.note(cloud.member, f"/image/v2/images/{old.headers['Location'].rsplit('/', 1)[1]}")
    await cloud.member.settled(server_id, "ACTIVE")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("nameless", {}), ("name-empty", {"name": ""}), ("metadata-number", {"name": "x", "metadata": {"k": 1}})],
)
async def test_an_image_with_a_mistake(
    cloud: Cloud, answer: Callable[..., None], server_id: str, name: str, arguments: Any
) -> None:
    answer(f"create-image-{name}", await cloud.member.act(server_id, "createImage", arguments))


async def test_a_deleted_server_shows_deleted_before_it_is_gone(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    server = await cloud.member.active("contract-doomed")
    path = server_path(server["id"])
    async with cloud.watching(server["id"]) as shown:
        with cloud.slow("deleting"):
            answer("delete", await cloud.member.call("DELETE", path))
            answer("delete-while-deleting", await cloud.member.call("DELETE", path))
            answer("conflict-stop-while-deleting", await cloud.member.act(server["id"], "os-stop"))
        await cloud.member.gone(path)
    states("delete", shown)
    answer("delete-twice", await cloud.member.call("DELETE", path))
    answer("deleted-show", await cloud.member.call("GET", path))
    answer("deleted-actions", await cloud.member.call("GET", f"{path}/os-instance-actions"))
    await ports_gone(cloud, server["id"])


async def ports_gone(cloud: Cloud, server_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.get(f"/network/v2.0/ports?device_id={server_id}"))["ports"]:
            await asyncio.sleep(LOOK_EVERY_S)


async def test_deleting_before_there_is_a_host_is_404_at_once(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    with cloud.slow("scheduling"):
        server_id = await cloud.member.created("contract-early")
        async with cloud.watching(server_id, from_birth=True) as shown:
            answer("delete-early", await cloud.member.call("DELETE", server_path(server_id)))
            await cloud.member.gone(server_path(server_id))
    states("delete-early", shown)


async def test_deleting_while_spawning_shows_active_without_an_address(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    with cloud.slow("spawning"):
        server_id = await cloud.member.created("contract-spawning")
        await until_task(cloud, server_id, "spawning")
        async with cloud.watching(server_id) as shown:
            answer("delete-while-spawning", await cloud.member.call("DELETE", server_path(server_id)))
            await cloud.member.gone(server_path(server_id))
    states("delete-while-spawning", shown)
    await ports_gone(cloud, server_id)


async def test_deleting_in_error_is_404_at_once(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    server_id = await cloud.member.created("contract-error", flavorRef=cloud.names.nowhere_flavor)
    await cloud.member.settled(server_id, "ERROR")
    async with cloud.watching(server_id) as shown:
        answer("delete-in-error", await cloud.member.call("DELETE", server_path(server_id)))
        answer("delete-in-error-show", await cloud.member.call("GET", server_path(server_id)))
    states("delete-in-error", shown)


async def test_deleting_an_offloaded_server_takes_its_image_along(cloud: Cloud, states: Callable[..., None]) -> None:
    server = await cloud.member.active("contract-kept")
    await cloud.member.act(server["id"], "shelve")
    await cloud.member.settled(server["id"], "SHELVED_OFFLOADED")
    async with cloud.watching(server["id"]) as shown:
        assert (await cloud.member.call("DELETE", server_path(server["id"]))).status == 204
        await cloud.member.gone(server_path(server["id"]))
    states("delete-offloaded", shown)
    await image_gone(cloud, "contract-kept-shelved")


async def test_an_admin_finds_a_deleted_server_in_a_list(cloud: Cloud) -> None:
    server_id = await cloud.member.created("contract-tomb", flavorRef=cloud.names.nowhere_flavor)
    # Before that, Nova may have nothing but the request, which leaves no record.
    await cloud.member.settled(server_id, "ERROR")
    await cloud.member.call("DELETE", server_path(server_id))
    await cloud.member.gone(server_path(server_id))
    query = "/compute/v2.1/servers/detail?deleted=true&all_tenants=1&name=contract-tomb"
    found = {server["id"]: server["status"] for server in (await cloud.admin.get(query))["servers"]}
    assert found[server_id] == "DELETED"
    assert (await cloud.admin.call("GET", server_path(server_id))).status == 404
