"""Neutron's networks, subnets and ports, as far as an instance's address depends on them."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import Client
from tests.contract.clouds import Cloud

Answer = Callable[..., None]
NOWHERE = "11111111-1111-1111-1111-111111111111"
NETWORKS, SUBNETS, PORTS = "/network/v2.0/networks", "/network/v2.0/subnets", "/network/v2.0/ports"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def network(cloud: Cloud) -> AsyncIterator[str]:
    """A network of this module's own, with the subnet 10.66.0.0/24."""
    cloud.ledger.begin()
    yield await _with_subnet(cloud.member, "contract-net", "10.66.0.0/24")
    await cloud.ledger.end()


async def test_a_network_and_its_subnet_are_made(cloud: Cloud, answer: Answer) -> None:
    loose = ["mtu", "ipv4_address_scope", "revision_number"]
    made = await cloud.member.call("POST", NETWORKS, {"network": {"name": "contract-made"}})
    answer("network-made", made, loose=loose)
    path = f"{NETWORKS}/{made.body['network']['id']}"
    subnet = {"network_id": made.body["network"]["id"], "cidr": "10.67.0.0/24", "ip_version": 4, "name": "contract-sub"}
    made_subnet = await cloud.member.call("POST", SUBNETS, {"subnet": subnet})
    answer("network-subnet-made", made_subnet, loose=["cidr", "gateway_ip", "revision_number"])
    answer("network-shown", await cloud.member.call("GET", path), loose=loose)
    answer("network-subnet-shown", await cloud.member.call("GET", _of(SUBNETS, made_subnet)), loose=["revision_number"])
    answer("network-found-by-name", await cloud.member.call("GET", f"{NETWORKS}?name=contract-made"), loose=loose)
    answer("network-changed", await cloud.member.call("PUT", path, {"network": {"name": "contract-new"}}), loose=loose)
    answer("network-subnet-deleted", await cloud.member.call("DELETE", _of(SUBNETS, made_subnet)))
    answer("network-deleted", await cloud.member.call("DELETE", path))
    answer("network-gone", await cloud.member.call("GET", path))
    answer("network-gone-again", await cloud.member.call("DELETE", path))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("bad-cidr", {"cidr": "nonsense"}),
        ("overlap", {"cidr": "10.66.0.128/25"}),
        ("no-cidr", {}),
        ("no-version", {"cidr": "10.68.0.0/24", "ip_version": None}),
        ("unknown-network", {"cidr": "10.68.0.0/24", "network_id": NOWHERE}),
    ],
)
async def test_a_subnet_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, network: str, name: str, asked: Mapping[str, Any]
) -> None:
    subnet = {"network_id": network, "ip_version": 4, **asked}
    answer(f"network-subnet-refused-{name}", await cloud.member.call("POST", SUBNETS, {"subnet": subnet}))


async def test_a_network_in_use_stays(cloud: Cloud, answer: Answer, network: str) -> None:
    seen = await _port(cloud.member, network)
    answer("network-delete-in-use", await cloud.member.call("DELETE", f"{NETWORKS}/{network}"))
    subnet = seen["fixed_ips"][0]["subnet_id"]
    answer("network-subnet-delete-in-use", await cloud.member.call("DELETE", f"{SUBNETS}/{subnet}"))


async def test_a_project_does_not_see_another_ones_networks_and_ports(
    cloud: Cloud, answer: Answer, network: str
) -> None:
    port = await _port(cloud.member, network)
    subnet = port["fixed_ips"][0]["subnet_id"]
    for what, path in (
        ("network", f"{NETWORKS}/{network}"),
        ("subnet", f"{SUBNETS}/{subnet}"),
        ("port", f"{PORTS}/{port['id']}"),
    ):
        answer(f"network-{what}-of-others", await cloud.other.call("GET", path))
        answer(f"network-{what}-of-others-delete", await cloud.other.call("DELETE", path))
    change = {"network": {"name": "mine"}}
    answer("network-of-others-change", await cloud.other.call("PUT", f"{NETWORKS}/{network}", change))
    asked = {"port": {"network_id": network}}
    answer("network-port-on-network-of-others", await cloud.other.call("POST", PORTS, asked))
    listed = await cloud.other.call("GET", f"{PORTS}?network_id={network}")
    assert listed.body == {"ports": []}


