"""The metadata service knows who asks by the source address, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine.metadata import hostname, metadata_app, write_config_drive
from tests.devcloud.machine.conftest import a_spec

Ask = Callable[..., "aiohttp.client._RequestContextManager"]
HERE = a_spec(name="js2 alice", key="ssh-ed25519 AAAA alice", user_data=b"#cloud-config\n{}")
BARE = a_spec(user_data=b"", metadata={})


@pytest.fixture
async def service() -> AsyncIterator[TestServer]:
    known: dict[str, MachineSpec] = {spec.address: spec for spec in (HERE, BARE)}
    async with TestServer(metadata_app(known.get)) as server:
        yield server


async def get(service: TestServer, path: str, source: str = HERE.address) -> tuple[int, str]:
    async with _from(source) as session, session.get(service.make_url(path)) as answer:
        return answer.status, await answer.text()


async def post(service: TestServer, path: str, body: bytes, source: str = HERE.address) -> int:
    async with _from(source) as session, session.post(service.make_url(path), data=body) as answer:
        return answer.status


def _from(source: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(source, 0)))


async def test_an_instance_learns_its_id_name_and_metadata(service: TestServer):
    status, text = await get(service, "/openstack/latest/meta_data.json")
    told = json.loads(text)
    assert status == 200
    assert told["uuid"] == HERE.server_id
    assert (told["name"], told["hostname"]) == ("js2 alice", "js2-alice.novalocal")
    assert told["meta"] == {"js2_hub": "h1"}
    assert told["public_keys"] == {"key": "ssh-ed25519 AAAA alice"}


async def test_user_data_arrives_byte_for_byte_by_both_ways(service: TestServer):
    assert await get(service, "/openstack/latest/user_data") == (200, "#cloud-config\n{}")
    assert await get(service, "/latest/user-data") == (200, "#cloud-config\n{}")


async def test_without_user_data_there_is_none(service: TestServer):
    assert (await get(service, "/openstack/latest/user_data", BARE.address))[0] == 404
    assert (await get(service, "/latest/user-data", BARE.address))[0] == 404


@pytest.mark.parametrize("path", ["/openstack", "/openstack/latest/meta_data.json", "/latest/meta-data/", "/"])
async def test_a_stranger_is_told_that_there_is_nothing(service: TestServer, path: str):
    assert (await get(service, path, "127.0.0.1"))[0] == 404


async def test_network_data_names_the_address_and_the_port(service: TestServer):
    told = json.loads((await get(service, "/openstack/latest/network_data.json"))[1])
    assert told["networks"][0]["ip_address"] == HERE.address
    assert told["links"][0]["ethernet_mac_address"] == HERE.mac


@pytest.mark.parametrize(
    ("path", "text"),
    [
        # An id of its own, since the address is another one in each process that collects the tests.
        pytest.param("/latest/meta-data/local-ipv4", HERE.address, id="local-ipv4"),
        ("/latest/meta-data/hostname", "js2-alice.novalocal"),
        ("/2009-04-04/meta-data/instance-type", "m3.small"),
        ("/latest/meta-data/placement/availability-zone", "nova"),
        ("/latest/meta-data/placement/", "availability-zone"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA alice"),
    ],
)
async def test_the_older_paths_answer_too(service: TestServer, path: str, text: str):
    assert await get(service, path) == (200, text)


async def test_folders_list_what_is_in_them(service: TestServer):
    assert "latest" in (await get(service, "/openstack"))[1].split()
    assert "meta_data.json" in (await get(service, "/openstack/latest/"))[1].split()
    assert {"instance-id", "placement/"} <= set((await get(service, "/latest/meta-data"))[1].split())


@pytest.mark.parametrize("path", ["/openstack/1999-01-01/meta_data.json", "/openstack/latest/x", "/latest/meta-data/x"])
async def test_what_does_not_exist_is_404(service: TestServer, path: str):
    assert (await get(service, path))[0] == 404


async def test_the_password_is_written_once_and_only_for_its_instance(service: TestServer):
    assert await post(service, "/openstack/latest/password", b"proof") == 200
    assert await post(service, "/openstack/latest/password", b"forged") == 409
    assert await get(service, "/openstack/latest/password") == (200, "proof")
    assert await get(service, "/openstack/latest/password", BARE.address) == (200, "")
    assert await post(service, "/openstack/latest/password", b"x", "127.0.0.1") == 404


async def test_a_long_password_is_refused(service: TestServer):
    assert await post(service, "/openstack/latest/password", b"x" * 2000) == 413


def test_a_config_drive_holds_the_same_for_root_alone(tmp_path: Path):
    write_config_drive(tmp_path / "drive", HERE)
    latest = tmp_path / "drive" / "openstack" / "latest"
    assert json.loads((latest / "meta_data.json").read_text())["uuid"] == HERE.server_id
    assert (latest / "user_data").read_bytes() == HERE.user_data
    assert not (latest / "user_data").stat().st_mode & 0o077


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("js2 alice/Lab", "js2-alice-lab"),
        ("x" * 80, "x" * 63),
        ("--a--", "a"),
        pytest.param("日本", f"server-{HERE.server_id}", id="no letter a host name may have"),
    ],
)
def test_any_name_gives_a_host_name(name: str, expected: str):
    spec = a_spec(name=name, server_id=HERE.server_id)
    assert hostname(spec) == expected
