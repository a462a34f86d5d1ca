"""What a devcloud was told survives its end, and it goes on where it stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.devcloud.script import Script
from js2spawner.devcloud.server import CannotStart, Options, running
from tests.devcloud.client import QUICK, devcloud


def slow(phase: str) -> Script:
    script = QUICK.model_copy(deep=True)
    script.latencies.phases[phase] = 600
    return script


async def test_a_server_is_found_again_and_its_machine_powered_on(tmp_path: Path) -> None:
    async with devcloud(tmp_path) as scene:
        server = await scene.hub.active(tags=["mine"], metadata={"a": "b"})
        machines = scene.machines
    assert not machines.running(server["id"])
    async with devcloud(tmp_path) as scene:
        again = await scene.hub.settled(server["id"], "ACTIVE")
        assert (again["addresses"], again["tags"], again["metadata"]) == (server["addresses"], ["mine"], {"a": "b"})
        assert scene.machines.running(server["id"])


async def test_a_server_that_was_building_goes_on_building(tmp_path: Path) -> None:
    async with devcloud(tmp_path, script=slow("spawning")) as scene:
        server_id = await scene.hub.created()
    async with devcloud(tmp_path) as scene:
        await scene.hub.settled(server_id, "ACTIVE")


async def test_a_server_that_was_being_deleted_is_deleted(tmp_path: Path) -> None:
    async with devcloud(tmp_path, script=slow("deleting")) as scene:
        server = await scene.hub.active()
        await scene.hub.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    async with devcloud(tmp_path) as scene:
        await scene.hub.gone(f"/compute/v2.1/servers/{server['id']}")


async def test_credentials_tokens_and_the_range_of_addresses_stay(tmp_path: Path) -> None:
    async with devcloud(tmp_path) as scene:
        clouds, token, addresses = scene.clouds, scene.hub.token, scene.cloud.settings.addresses
        port = int(scene.running.url.rpartition(":")[2])
    async with devcloud(tmp_path, port=port) as scene:
        assert scene.clouds == clouds
        assert scene.cloud.settings.addresses == addresses
        scene.nobody.token = token
        assert (await scene.nobody.call("GET", "/compute/v2.1/servers")).status == 200


async def test_clouds_yaml_is_for_its_owner_only(tmp_path: Path) -> None:
    async with devcloud(tmp_path) as scene:
        assert scene.running.clouds_yaml.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "state.sqlite").stat().st_mode & 0o777 == 0o600


async def test_no_secret_stands_in_the_state_file(tmp_path: Path) -> None:
    async with devcloud(tmp_path) as scene:
        secrets = [
            scene.clouds["devcloud"]["auth"]["application_credential_secret"],
            scene.clouds["devcloud-admin"]["auth"]["password"],
            scene.hub.token,
        ]
    written = b"".join(path.read_bytes() for path in tmp_path.glob("state.sqlite*"))
    assert not [secret for secret in secrets if secret.encode() in written]


async def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    async with devcloud(tmp_path / "first") as scene:
        port = int(scene.running.url.rpartition(":")[2])
        with pytest.raises(CannotStart, match=rf"^Port {port} on 127.0.0.1 cannot be used .*; choose another\.$"):
            async with running(Options(tmp_path / "second", port)):
                pass


async def test_a_directory_has_one_devcloud_at_a_time(tmp_path: Path) -> None:
    async with devcloud(tmp_path):
        with pytest.raises(CannotStart, match="Another devcloud is running in"):
            async with running(Options(tmp_path)):
                pass


async def test_two_directories_give_their_instances_different_addresses(tmp_path: Path) -> None:
    async with devcloud(tmp_path / "first") as first, devcloud(tmp_path / "second") as second:
        assert not first.cloud.settings.addresses.overlaps(second.cloud.settings.addresses)


async def test_another_range_for_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with devcloud(tmp_path, addresses="127.77.0.0/24"):
        pass
    with pytest.raises(CannotStart, match=r"was first started with --cidr 127\.77\.0\.0/24"):
        async with running(Options(tmp_path, addresses="127.78.0.0/24")):
            pass
