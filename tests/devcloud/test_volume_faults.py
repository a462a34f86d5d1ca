"""What a fault script and the control API do to volumes, and what their owner can do about it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.devcloud.client import Scene

VOLUMES = "/volume/v3/volumes"
HOLDS = {"OpenStack-API-Version": "volume 3.27"}


async def a_volume(scene: Scene) -> str:
    seen = await scene.hub.call("POST", VOLUMES, {"volume": {"size": 1}})
    await shows(scene, seen.body["volume"]["id"], "available")
    return str(seen.body["volume"]["id"])


async def shows(scene: Scene, volume_id: str, status: str) -> Any:
    async with asyncio.timeout(20):
        while (found := (await scene.hub.get(f"{VOLUMES}/{volume_id}"))["volume"])["status"] != status:
            await asyncio.sleep(0.01)
    return found


async def holds(scene: Scene, volume_id: str) -> list[Any]:
    listed = await scene.hub.get(f"/volume/v3/attachments?volume_id={volume_id}", headers=HOLDS)
    return list(listed["attachments"])


async def fault(scene: Scene, operation: str, **effect: Any) -> None:
    rule = {"name": operation, "match": {"operation": operation}, "effect": effect}
    assert (await scene.nobody.call("POST", "/devcloud/faults", rule)).status == 200


async def attach(scene: Scene, volume_id: str) -> str:
    server = await scene.hub.active()
    path = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments"
    assert (await scene.hub.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}})).status == 200
    return f"{path}/{volume_id}"


async def test_an_attachment_that_stays_reserved_is_ended_at_cinder(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    await fault(scene, "compute.volume_attachments.create", stuck="reserving")
    await attach(scene, volume_id)
    held = await holds(scene, volume_id)
    assert [each["status"] for each in held] == ["reserved"]
    await scene.hub.call("DELETE", f"/volume/v3/attachments/{held[0]['id']}", headers=HOLDS)
    await shows(scene, volume_id, "available")


async def test_one_that_stays_attaching_is_ended_by_the_end_of_the_server_only(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    await fault(scene, "compute.volume_attachments.create", stuck="attaching")
    where = await attach(scene, volume_id)
    await shows(scene, volume_id, "attaching")
    held = await holds(scene, volume_id)
    # Cinder would ask Nova in the name of an application credential, and that is good for nothing.
    assert (await scene.hub.call("DELETE", f"/volume/v3/attachments/{held[0]['id']}", headers=HOLDS)).status == 500
    await scene.hub.call("DELETE", where.rpartition("/os-volume_attachments")[0])
    await shows(scene, volume_id, "available")


async def test_a_detaching_that_never_ends_is_taken_back_and_done_again(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    where = await attach(scene, volume_id)
    await shows(scene, volume_id, "in-use")
    await fault(scene, "compute.volume_attachments.delete", stuck="detaching")
    await scene.hub.call("DELETE", where)
    await shows(scene, volume_id, "detaching")
    await scene.nobody.call("DELETE", "/devcloud/faults")
    await scene.hub.call("POST", f"{VOLUMES}/{volume_id}/action", {"os-roll_detaching": None})
    await scene.hub.call("DELETE", where)
    await shows(scene, volume_id, "available")


async def test_an_attachment_that_fails_leaves_a_volume_that_is_free(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    await fault(scene, "compute.volume_attachments.create", error="no path to the disk", error_phase="attaching")
    where = await attach(scene, volume_id)
    await shows(scene, volume_id, "attaching")
    await shows(scene, volume_id, "available")
    assert (await scene.hub.get(where.rpartition("/")[0]))["volumeAttachments"] == []


async def test_a_volume_that_cannot_be_made_is_in_error(scene: Scene) -> None:
    await fault(scene, "volume.volumes.create", error="no space", error_phase="volume")
    seen = await scene.hub.call("POST", VOLUMES, {"volume": {"size": 1}})
    await shows(scene, seen.body["volume"]["id"], "error")


async def test_a_volume_is_believed_to_belong_to_a_server_that_is_gone(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    wrong = {"status": "in-use", "attached_to": "11111111-1111-1111-1111-111111111111"}
    await scene.nobody.call("PUT", f"/devcloud/volumes/{volume_id}", wrong)
    found = await shows(scene, volume_id, "in-use")
    assert [held["server_id"] for held in found["attachments"]] == [wrong["attached_to"]]
    path = f"/volume/v3/attachments/{(await holds(scene, volume_id))[0]['id']}"
    assert (await scene.hub.call("DELETE", path, headers=HOLDS)).status == 500
    assert (await scene.admin.call("POST", f"{VOLUMES}/{volume_id}/action", {"os-reset_status": {}})).status == 202
    await shows(scene, volume_id, "available")


async def test_a_volume_is_lost(scene: Scene) -> None:
    volume_id = await a_volume(scene)
    await scene.nobody.call("DELETE", f"/devcloud/volumes/{volume_id}")
    assert (await scene.hub.call("GET", f"{VOLUMES}/{volume_id}")).status == 404


async def test_gpus_run_out_on_every_host_and_one_hosts_card_is_broken(scene: Scene) -> None:
    servers = [await scene.hub.active(f"g{number}", flavor="g3.large") for number in range(2)]
    refused = await scene.hub.settled(await scene.hub.created("g2", flavor="g3.large"), "ERROR")
    assert refused["fault"]["message"] == "No valid host was found. "
    assert len({server["hostId"] for server in servers}) == 2
    assert (await scene.nobody.call("PUT", "/devcloud/hosts", {servers[0]["hostId"]: "silent"})).status == 200
    cards = {each.server_id: each.card for each in scene.machines.on.values()}
    assert cards == {servers[0]["id"]: "silent", servers[1]["id"]: "sound"}
    await scene.hub.call("DELETE", f"/compute/v2.1/servers/{servers[0]['id']}")
    await scene.hub.gone(f"/compute/v2.1/servers/{servers[0]['id']}")
    again = await scene.hub.active("g3", flavor="g3.large")
    assert again["hostId"] == servers[0]["hostId"]
    assert scene.machines.on[again["id"]].card == "silent"
    shown = (await scene.nobody.get("/devcloud/hosts"))["hosts"]
    assert {host for host, told in shown.items() if told["card"] == "silent"} == {"gpu1"}