async def test_the_external_network_is_everybodys_to_see_and_nobodys_to_change(cloud: Cloud, answer: Answer) -> None:
    path = f"{NETWORKS}/{cloud.names.external_network}"
    seen = await cloud.member.call("GET", path)
    assert (seen.status, seen.body["network"]["router:external"]) == (200, True)
    answer("network-external-change", await cloud.member.call("PUT", path, {"network": {"name": "mine"}}))
    answer("network-external-delete", await cloud.member.call("DELETE", path))
    listed = (await cloud.member.call("GET", f"{NETWORKS}?router:external=true")).body["networks"]
    assert cloud.names.external_network in [each["id"] for each in listed]
    assert all(each["router:external"] for each in listed)
    own = {"network": {"name": "contract-mine", "router:external": True}}
    answer("network-external-made-by-member", await cloud.member.call("POST", NETWORKS, own))
    port = {"port": {"network_id": cloud.names.external_network, "name": "contract-outside"}}
    answer("network-port-on-external", await cloud.member.call("POST", PORTS, port), loose=["fixed_ips"])


async def test_a_port_is_made_shown_changed_and_deleted(cloud: Cloud, answer: Answer, network: str) -> None:
    loose = ["revision_number"]
    asked = {"network_id": network, "name": "contract-port", "description": "for a test"}
    made = await cloud.member.call("POST", PORTS, {"port": asked})
    answer("network-port-made", made, loose=loose)
    path = _of(PORTS, made)
    answer("network-port-shown", await cloud.member.call("GET", path), loose=loose)
    change = {"port": {"name": "contract-changed", "security_groups": []}}
    answer("network-port-changed", await cloud.member.call("PUT", path, change), loose=loose)
    listed = await cloud.member.call("GET", f"{PORTS}?name=contract-changed")
    answer("network-port-found-by-name", listed, loose=loose)
    answer("network-port-deleted", await cloud.member.call("DELETE", path))
    answer("network-port-gone", await cloud.member.call("GET", path))
    answer("network-port-gone-again", await cloud.member.call("DELETE", path))


async def test_a_port_has_the_address_it_was_asked_for(cloud: Cloud, answer: Answer, network: str) -> None:
    fixed = [{"ip_address": "10.66.0.77"}]
    port = await _port(cloud.member, network, fixed_ips=fixed)
    assert [each["ip_address"] for each in port["fixed_ips"]] == ["10.66.0.77"]
    again = {"port": {"network_id": network, "fixed_ips": fixed}}
    answer("network-port-address-taken", await cloud.member.call("POST", PORTS, again))
    listed = await cloud.member.call("GET", f"{PORTS}?fixed_ips=ip_address=10.66.0.77&network_id={network}")
    assert [each["id"] for each in listed.body["ports"]] == [port["id"]]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("address-outside", {"fixed_ips": [{"ip_address": "10.99.0.7"}]}),
        ("bad-address", {"fixed_ips": [{"ip_address": "nonsense"}]}),
        ("unknown-network", {"network_id": NOWHERE}),
        ("unknown-group", {"security_groups": [NOWHERE]}),
        ("unknown-member", {"bogus": 1}),
        ("bad-groups", {"security_groups": "default"}),
        ("name-too-long", {"name": "n" * 256}),
    ],
)
async def test_a_port_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, network: str, name: str, asked: Mapping[str, Any]
) -> None:
    port = {"network_id": network, **asked}
    answer(f"network-port-refused-{name}", await cloud.member.call("POST", PORTS, {"port": port}))


async def test_a_network_without_a_subnet_gives_no_address(cloud: Cloud) -> None:
    made = await cloud.member.call("POST", NETWORKS, {"network": {"name": "contract-bare"}})
    assert (await _port(cloud.member, made.body["network"]["id"]))["fixed_ips"] == []


async def test_a_network_runs_out_of_addresses(cloud: Cloud, answer: Answer) -> None:
    network = await _with_subnet(cloud.member, "contract-small", "10.69.0.0/30")
    await _port(cloud.member, network)
    answer("network-no-address-left", await cloud.member.call("POST", PORTS, {"port": {"network_id": network}}))


