"""Keys, ports and volumes of servers, as Nova handles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing

KEYPAIRS = "/compute/v2.1/os-keypairs"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x"
NOWHERE = "11111111-1111-1111-1111-111111111111"


async def key(cloud: Cloud, **changes: Any) -> Any:
    return await cloud.member.call(
        "POST", KEYPAIRS, {"keypair": {"name": "contract-key", "public_key": KEY, **changes}}
    )


async def test_a_key_pair(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("keypair-create", await key(cloud, type="ssh"))
    answer("keypair-create-again", await key(cloud))
    answer("keypair-show", await cloud.member.call("GET", f"{KEYPAIRS}/contract-key"), loose=["id"])
    listed = (await cloud.member.get(KEYPAIRS))["keypairs"]
    assert "contract-key" in [known["keypair"]["name"] for known in listed]
    answer("keypair-delete", await cloud.member.call("DELETE", f"{KEYPAIRS}/contract-key"))
    answer("keypair-delete-again", await cloud.member.call("DELETE", f"{KEYPAIRS}/contract-key"))
    answer("keypair-show-unknown", await cloud.member.call("GET", f"{KEYPAIRS}/contract-key"))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("generated", {"public_key": None}),
        ("no-key", {"public_key": "nonsense"}),
        ("name-empty", {"name": ""}),
        ("name-slash", {"name": "a/b"}),
        ("type", {"type": "rsa"}),
    ],
)
async def test_a_key_pair_with_a_mistake(
    cloud: Cloud, answer: Callable[..., None], name: str, changes: dict[str, Any]
) -> None:
    asked = {"name": "contract-key", "public_key": KEY, **changes}
    body = {"keypair": {member: value for member, value in asked.items() if value is not None}}
    answer(f"keypair-{name}", await cloud.member.call("POST", KEYPAIRS, body))


async def test_a_key_pair_belongs_to_its_user_and_not_to_the_project(cloud: Cloud) -> None:
    await key(cloud)
    assert (await cloud.user.call("GET", f"{KEYPAIRS}/contract-key")).status == 200
    assert (await cloud.other.call("GET", f"{KEYPAIRS}/contract-key")).status == 404


async def port(cloud: Cloud, **more: Any) -> Any:
    body = {"port": {"network_id": cloud.names.network, "name": "contract-port", **more}}
    seen = await cloud.member.call("POST", "/network/v2.0/ports", body)
    assert seen.status == 201, seen
    return seen.body["port"]


async def test_a_port_made_before_the_server_outlives_it(cloud: Cloud) -> None:
    own = await port(cloud)
    server = await cloud.member.active("contract-ported", networks=[{"port": own["id"]}])
    shown = [entry["addr"] for entries in server["addresses"].values() for entry in entries]
    assert shown == [own["fixed_ips"][0]["ip_address"]]
    bound = (await cloud.member.get(f"/network/v2.0/ports/{own['id']}"))["port"]
    assert (bound["device_id"], bound["status"]) == (server["id"], "ACTIVE")
    assert bound["device_owner"].startswith("compute:")
    await cloud.member.call("DELETE", server_path(server["id"]))
    await cloud.member.gone(server_path(server["id"]))
    free = (await cloud.member.get(f"/network/v2.0/ports/{own['id']}"))["port"]
    assert (free["device_id"], free["device_owner"]) == ("", "")


async def test_a_port_that_is_in_use_is_refused_at_create(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    ports = (await cloud.member.get(f"/network/v2.0/ports?device_id={standing.active}"))["ports"]
    answer("create-port-in-use", await cloud.member.create("contract-bad", networks=[{"port": ports[0]["id"]}]))


async def test_a_servers_own_port_dies_with_it(cloud: Cloud) -> None:
    server = await cloud.member.active("contract-own-port")
    path = f"/network/v2.0/ports?device_id={server['id']}"
    assert len((await cloud.member.get(path))["ports"]) == 1
    await cloud.member.call("DELETE", server_path(server["id"]))
    await cloud.member.gone(server_path(server["id"]))
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.get(path))["ports"]:
            await asyncio.sleep(LOOK_EVERY_S)


async def volume(cloud: Cloud) -> str:
    """A new volume that may be attached."""
    asked = {"volume": {"size": 1, "name": "contract-volume"}}
    seen = await cloud.member.call("POST", "/volume/v3/volumes", asked)
    assert seen.status == 202, seen
    await volume_is(cloud, seen.body["volume"]["id"], "available")
    return str(seen.body["volume"]["id"])


async def volume_is(cloud: Cloud, volume_id: str, status: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.get(f"/volume/v3/volumes/{volume_id}"))["volume"]["status"] != status:
            await asyncio.sleep(LOOK_EVERY_S)


async def attach(cloud: Cloud, server_id: str, volume_id: str, **more: Any) -> Any:
    path = f"{server_path(server_id)}/os-volume_attachments"
    return await cloud.member.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}}, **more)


async def test_a_volume_is_attached_and_detached_through_nova(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    path = f"{server_path(standing.active)}/os-volume_attachments"
    volume_id = await volume(cloud)
    with cloud.slow("attaching"):
        answer("attach", await attach(cloud, standing.active, volume_id))
        answer("attach-while-attaching", await attach(cloud, standing.active, volume_id))
    await volume_is(cloud, volume_id, "in-use")
    answer("attach-again", await attach(cloud, standing.active, volume_id))
    in_use = await cloud.member.call("GET", f"/volume/v3/volumes/{volume_id}")
    answer("attached-volume", in_use, loose=["volume_type", "host_name", "consumes_quota", "availability_zone"])
    answer("attached-volume-delete", await cloud.member.call("DELETE", f"/volume/v3/volumes/{volume_id}"))
    for version in ("2.1", "2.61", "2.96"):
        answer(f"attachments-{version}", await cloud.member.call("GET", path, version=version))
        answer(f"attachment-{version}", await cloud.member.call("GET", f"{path}/{volume_id}", version=version))
    shown = await cloud.member.server(standing.active)
    assert [held["id"] for held in shown["os-extended-volumes:volumes_attached"]] == [volume_id]
    answer("detach", await cloud.member.call("DELETE", f"{path}/{volume_id}"))
    await volume_is(cloud, volume_id, "available")
    async with asyncio.timeout(PATIENCE_S):
        while (await cloud.member.get(path))["volumeAttachments"]:
            await asyncio.sleep(LOOK_EVERY_S)
    answer("detach-again", await cloud.member.call("DELETE", f"{path}/{volume_id}"))
    answer("attachment-unknown", await cloud.member.call("GET", f"{path}/{volume_id}"))


async def test_a_volume_that_is_not_there_cannot_be_attached(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    answer("attach-unknown", await attach(cloud, standing.active, NOWHERE))
    answer("attach-no-id", await attach(cloud, standing.active, "nope"))


async def test_nothing_is_attached_to_a_server_that_failed(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    answer("attach-when-failed", await attach(cloud, standing.failed, await volume(cloud)))


async def test_the_volume_of_a_deleted_server_is_free_again(cloud: Cloud) -> None:
    volume_id = await volume(cloud)
    server = await cloud.member.active("contract-attached")
    assert (await attach(cloud, server["id"], volume_id)).status == 200
    await volume_is(cloud, volume_id, "in-use")
    await cloud.member.call("DELETE", server_path(server["id"]))
    await cloud.member.gone(server_path(server["id"]))
    await volume_is(cloud, volume_id, "available")


async def test_a_server_that_boots_from_a_volume(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    """The volume is made from the image, and goes with the server."""
    image = {"source_type": "image", "destination_type": "volume", "uuid": cloud.names.image}
    device = {**image, "boot_index": 0, "volume_size": 20, "delete_on_termination": True}
    server_id = await cloud.member.created("contract-volume", imageRef="", block_device_mapping_v2=[device])
    async with cloud.watching(server_id, from_birth=True) as shown:
        server = await cloud.member.settled(server_id, "ACTIVE")
    states("create-from-volume", shown)
    seen = await cloud.member.call("GET", server_path(server_id))
    answer("server-from-volume", seen, loose=["vcpus", "ram", "disk", "extra_specs"])
    volume_id = server["os-extended-volumes:volumes_attached"][0]["id"]
    await cloud.member.call("DELETE", server_path(server_id))
    await cloud.member.gone(f"/volume/v3/volumes/{volume_id}")
