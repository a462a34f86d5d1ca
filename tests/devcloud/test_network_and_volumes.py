"""Security groups reach the machine, ports and volumes belong to what they should."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from js2spawner.devcloud.hypervisor import Ingress
from tests.devcloud.client import Scene


async def a_group(scene: Scene, name: str = "js2") -> str:
    body = {"security_group": {"name": name}}
    return str((await scene.hub.call("POST", "/network/v2.0/security-groups", body)).body["security_group"]["id"])


async def a_rule(scene: Scene, group_id: str, **rule: Any) -> Any:
    asked = {"security_group_id": group_id, "direction": "ingress", "protocol": "tcp", **rule}
    return await scene.hub.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": asked})


async def test_the_rules_of_a_group_are_enforced_on_the_machine_and_follow_changes(scene: Scene) -> None:
    group_id = await a_group(scene)
    await a_rule(scene, group_id, port_range_min=8888, port_range_max=8888, remote_ip_prefix="127.0.0.1/32")
    server = await scene.hub.active(security_groups=[{"name": "js2"}])
    assert scene.machines.rules[server["id"]] == (Ingress("tcp", 8888, 8888, "127.0.0.1/32"),)
    added = await a_rule(scene, group_id, port_range_min=22, port_range_max=22)
    assert Ingress("tcp", 22, 22, "0.0.0.0/0") in scene.machines.rules[server["id"]]
    rule_id = added.body["security_group_rule"]["id"]
    await scene.hub.call("DELETE", f"/network/v2.0/security-group-rules/{rule_id}")
    assert scene.machines.rules[server["id"]] == (Ingress("tcp", 8888, 8888, "127.0.0.1/32"),)


async def test_servers_of_all_projects_have_different_addresses(scene: Scene) -> None:
    servers = [await scene.hub.active(f"h{number}") for number in range(3)]
    servers.append(await scene.other.active())
    addresses = {server["addresses"]["auto_allocated_network"][0]["addr"] for server in servers}
    assert len(addresses) == 4


async def test_an_instance_outside_of_the_clouds_addresses_fails_with_the_reason(scene: Scene) -> None:
    network = (await scene.hub.call("POST", "/network/v2.0/networks", {"network": {"name": "n"}})).body["network"]
    asked = {"network_id": network["id"], "cidr": "10.77.0.0/22", "ip_version": 4}
    assert (await scene.hub.call("POST", "/network/v2.0/subnets", {"subnet": asked})).status == 201
    server = await scene.hub.settled(await scene.hub.created("out", networks=[{"uuid": network["id"]}]), "ERROR")
    assert str(scene.cloud.settings.addresses) in server["fault"]["message"]


async def test_the_metadata_service_knows_an_instance_by_its_address(scene: Scene) -> None:
    server = await scene.hub.active("asks")
    address = server["addresses"]["auto_allocated_network"][0]["addr"]
    url = f"{scene.running.url}/metadata/openstack/latest/meta_data.json"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) as inside,
        inside.get(url) as answer,
    ):
        assert (await answer.json())["uuid"] == server["id"]
    async with scene.nobody.http.get(url) as answer:
        assert answer.status == 404


async def volume(scene: Scene, status: str, volume_id: str = "", **asked: Any) -> Any:
    path = "/volume/v3/volumes"
    if not volume_id:
        seen = await scene.hub.call("POST", path, {"volume": {"size": 2, "name": "home", **asked}})
        assert seen.status == 202, seen
        volume_id = seen.body["volume"]["id"]
    async with asyncio.timeout(20):
        while True:
            found = (await scene.hub.get(f"{path}/{volume_id}"))["volume"]
            if found["status"] == status:
                return found
            await asyncio.sleep(0.01)


async def test_a_volume_is_attached_detached_and_survives_its_server(scene: Scene) -> None:
    server, home = await scene.hub.active(), await volume(scene, "available")
    attachments = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments"
    await scene.hub.call("POST", attachments, {"volumeAttachment": {"volumeId": home["id"]}})
    held = await volume(scene, "in-use", home["id"])
    assert held["attachments"][0]["server_id"] == server["id"]
    assert (await scene.hub.server(server["id"]))["os-extended-volumes:volumes_attached"][0]["id"] == home["id"]
    await scene.hub.call("DELETE", f"{attachments}/{home['id']}")
    await volume(scene, "available", home["id"])
    await scene.hub.call("POST", attachments, {"volumeAttachment": {"volumeId": home["id"]}})
    await volume(scene, "in-use", home["id"])
    await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    await scene.hub.gone(f"/compute/v2.1/servers/{server['id']}")
    assert (await volume(scene, "available", home["id"]))["attachments"] == []


async def test_nonsense_is_never_worse_than_a_well_formed_error(scene: Scene) -> None:
    for body in ([], "text", 7, {"server": []}, {"server": {"name": 1, "flavorRef": [], "networks": 3}}):
        seen = await scene.hub.call("POST", "/compute/v2.1/servers", body)
        assert seen.status == 400, (body, seen)
        assert seen.body["badRequest"]["code"] == 400


async def test_files_of_what_is_deleted_go_and_others_stay(scene: Scene) -> None:
    kept, doomed = await volume(scene, "available"), await volume(scene, "available")
    folder = scene.cloud.settings.directory / "volumes"
    assert all((folder / each["id"]).exists() for each in (kept, doomed))
    await scene.hub.call("DELETE", f"/volume/v3/volumes/{doomed['id']}")
    async with asyncio.timeout(20):
        while (folder / doomed["id"]).exists():
            await asyncio.sleep(0.01)
    assert (folder / kept["id"]).exists()


async def test_an_image_id_cannot_be_a_path(scene: Scene) -> None:
    assert (await scene.hub.call("POST", "/image/v2/images", {"id": "../../state.sqlite"})).status == 400