async def test_ports_are_found_by_their_tags(cloud: Cloud, answer: Answer, network: str) -> None:
    port = await _port(cloud.member, network, name="contract-tagged")
    tags = f"{PORTS}/{port['id']}/tags"
    put = await cloud.member.call("PUT", tags, {"tags": ["contract-b", "contract-a"]})
    answer("network-tags-put", replace(put, body={"tags": sorted(put.body["tags"])}))
    answer("network-tag-added", await cloud.member.call("PUT", f"{tags}/contract-c"))
    shown = await cloud.member.call("GET", tags)
    assert sorted(shown.body["tags"]) == ["contract-a", "contract-b", "contract-c"]
    for query, found in (
        ("tags=contract-a", True),
        ("tags=contract-a,contract-b", True),
        ("tags=contract-a,contract-x", False),
        ("tags-any=contract-a,contract-x", True),
        ("not-tags=contract-a", False),
    ):
        listed = await cloud.member.call("GET", f"{PORTS}?{query}&network_id={network}")
        assert (port["id"] in [each["id"] for each in listed.body["ports"]]) is found, query
    answer("network-tag-deleted", await cloud.member.call("DELETE", f"{tags}/contract-c"))
    answer("network-tag-gone", await cloud.member.call("DELETE", f"{tags}/contract-c"))
    answer("network-tags-refused", await cloud.member.call("PUT", tags, {"tags": ["t" * 256]}))
    answer("network-tags-deleted", await cloud.member.call("DELETE", tags))


async def test_a_list_comes_in_pages(cloud: Cloud, network: str) -> None:
    ids = {(await _port(cloud.member, network, name="contract-paged"))["id"] for _ in range(3)}
    base = f"{PORTS}?name=contract-paged&network_id={network}&limit=2&sort_key=id&sort_dir=asc"
    first = await cloud.member.call("GET", base)
    assert "next" in [link["rel"] for link in first.body["ports_links"]]
    marker = first.body["ports"][-1]["id"]
    second = await cloud.member.call("GET", f"{base}&marker={marker}")
    assert "next" not in [link["rel"] for link in second.body.get("ports_links", ())]
    pages = [[each["id"] for each in page.body["ports"]] for page in (first, second)]
    assert [len(page) for page in pages] == [2, 1]
    assert pages[0] + pages[1] == sorted(ids)


async def test_a_list_that_makes_no_sense_is_refused(cloud: Cloud, answer: Answer) -> None:
    answer("network-list-unknown-marker", await cloud.member.call("GET", f"{PORTS}?limit=1&marker={NOWHERE}"))
    answer("network-list-bad-limit", await cloud.member.call("GET", f"{PORTS}?limit=many"))
    answer("network-list-sort-without-direction", await cloud.member.call("GET", f"{PORTS}?sort_key=id"))
    answer("network-list-bad-sort", await cloud.member.call("GET", f"{PORTS}?sort_key=nope&sort_dir=asc"))
    answer("network-list-unknown-filter", await cloud.member.call("GET", f"{PORTS}?nope=1&name=contract-nothing"))


async def test_a_quota_is_a_conflict(cloud: Cloud, answer: Answer) -> None:
    network = await _with_subnet(cloud.other, "contract-quota", "10.70.0.0/24")
    held = (await cloud.other.get(f"/network/v2.0/quotas/{cloud.other.project_id}/details.json"))["quota"]
    used = {name: held[name]["used"] for name in ("port", "network", "subnet")}
    async with quota(cloud, **used):
        port = {"port": {"network_id": network}}
        answer("network-quota-ports", await cloud.other.call("POST", PORTS, port))
        answer("network-quota-networks", await cloud.other.call("POST", NETWORKS, {"network": {"name": "contract-q"}}))
        subnet = {"subnet": {"network_id": network, "cidr": "10.71.0.0/24", "ip_version": 4}}
        answer("network-quota-subnets", await cloud.other.call("POST", SUBNETS, subnet))


async def test_a_member_reads_its_quota_and_sets_none(cloud: Cloud, answer: Answer) -> None:
    own = f"/network/v2.0/quotas/{cloud.member.project_id}"
    seen = await cloud.member.call("GET", own)
    assert {"network", "subnet", "port", "floatingip", "security_group"} <= seen.body["quota"].keys()
    details = (await cloud.member.get(f"{own}/details.json"))["quota"]
    assert details["port"].keys() == {"limit", "used", "reserved"}
    answer("network-quota-set-by-member", await cloud.member.call("PUT", own, {"quota": {"port": 1}}))
    foreign = f"/network/v2.0/quotas/{cloud.other.project_id}"
    answer("network-quota-of-others", await cloud.member.call("GET", foreign))


