from __future__ import annotations

from typing import Any

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.network import NetworkService, meaning
from js2spawner.cloud.records import SecurityGroupRule

from .stand_in import PROJECT, StandIn

V2 = "/network/v2.0"
FROM_THE_HUB = SecurityGroupRule("", "ingress", "IPv4", "tcp", 8888, 8888, "10.0.0.5/32")
OUT = {
    "id": "rule-out",
    "direction": "egress",
    "ethertype": "IPv4",
    "protocol": None,
    "port_range_min": None,
    "port_range_max": None,
    "remote_ip_prefix": None,
    "remote_group_id": None,
}
IN = {**OUT, "id": "rule-in", "direction": "ingress", "protocol": "tcp", "remote_ip_prefix": "10.0.0.5/32"} | {
    "port_range_min": 8888,
    "port_range_max": 8888,
}
PORT = {
    "id": "port-1",
    "name": "js2-a1",
    "status": "DOWN",
    "network_id": "net-1",
    "device_id": "",
    "fixed_ips": [{"subnet_id": "s", "ip_address": "10.77.2.100"}, {"subnet_id": "s6", "ip_address": "fd00::1"}],
    "security_groups": ["group-1"],
    "tags": [],
}


def group(*rules: dict[str, Any], group_id: str = "group-1", **more: Any) -> dict[str, Any]:
    plain = {"id": group_id, "name": "js2", "description": "d", "project_id": PROJECT, "created_at": "2026-11-01"}
    return {**plain, "security_group_rules": list(rules), **more}


@pytest.fixture
def network(caller: Caller) -> NetworkService:
    return NetworkService(caller)


def no_such(kind: str) -> dict[str, Any]:
    return {"NeutronError": {"type": f"{kind}NotFound", "message": f"{kind} x could not be found.", "detail": ""}}


async def test_a_network_is_found_by_id(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/networks/n1", {"network": {"id": "n1", "name": "js2-net", "router:external": False}})
    assert (await network.find_network("n1")).name == "js2-net"


async def test_a_network_is_found_by_name(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/networks/public", no_such("Network"), status=404)
    stand_in.on("GET", f"{V2}/networks", {"networks": [{"id": "n2", "name": "public", "router:external": True}]})
    assert (await network.find_network("public")).external


@pytest.mark.parametrize("found", [[], [{"id": "a", "name": "x"}, {"id": "b", "name": "x"}]])
async def test_a_name_that_does_not_mean_one_network_is_refused(
    network: NetworkService, stand_in: StandIn, found: list[Any]
) -> None:
    stand_in.on("GET", f"{V2}/networks/x", no_such("Network"), status=404)
    stand_in.on("GET", f"{V2}/networks", {"networks": found})
    with pytest.raises(errors.BadNetwork, match="called 'x'"):
        await network.find_network("x")


async def test_the_projects_own_network_is_made_at_the_first_asking(network: NetworkService, stand_in: StandIn) -> None:
    topology = {"auto_allocated_topology": {"id": "n1", "tenant_id": PROJECT}}
    stand_in.on("GET", f"{V2}/auto-allocated-topology/{PROJECT}", topology)
    stand_in.on("GET", f"{V2}/networks/n1", {"network": {"id": "n1", "name": "auto_allocated_network"}})
    assert (await network.get_me_a_network()).name == "auto_allocated_network"


async def test_a_port_gets_its_tags_in_a_second_call(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{V2}/ports", {"port": PORT}, status=201)
    stand_in.on("PUT", f"{V2}/ports/port-1/tags", {"tags": ["js2-hub-1"]})
    port = await network.create_port("net-1", "js2-a1", ["group-1"], tags=["js2-hub-1"], description="attempt a1")
    assert port.addresses == ("10.77.2.100",)
    assert port.tags == {"js2-hub-1"}
    assert stand_in.seen[0].body["port"]["security_groups"] == ["group-1"]


async def test_ports_of_one_server_are_listed(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/ports", {"ports": [PORT]})
    assert [port.id for port in await network.list_ports(device_id="server-1")] == ["port-1"]
    assert stand_in.seen[0].query == {"device_id": "server-1"}


async def test_a_port_that_is_not_there_is_gone(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("DELETE", f"{V2}/ports/x", no_such("Port"), status=404)
    with pytest.raises(errors.Gone):
        await network.delete_port("x")


async def test_a_group_of_another_project_is_not_ours(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/security-groups", {"security_groups": [group(project_id="other")]})
    assert await network.find_group("js2") is None


async def test_of_two_groups_of_one_name_all_hubs_take_the_older(network: NetworkService, stand_in: StandIn) -> None:
    newer = group(group_id="a-newer", created_at="2026-11-02")
    stand_in.on("GET", f"{V2}/security-groups", {"security_groups": [newer, group()]})
    found = await network.find_group("js2")
    assert found is not None
    assert found.id == "group-1"


async def test_a_missing_group_is_made_with_its_rules(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/security-groups", {"security_groups": []})
    stand_in.on("POST", f"{V2}/security-groups", {"security_group": group(OUT)}, status=201)
    stand_in.on("POST", f"{V2}/security-group-rules", {"security_group_rule": IN}, status=201)
    stand_in.on("GET", f"{V2}/security-groups/group-1", {"security_group": group(OUT, IN)})
    made = await network.ensure_group("js2", "d", [FROM_THE_HUB])
    assert [rule.id for rule in made.rules] == ["rule-out", "rule-in"]
    assert stand_in.calls("POST", f"{V2}/security-group-rules")[0].body["security_group_rule"] == {
        "security_group_id": "group-1",
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 8888,
        "port_range_max": 8888,
        "remote_ip_prefix": "10.0.0.5/32",
        "remote_group_id": None,
    }


async def test_a_group_that_is_complete_costs_one_call(network: NetworkService, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{V2}/security-groups", {"security_groups": [group(OUT, IN)]})
    await network.ensure_group("js2", "d", [FROM_THE_HUB])
    assert len(stand_in.seen) == 1


async def test_a_rule_another_hub_made_meanwhile_is_no_error(network: NetworkService, stand_in: StandIn) -> None:
    exists = {"type": "SecurityGroupRuleExists", "message": "Security group rule already exists.", "detail": ""}
    stand_in.on("GET", f"{V2}/security-groups", {"security_groups": [group(OUT)]})
    stand_in.on("POST", f"{V2}/security-group-rules", {"NeutronError": exists}, status=409)
    stand_in.on("GET", f"{V2}/security-groups/group-1", {"security_group": group(OUT, IN)})
    assert len((await network.ensure_group("js2", "d", [FROM_THE_HUB])).rules) == 2


def test_a_rule_means_the_same_however_it_is_written() -> None:
    written = SecurityGroupRule("x", "ingress", "ipv4", "6", 8888, 8888, "10.0.0.5")
    assert meaning(written) == meaning(FROM_THE_HUB)


def test_a_rule_with_an_address_that_is_none_is_left_for_neutron_to_judge() -> None:
    assert meaning(SecurityGroupRule("x", "ingress", "IPv4", "tcp", 1, 1, "10.0.0.500/32"))


async def test_a_group_in_use_is_a_conflict(network: NetworkService, stand_in: StandIn) -> None:
    in_use = {"NeutronError": {"type": "SecurityGroupInUse", "message": "Security Group g in use.", "detail": ""}}
    stand_in.on("DELETE", f"{V2}/security-groups/g", in_use, status=409)
    with pytest.raises(errors.Conflict):
        await network.delete_group("g")
