"""The states a server goes through are those of the real Nova, in its order."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.devcloud.client import QUICK, Scene, devcloud


async def test_a_create_goes_through_the_recorded_states_and_has_no_address_before_active(scene: Scene) -> None:
    server = await scene.hub.active()
    assert scene.history[server["id"]] == [
        "BUILD/scheduling no address",
        "BUILD/None no address",
        "BUILD/networking no address",
        "BUILD/spawning no address",
        "ACTIVE/None",
    ]


async def test_a_deleted_server_is_404_and_its_address_and_machine_are_free(scene: Scene) -> None:
    server = await scene.hub.active()
    assert scene.machines.running(server["id"])
    assert (await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")).status == 204
    await scene.hub.gone(f"/compute/v2.1/servers/{server['id']}")
    assert not scene.machines.running(server["id"])
    assert (await scene.hub.get("/network/v2.0/ports"))["ports"] == []
    assert scene.history[server["id"]][-2:] == ["ACTIVE/deleting", "DELETED/None no address"]


async def test_deleting_while_spawning_shows_active_without_an_address_before_the_end(tmp_path: Any) -> None:
    slow = QUICK.model_copy(deep=True)
    slow.latencies.phases["spawning"] = 60
    async with devcloud(tmp_path, script=slow) as scene:
        server_id = await scene.hub.created()
        async with asyncio.timeout(10):
            while scene.history[server_id][-1] != "BUILD/spawning no address":
                await asyncio.sleep(0.01)
        await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server_id}")
        await scene.hub.gone(f"/compute/v2.1/servers/{server_id}")
    assert scene.history[server_id][-3:] == [
        "BUILD/deleting no address",
        "ACTIVE/None no address",
        "DELETED/None no address",
    ]


async def test_deleting_before_a_host_is_chosen_is_404_at_once(tmp_path: Any) -> None:
    slow = QUICK.model_copy(deep=True)
    slow.latencies.phases["scheduling"] = 60
    async with devcloud(tmp_path, script=slow) as scene:
        server_id = await scene.hub.created()
        assert (await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server_id}")).status == 204
        assert (await scene.hub.call("GET", f"/compute/v2.1/servers/{server_id}")).status == 404


async def test_a_flavor_that_has_run_out_is_no_valid_host(scene: Scene) -> None:
    await scene.hub.active("first", flavor="g3.xl")
    server = await scene.hub.settled(await scene.hub.created("second", flavor="g3.xl"), "ERROR")
    assert server["fault"]["message"].startswith("No valid host was found. ")
    assert server["fault"]["code"] == 500
    assert "details" not in server["fault"]
    assert server["addresses"] == {}
    assert (await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")).status == 204
    assert (await scene.hub.call("GET", f"/compute/v2.1/servers/{server['id']}")).status == 404


async def test_room_is_given_back_by_a_delete(scene: Scene) -> None:
    server = await scene.hub.active("first", flavor="g3.xl")
    await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    await scene.hub.gone(f"/compute/v2.1/servers/{server['id']}")
    await scene.hub.active("second", flavor="g3.xl")


async def test_stop_and_start_keep_the_address(scene: Scene) -> None:
    server = await scene.hub.active()
    assert (await scene.hub.act(server["id"], "os-stop")).status == 202
    off = await scene.hub.settled(server["id"], "SHUTOFF")
    assert not scene.machines.running(server["id"])
    assert off["addresses"] == server["addresses"]
    await scene.hub.act(server["id"], "os-start")
    assert (await scene.hub.settled(server["id"], "ACTIVE"))["addresses"] == server["addresses"]
    assert scene.machines.running(server["id"])


async def test_a_reboot_shows_reboot_and_then_active(scene: Scene) -> None:
    server = await scene.hub.active()
    await scene.hub.act(server["id"], "reboot", {"type": "SOFT"})
    await scene.hub.settled(server["id"], "ACTIVE")
    assert scene.history[server["id"]][-3:] == ["REBOOT/rebooting", "REBOOT/reboot_started", "ACTIVE/None"]


async def test_shelve_offloads_and_its_image_is_gone_after_unshelve(scene: Scene) -> None:
    server = await scene.hub.active("kept")
    await scene.hub.act(server["id"], "shelve")
    shelved = await scene.hub.settled(server["id"], "SHELVED_OFFLOADED")
    assert shelved["addresses"] == server["addresses"]
    assert shelved["OS-EXT-STS:power_state"] == 4
    images = (await scene.hub.get("/image/v2/images?name=kept-shelved"))["images"]
    assert [image["status"] for image in images] == ["active"]
    await scene.hub.act(server["id"], "unshelve")
    await scene.hub.settled(server["id"], "ACTIVE")
    assert (await scene.hub.get("/image/v2/images?name=kept-shelved"))["images"] == []
    assert "SHELVED/shelving_offloading" in scene.history[server["id"]]
    assert "SHELVED_OFFLOADED/spawning" in scene.history[server["id"]]


async def test_a_failed_unshelve_is_shelved_offloaded_again_and_never_error(scene: Scene) -> None:
    server = await scene.hub.active("first", flavor="g3.xl")
    await scene.hub.act(server["id"], "shelve")
    await scene.hub.settled(server["id"], "SHELVED_OFFLOADED")
    await scene.hub.active("second", flavor="g3.xl")
    await scene.hub.act(server["id"], "unshelve")
    await scene.hub.settled(server["id"], "SHELVED_OFFLOADED")
    assert not any("ERROR" in state for state in scene.history[server["id"]])
    actions = (await scene.hub.get(f"/compute/v2.1/servers/{server['id']}/os-instance-actions"))["instanceActions"]
    assert (actions[0]["action"], actions[0]["message"]) == ("unshelve", "Error")


async def test_an_instance_that_powers_itself_off_is_shutoff(scene: Scene) -> None:
    server = await scene.hub.active()
    await scene.machines.power_off(server["id"])
    await scene.hub.settled(server["id"], "SHUTOFF")


async def test_an_image_of_a_server_becomes_active(scene: Scene) -> None:
    server = await scene.hub.active()
    image_id = (await scene.hub.act(server["id"], "createImage", {"name": "mine"})).body["image_id"]
    await scene.hub.settled(server["id"], "ACTIVE")
    image = await scene.hub.get(f"/image/v2/images/{image_id}")
    assert (image["status"], image["visibility"]) == ("active", "private")


async def test_rebuild_gives_a_new_launch_and_keeps_the_address(scene: Scene) -> None:
    server = await scene.hub.active()
    other_image = await scene.hub.image_id("js2-minimal")
    await scene.hub.act(server["id"], "rebuild", {"imageRef": other_image})
    rebuilt = await scene.hub.settled(server["id"], "ACTIVE")
    assert rebuilt["image"]["id"] == other_image
    assert rebuilt["addresses"] == server["addresses"]


async def test_resize_waits_for_its_confirmation(scene: Scene) -> None:
    server = await scene.hub.active()
    await scene.hub.act(server["id"], "resize", {"flavorRef": await scene.hub.flavor_id("m3.small")})
    await scene.hub.settled(server["id"], "VERIFY_RESIZE")
    assert (await scene.hub.act(server["id"], "confirmResize")).status == 204
    assert (await scene.hub.server(server["id"]))["flavor"]["original_name"] == "m3.small"
