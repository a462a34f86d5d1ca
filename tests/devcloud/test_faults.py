"""The fault script: each effect does what it says, to the calls it says, and to no other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.devcloud.client import Scene, devcloud

CREATE = {"operation": "compute.servers.create"}


async def arm(scene: Scene, effect: dict[str, Any], *, match: Any = None, when: Any = None) -> None:
    rule = {"name": "under-test", "match": match or CREATE, "when": when or {}, "effect": effect}
    seen = await scene.nobody.call("POST", "/devcloud/faults", rule)
    assert seen.status == 200, seen.body


async def names(scene: Scene) -> list[str]:
    return [server["name"] for server in (await scene.hub.get("/compute/v2.1/servers"))["servers"]]


async def test_an_answer_lost_after_doing_leaves_a_server_behind(scene: Scene) -> None:
    await arm(scene, {"lose": "after"}, when={"count": 1})
    with pytest.raises(aiohttp.ClientError):
        await scene.hub.create("lost")
    assert await names(scene) == ["lost"]


async def test_an_answer_lost_before_doing_leaves_nothing_behind(scene: Scene) -> None:
    await arm(scene, {"lose": "before"}, when={"count": 1})
    with pytest.raises(aiohttp.ClientError):
        await scene.hub.create("lost")
    assert await names(scene) == []


async def test_a_status_stands_in_place_of_doing(scene: Scene) -> None:
    await arm(scene, {"status": 503, "body": "<html>no</html>", "headers": {"Retry-After": "7"}}, when={"count": 1})
    seen = await scene.hub.create()
    assert (seen.status, seen.body, seen.headers["Retry-After"]) == (503, "<html>no</html>", "7")
    assert await names(scene) == []


async def test_a_503_can_hide_a_success(scene: Scene) -> None:
    await arm(scene, {"status": 503, "done": True}, when={"count": 1})
    assert (await scene.hub.create("hidden")).status == 503
    assert await names(scene) == ["hidden"]


async def test_only_the_nth_call_is_struck(scene: Scene) -> None:
    await arm(scene, {"status": 500}, match={"operation": "compute.limits.show"}, when={"nth": 2})
    answers = [(await scene.hub.call("GET", "/compute/v2.1/limits")).status for _ in range(4)]
    assert answers == [200, 500, 200, 200]


async def test_a_rule_can_single_out_a_server_by_name(scene: Scene) -> None:
    await arm(scene, {"status": 500}, match={**CREATE, "server": "bad-*"})
    assert (await scene.hub.create("good")).status == 202
    assert (await scene.hub.create("bad-one")).status == 500


async def test_an_action_is_known_by_its_own_name(scene: Scene) -> None:
    await arm(scene, {"status": 500}, match={"operation": "compute.servers.shelve"})
    server = await scene.hub.active()
    assert (await scene.hub.act(server["id"], "lock")).status == 202
    assert (await scene.hub.act(server["id"], "shelve")).status == 500


async def test_a_server_stuck_in_build_stays_there_and_can_be_deleted(scene: Scene) -> None:
    await arm(scene, {"stuck": "spawning"}, when={"count": 1})
    stuck = await scene.hub.created("stuck")
    await scene.hub.active("fine")
    assert (await scene.hub.server(stuck))["OS-EXT-STS:task_state"] == "spawning"
    await scene.hub.call("DELETE", f"/compute/v2.1/servers/{stuck}")
    await scene.hub.gone(f"/compute/v2.1/servers/{stuck}")


async def test_a_server_stuck_in_deleting_stays_there(scene: Scene) -> None:
    await arm(scene, {"stuck": "deleting"}, match={"operation": "compute.servers.delete", "server": "stuck"})
    stuck, fine = await scene.hub.active("stuck"), await scene.hub.active("fine")
    for server in (stuck, fine):
        await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    await scene.hub.gone(f"/compute/v2.1/servers/{fine['id']}")
    assert (await scene.hub.server(stuck["id"]))["OS-EXT-STS:task_state"] == "deleting"


async def test_a_scripted_error_becomes_the_servers_fault(scene: Scene) -> None:
    await arm(scene, {"error": "Failed to allocate the network(s), not rescheduling.", "error_phase": "networking"})
    server = await scene.hub.settled(await scene.hub.created(), "ERROR")
    assert server["fault"]["message"] == "Failed to allocate the network(s), not rescheduling."


async def test_addresses_can_come_late(scene: Scene) -> None:
    await arm(scene, {"addresses": "late"})
    server = await scene.hub.active()
    async with asyncio.timeout(10):
        while not (await scene.hub.server(server["id"]))["addresses"]:
            await asyncio.sleep(0.01)
    assert scene.history[server["id"]][-2:] == ["ACTIVE/None no address", "ACTIVE/None"]


async def test_addresses_can_come_early(scene: Scene) -> None:
    await arm(scene, {"addresses": "early", "stuck": "spawning"})
    server_id = await scene.hub.created()
    async with asyncio.timeout(10):
        while not (await scene.hub.server(server_id))["addresses"]:
            await asyncio.sleep(0.01)
    assert (await scene.hub.server(server_id))["status"] == "BUILD"


async def test_a_dead_guest_and_a_slow_boot_reach_the_machine(scene: Scene) -> None:
    await arm(scene, {"guest": "dead", "boot_seconds": 600})
    server = await scene.hub.active()
    spec = scene.machines.on[server["id"]]
    assert (spec.guest_dead, spec.boot_seconds) == (True, 600)


async def test_a_removed_rule_strikes_no_more(scene: Scene) -> None:
    await arm(scene, {"status": 500})
    await scene.nobody.call("DELETE", "/devcloud/faults/under-test")
    assert (await scene.hub.create()).status == 202


async def test_counts_of_matches_and_strikes_are_shown(scene: Scene) -> None:
    await arm(scene, {"status": 500}, when={"count": 1})
    await scene.hub.create()
    await scene.hub.create()
    shown = (await scene.nobody.get("/devcloud/faults"))["faults"][0]
    assert (shown["name"], shown["matched"], shown["struck"]) == ("under-test", 2, 1)


async def test_a_rule_that_does_nothing_is_one_clear_sentence(scene: Scene) -> None:
    seen = await scene.nobody.call("POST", "/devcloud/faults", {"name": "idle", "effect": {}})
    assert seen.status == 400
    assert "effect: this effect does nothing" in seen.body["error"]


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
async def test_a_web_page_cannot_use_the_control_api(scene: Scene, header: dict[str, str]) -> None:
    assert (await scene.nobody.call("POST", "/devcloud/reset", headers=header)).status == 403


async def test_an_instance_cannot_use_the_control_api(scene: Scene) -> None:
    server = await scene.hub.active()
    address = server["addresses"]["auto_allocated_network"][0]["addr"]
    from_inside = aiohttp.TCPConnector(local_addr=(address, 0))
    async with (
        aiohttp.ClientSession(connector=from_inside) as http,
        http.post(f"{scene.running.url}/devcloud/reset") as answer,
    ):
        assert answer.status == 403


async def test_reset_is_the_first_state_with_the_same_credentials(scene: Scene) -> None:
    server = await scene.hub.active()
    await scene.nobody.call("POST", "/devcloud/reset")
    assert await names(scene) == []
    assert not scene.machines.running(server["id"])
    await scene.hub.active("again")


async def test_calls_are_counted_by_operation(scene: Scene) -> None:
    await scene.nobody.call("DELETE", "/devcloud/calls")
    await scene.hub.call("GET", "/compute/v2.1/limits")
    assert await scene.nobody.get("/devcloud/calls") == {"total": 1, "calls": {"compute.limits.show": 1}}


async def test_a_script_of_a_file_is_in_force_from_the_start(tmp_path: Path) -> None:
    from js2spawner.devcloud.script import read_script

    file = tmp_path / "faults.yaml"
    file.write_text(
        "seed: 7\ncapacity: {m3.tiny: 0}\nfaults: [{name: a, effect: {status: 500}, match: {path: '*/limits'}}]\n"
    )
    async with devcloud(tmp_path / "cloud", script=read_script(file)) as scene:
        assert (await scene.hub.call("GET", "/compute/v2.1/limits")).status == 500
        await scene.hub.settled(await scene.hub.created(), "ERROR")
