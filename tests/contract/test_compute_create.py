"""Creating a server: what is accepted, what is refused and in which words, and the states until it runs or fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract.client import Client, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import USER_DATA, Standing
from tests.contract.test_compute_views import OF_THE_HOST

NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("flavor", {"flavorRef": "nope"}),
        ("image", {"imageRef": NOWHERE}),
        ("image-reference", {"imageRef": "nope"}),
        ("image-missing", {"imageRef": ""}),
        ("network", {"networks": [{"uuid": NOWHERE}]}),
        ("network-reference", {"networks": [{"uuid": "nope"}]}),
        ("networks", {"networks": "somewhere"}),
        ("networks-missing", {"networks": None}),
        ("port", {"networks": [{"port": NOWHERE}]}),
        ("key", {"key_name": "nokey"}),
        ("security-group", {"security_groups": [{"name": "nope"}]}),
        ("zone", {"availability_zone": "nope"}),
        ("member", {"bogus": 1}),
        ("user-data-too-long", {"user_data": "eHh4" * 16667}),
        ("user-data-no-text", {"user_data": 1}),
        ("metadata-too-long", {"metadata": {"k": "v" * 256}}),
        ("metadata-key-too-long", {"metadata": {"k" * 256: "v"}}),
        ("metadata-key", {"metadata": {"a/b": "v"}}),
        ("metadata-number", {"metadata": {"k": 1}}),
        ("metadata-items", {"metadata": {f"k{number}": "v" for number in range(129)}}),
        ("name-empty", {"name": ""}),
        ("name-too-long", {"name": "n" * 256}),
        ("tags-51", {"tags": [f"t{number}" for number in range(51)]}),
        ("tag-slash", {"tags": ["a/b"]}),
        ("tag-comma", {"tags": ["a,b"]}),
        ("tag-too-long", {"tags": ["t" * 61]}),
        ("tag-empty", {"tags": [""]}),
        ("description-too-long", {"description": "d" * 256}),
        ("count", {"min_count": 2, "max_count": 1}),
    ],
)
async def test_a_create_with_a_mistake_is_refused(
    cloud: Cloud, answer: Callable[..., None], name: str, asked: dict[str, Any]
) -> None:
    body = await cloud.member.request_for("contract-bad")
    body["server"] |= asked
    for member in [member for member, value in asked.items() if value is None]:
        del body["server"][member]
    answer(f"create-bad-{name}", await cloud.member.call("POST", "/compute/v2.1/servers", body))


async def test_a_body_without_a_server_is_refused(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("create-bad-body", await cloud.member.call("POST", "/compute/v2.1/servers", {"instance": {}}))


async def test_a_body_that_is_no_json_is_refused(cloud: Cloud, answer: Callable[..., None]) -> None:
    headers = {"Content-Type": "application/json"}
    answer("create-bad-json", await cloud.member.call("POST", "/compute/v2.1/servers", b"{", headers=headers))


async def test_tags_in_a_create_need_microversion_2_52(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer("create-tags-2.51", await cloud.member.create("contract-tags", tags=["a"], version="2.51"))


async def test_networks_are_optional_before_2_37(cloud: Cloud) -> None:
    """Nova then takes the project's only one; of several it does not choose."""
    networks = (await cloud.member.get("/network/v2.0/networks?router:external=false"))["networks"]
    own = [network for network in networks if network["project_id"] == cloud.member.project_id]
    seen = await cloud.member.create("contract-auto", networks=None, version="2.36")
    assert seen.status == (202 if len(own) == 1 else 409), seen.body


async def test_user_data_that_is_not_base64(cloud: Cloud, answer: Callable[..., None]) -> None:
    answer(
        "create-user-data-not-base64", await cloud.member.create("contract-bad", user_data="%%%"), loose=["adminPass"]
    )


async def test_a_create_is_accepted_and_becomes_active(
    cloud: Cloud, answer: Callable[..., None], states: Callable[..., None]
) -> None:
    seen = await cloud.member.create("contract-one", user_data=USER_DATA, metadata={"k": "v"}, tags=["js2"])
    server_id = seen.body["server"]["id"]
    async with cloud.watching(server_id, from_birth=True) as shown:
        await cloud.member.settled(server_id, "ACTIVE")
    answer("create-accepted", seen, loose=["adminPass"])
    states("create", shown)


