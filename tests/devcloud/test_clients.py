"""The unmodified client library and command line of OpenStack work against a devcloud."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import openstack
import openstack.exceptions
import pytest

from tests.devcloud.client import Scene

OPENSTACK = Path(sys.executable).parent / "openstack"


def connected(scene: Scene, entry: str = "devcloud") -> Any:
    config = openstack.config.OpenStackConfig(config_files=[str(scene.running.clouds_yaml)], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(entry))


async def test_the_library_creates_watches_and_deletes_a_server(scene: Scene) -> None:
    def work() -> None:
        with connected(scene) as cloud:
            image, flavor = cloud.image.find_image("Featured-Ubuntu24"), cloud.compute.find_flavor("m3.small")
            server = cloud.compute.create_server(
                name="sdk", image_id=image.id, flavor_id=flavor.id, networks="auto", user_data="I2Nsb3VkLWNvbmZpZwo="
            )
            server = cloud.compute.wait_for_server(server, interval=0.05, wait=20)
            assert server.addresses["auto_allocated_network"][0]["addr"].startswith("127.")
            assert [each.id for each in cloud.compute.servers(details=True)] == [server.id]
            cloud.compute.add_tag_to_server(server, "hub")
            cloud.compute.set_server_metadata(server, owner="alice")
            assert cloud.compute.get_server(server.id).metadata == {"owner": "alice"}
            cloud.compute.delete_server(server)
            cloud.compute.wait_for_delete(server, interval=0.05, wait=20)

    await asyncio.to_thread(work)


async def test_the_library_handles_networks_volumes_images_and_limits(scene: Scene) -> None:
    def work() -> None:
        with connected(scene) as cloud:
            group = cloud.network.create_security_group(name="js2")
            cloud.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
            )
            assert cloud.network.find_security_group("js2").id == group.id
            port = cloud.network.create_port(network_id=cloud.network.find_network("auto_allocated_network").id)
            cloud.network.set_tags(port, ["js2"])
            assert [each.id for each in cloud.network.ports(tags="js2")] == [port.id]
            volume = cloud.block_storage.create_volume(size=1, name="home", metadata={"user": "alice"})
            cloud.block_storage.wait_for_status(volume, "available", interval=0.05, wait=20)
            cloud.block_storage.delete_volume(volume)
            image = cloud.image.create_image(
                name="own", data=b"bytes", disk_format="raw", container_format="bare", wait=True
            )
            assert cloud.image.get_image(image.id).status == "active"
            assert cloud.compute.get_limits().absolute.instances == 25
            assert cloud.network.get_auto_allocated_topology(cloud.current_project_id).id

    await asyncio.to_thread(work)


async def test_the_library_raises_its_own_errors(scene: Scene) -> None:
    def work() -> None:
        with connected(scene) as cloud, pytest.raises(openstack.exceptions.NotFoundException):
            cloud.compute.get_server("11111111-1111-1111-1111-111111111111")

    await asyncio.to_thread(work)


async def test_the_library_cannot_sign_in_with_a_credential_that_is_gone(scene: Scene) -> None:
    def work() -> None:
        clouds = scene.running.clouds_yaml
        clouds.write_text(
            clouds.read_text().replace(scene.clouds["devcloud"]["auth"]["application_credential_id"], "nope")
        )
        with connected(scene) as cloud, pytest.raises(openstack.exceptions.SDKException, match="404"):
            cloud.authorize()

    await asyncio.to_thread(work)


async def test_the_command_line_creates_shows_and_deletes_a_server(scene: Scene) -> None:
    create = "server create --image js2-minimal --flavor m3.tiny --network auto_allocated_network --wait cli"
    created = json.loads(await run(scene, f"{create} -f json"))
    assert created["status"] == "ACTIVE"
    listed = json.loads(await run(scene, "server list -f json"))
    assert [(each["Name"], each["Image"], each["Flavor"]) for each in listed] == [("cli", "js2-minimal", "m3.tiny")]
    await run(scene, "server delete --wait cli")
    assert (await scene.hub.get("/compute/v2.1/servers"))["servers"] == []


async def run(scene: Scene, arguments: str) -> str:
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(scene.running.clouds_yaml), "OS_CLOUD": "devcloud"}
    process = await asyncio.create_subprocess_exec(
        OPENSTACK,
        *arguments.split(),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return output.decode()