async def test_the_port_that_nova_made_goes_with_the_server_and_ones_own_stays(cloud: Cloud, answer: Answer) -> None:
    own = await _port(cloud.member, cloud.names.network, name="contract-own-port")
    wanted = [{"uuid": cloud.names.network}, {"port": own["id"]}]
    server = await cloud.member.active("contract-two-ports", networks=wanted)
    listed = (await cloud.member.get(f"{PORTS}?device_id={server['id']}"))["ports"]
    addresses = {each["addr"] for held in server["addresses"].values() for each in held}
    assert {fixed["ip_address"] for port in listed for fixed in port["fixed_ips"]} == addresses
    [made] = [f"{PORTS}/{port['id']}" for port in listed if port["id"] != own["id"]]
    answer("network-port-of-server", await cloud.member.call("GET", made), loose=["revision_number"])
    answer("network-port-of-server-delete", await cloud.member.call("DELETE", made))
    bound = (await cloud.member.get(f"{PORTS}/{own['id']}"))["port"]
    assert (bound["device_id"], bound["device_owner"], bound["status"]) == (server["id"], "compute:nova", "ACTIVE")
    await cloud.member.call("DELETE", f"/compute/v2.1/servers/{server['id']}")
    await cloud.member.gone(f"/compute/v2.1/servers/{server['id']}")
    assert (await cloud.member.call("GET", made)).status == 404
    free = await cloud.member.call("GET", f"{PORTS}/{own['id']}")
    answer("network-port-set-free", free, loose=["revision_number"])


async def test_a_network_is_made_at_the_asking_where_the_cloud_is_ready_for_it(cloud: Cloud, answer: Answer) -> None:
    async with ready_to_allocate(cloud):
        own = f"/network/v2.0/auto-allocated-topology/{cloud.other.project_id}"
        seen = await cloud.other.call("GET", own)
        answer("network-auto-allocated", seen)
        assert (await cloud.other.call("GET", own)).body == seen.body
        network = await cloud.other.call("GET", f"{NETWORKS}/{seen.body['auto_allocated_topology']['id']}")
        assert network.body["network"]["name"] == "auto_allocated_network"
        foreign = f"/network/v2.0/auto-allocated-topology/{cloud.member.project_id}"
        answer("network-auto-allocated-of-others", await cloud.other.call("GET", foreign))
        dry = await cloud.other.call("GET", f"{own}?fields=dry-run")
        answer("network-auto-allocated-dry-run", dry)


@asynccontextmanager
async def quota(cloud: Cloud, **limits: int) -> AsyncIterator[None]:
    """The other project's limits in Neutron, for as long as the block lasts."""
    path = f"/network/v2.0/quotas/{cloud.other.project_id}"
    before = (await cloud.admin.get(path))["quota"]
    seen = await cloud.admin.call("PUT", path, {"quota": limits})
    assert seen.status == 200, seen
    try:
        yield
    finally:
        await cloud.admin.call("PUT", path, {"quota": {name: before[name] for name in limits}})


@asynccontextmanager
async def ready_to_allocate(cloud: Cloud) -> AsyncIterator[None]:
    """What get-me-a-network needs of an administrator: a default external network and a default pool of subnets.

    What it made for the other project is taken away again.
    """
    outside = f"{NETWORKS}/{cloud.names.external_network}"
    own = f"/network/v2.0/auto-allocated-topology/{cloud.other.project_id}"
    ready = (await cloud.other.call("GET", f"{own}?fields=dry-run")).status == 200
    if ready:
        yield
        return
    pool = {"name": "contract-pool", "prefixes": ["10.96.0.0/16"], "default_prefixlen": 26, "is_default": True}
    await cloud.admin.call("PUT", outside, {"network": {"is_default": True}})
    made = await cloud.admin.call("POST", "/network/v2.0/subnetpools", {"subnetpool": {**pool, "shared": True}})
    try:
        yield
    finally:
        await cloud.other.call("DELETE", own)
        await cloud.admin.call("DELETE", f"/network/v2.0/subnetpools/{made.body['subnetpool']['id']}")
        await cloud.admin.call("PUT", outside, {"network": {"is_default": False}})


async def _with_subnet(person: Client, name: str, cidr: str) -> str:
    made = await person.call("POST", NETWORKS, {"network": {"name": name}})
    assert made.status == 201, made
    network_id = str(made.body["network"]["id"])
    subnet = {"network_id": network_id, "cidr": cidr, "ip_version": 4, "name": name, "enable_dhcp": False}
    seen = await person.call("POST", SUBNETS, {"subnet": subnet})
    assert seen.status == 201, seen
    assert ipaddress.ip_network(seen.body["subnet"]["cidr"]) == ipaddress.ip_network(cidr)
    return network_id


async def _port(person: Client, network_id: str, **more: Any) -> Any:
    seen = await person.call("POST", PORTS, {"port": {"network_id": network_id, **more}})
    assert seen.status == 201, seen
    return seen.body["port"]


def _of(collection: str, seen: Any) -> str:
    [made] = seen.body.values()
    return f"{collection}/{made['id']}"