async def test_a_server_that_is_being_built_has_no_address_and_no_host(cloud: Cloud) -> None:
    with cloud.slow("scheduling"):
        server_id = await cloud.member.created("contract-early")
        server = await cloud.member.server(server_id)
        assert server["status"] == "BUILD"
        assert server["addresses"] == {}
        assert server["OS-EXT-STS:power_state"] == 0
        assert server["OS-SRV-USG:launched_at"] is None
        assert server["progress"] == 0


async def test_two_servers_of_one_create_get_numbered_names(cloud: Cloud) -> None:
    tag = "contract-two"
    first = await cloud.member.created("contract-twins", min_count=2, max_count=2, tags=[tag])
    servers = (await cloud.member.get(f"/compute/v2.1/servers?tags={tag}"))["servers"]
    for server in servers:
        if server["id"] != first:
            cloud.ledger.note(cloud.member, server_path(server["id"]))
    assert sorted(server["name"] for server in servers) == ["contract-twins-1", "contract-twins-2"]


async def test_no_valid_host_is_accepted_and_becomes_an_error(cloud: Cloud, states: Callable[..., None]) -> None:
    server_id = await cloud.member.created("contract-nowhere", flavorRef=cloud.names.nowhere_flavor)
    async with cloud.watching(server_id, from_birth=True) as shown:
        await cloud.member.settled(server_id, "ERROR")
    states("no-valid-host", shown)


async def test_no_valid_host_is_said_in_the_fault(
    cloud: Cloud, answer: Callable[..., None], standing: Standing
) -> None:
    seen = await cloud.member.call("GET", server_path(standing.failed))
    assert seen.body["server"]["fault"]["message"].startswith("No valid host was found.")
    answer("server-failed", seen, loose=["flavor"])
    as_admin = await cloud.admin.call("GET", server_path(standing.failed))
    answer("server-failed-admin", as_admin, loose=["flavor", "details", *OF_THE_HOST])


@asynccontextmanager
async def limited(cloud: Cloud, service: str, project_id: str, **limits: int) -> AsyncIterator[None]:
    """A project's quota as an admin sets it, for as long as the block lasts."""
    path, key = {
        "compute": (f"/compute/v2.1/os-quota-sets/{project_id}", "quota_set"),
        "network": (f"/network/v2.0/quotas/{project_id}", "quota"),
    }[service]
    before = (await cloud.admin.get(path))[key]
    assert (await cloud.admin.call("PUT", path, {key: limits})).status == 200
    try:
        yield
    finally:
        assert (await cloud.admin.call("PUT", path, {key: {name: before[name] for name in limits}})).status == 200


@pytest.mark.parametrize(
    "quota", [{"instances": 0}, {"cores": 0}, {"ram": 16}, {"instances": 0, "cores": 0, "ram": 16}]
)
async def test_a_create_over_a_quota_is_refused(
    cloud: Cloud, answer: Callable[..., None], quota: dict[str, int]
) -> None:
    # As the other project, so that nobody who works in the member's is disturbed.
    async with limited(cloud, "compute", cloud.other.project_id, **quota):
        seen = await cloud.other.create("contract-over", networks="none")
    answer(f"create-over-{'-'.join(quota)}", seen, numbers=True)


async def test_a_create_over_the_quota_of_ports_is_refused(cloud: Cloud, answer: Callable[..., None]) -> None:
    network_id = await network_of(cloud.other)
    async with limited(cloud, "network", cloud.other.project_id, port=0):
        seen = await cloud.other.create("contract-over", networks=[{"uuid": network_id}])
    answer("create-over-ports", seen)


async def network_of(person: Client) -> str:
    """A network of their own project, made if there is none."""
    networks = (await person.get("/network/v2.0/networks?router:external=false"))["networks"]
    for network in networks:
        if network["project_id"] == person.project_id:
            return str(network["id"])
    made = await person.call("POST", "/network/v2.0/networks", {"network": {"name": "contract-net"}})
    network_id = str(made.body["network"]["id"])
    subnet = {"network_id": network_id, "ip_version": 4, "cidr": "10.78.0.0/24"}
    assert (await person.call("POST", "/network/v2.0/subnets", {"subnet": subnet})).status == 201
    return network_id
