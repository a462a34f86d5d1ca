"""Neutron's security groups and floating addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import Client, Seen
from tests.contract.clouds import OPENSTACK, Cloud
from tests.contract.test_network import NOWHERE, PORTS, quota

Answer = Callable[..., None]
GROUPS, RULES = "/network/v2.0/security-groups", "/network/v2.0/security-group-rules"
FLOATING = "/network/v2.0/floatingips"
LOOSE = ("revision_number",)
_LEAKS = ("standard_attr_id", "belongs_to_default_sg")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def group(cloud: Cloud) -> AsyncIterator[str]:
    cloud.ledger.begin()
    yield await _group(cloud.member, "contract-rules")
    await cloud.ledger.end()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def routed(cloud: Cloud) -> AsyncIterator[str]:
    """A network that floating addresses reach: on the real services only with a router, which devcloud does without."""
    cloud.ledger.begin()
    if cloud.name != OPENSTACK:
        yield cloud.names.network
    else:
        made = await cloud.member.call("POST", "/network/v2.0/networks", {"network": {"name": "contract-routed"}})
        network_id = made.body["network"]["id"]
        subnet = {"network_id": network_id, "cidr": "10.72.0.0/24", "ip_version": 4}
        subnet_id = (await cloud.member.call("POST", "/network/v2.0/subnets", {"subnet": subnet})).body["subnet"]["id"]
        gateway = {"network_id": cloud.names.external_network}
        router = {"router": {"name": "contract-router", "external_gateway_info": gateway}}
        router_id = (await cloud.member.call("POST", "/network/v2.0/routers", router)).body["router"]["id"]
        interface = {"subnet_id": subnet_id}
        await cloud.member.call("PUT", f"/network/v2.0/routers/{router_id}/add_router_interface", interface)
        yield network_id
        await cloud.member.call("PUT", f"/network/v2.0/routers/{router_id}/remove_router_interface", interface)
    await cloud.ledger.end()


async def test_every_project_has_a_default_group(cloud: Cloud, answer: Answer) -> None:
    """What it lets in comes from its own members, in both families; out it lets all."""
    listed = await cloud.other.call("GET", f"{GROUPS}?name=default")
    [default] = listed.body["security_groups"]
    fresh = [rule for rule in default["security_group_rules"] if rule["remote_group_id"] in (None, default["id"])]
    ordered = _sorted({**default, "security_group_rules": fresh})
    answer("group-default", replace(listed, body={"security_group": ordered}), loose=LOOSE)
    answer("group-default-delete", await cloud.other.call("DELETE", f"{GROUPS}/{default['id']}"))
    change = {"security_group": {"name": "mine"}}
    answer("group-default-rename", await cloud.other.call("PUT", f"{GROUPS}/{default['id']}", change))
    asked = {"security_group": {"name": "default"}}
    answer("group-default-again", await cloud.other.call("POST", GROUPS, asked))


async def test_a_group_is_made_shown_changed_and_deleted(cloud: Cloud, answer: Answer) -> None:
    asked = {"security_group": {"name": "contract-group", "description": "for a test"}}
    made = await cloud.member.call("POST", GROUPS, asked)
    answer("group-made", _in_order(made), loose=LOOSE)
    path = f"{GROUPS}/{made.body['security_group']['id']}"
    answer("group-shown", _in_order(await cloud.member.call("GET", path)), loose=LOOSE)
    listed = await cloud.member.call("GET", f"{GROUPS}?name=contract-group")
    assert [each["id"] for each in listed.body["security_groups"]] == [made.body["security_group"]["id"]]
    change = {"security_group": {"name": "contract-new", "description": "changed"}}
    answer("group-changed", _in_order(await cloud.member.call("PUT", path, change)), loose=LOOSE)
    answer("group-deleted", await cloud.member.call("DELETE", path))
    answer("group-gone", await cloud.member.call("GET", path))
    answer("group-gone-again", await cloud.member.call("DELETE", path))


async def test_two_groups_may_have_one_name(cloud: Cloud) -> None:
    ids = {await _group(cloud.member, "contract-twin") for _ in range(2)}
    listed = await cloud.member.get(f"{GROUPS}?name=contract-twin")
    assert {each["id"] for each in listed["security_groups"]} == ids


async def test_a_group_in_use_stays(cloud: Cloud, answer: Answer) -> None:
    group_id = await _group(cloud.member, "contract-used")
    port = {"port": {"network_id": cloud.names.network, "name": "contract-used", "security_groups": [group_id]}}
    assert (await cloud.member.call("POST", PORTS, port)).status == 201
    answer("group-delete-in-use", await cloud.member.call("DELETE", f"{GROUPS}/{group_id}"))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("tcp", {"protocol": "tcp", "port_range_min": 8888, "port_range_max": 8888}),
        (
            "from-network",
            {"protocol": "tcp", "port_range_min": 1, "port_range_max": 9, "remote_ip_prefix": "10.0.0.7/8"},
        ),
        ("number", {"protocol": "6", "port_range_min": 2, "port_range_max": 2}),
        ("icmp", {"protocol": "icmp"}),
        ("any", {"protocol": "any", "remote_ip_prefix": "192.0.2.0/24"}),
        ("v6", {"ethertype": "IPv6", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}),
        ("all", {"remote_ip_prefix": "0.0.0.0/0"}),
    ],
)
async def test_a_rule_is_made(cloud: Cloud, answer: Answer, group: str, name: str, asked: Mapping[str, Any]) -> None:
    made = await _rule(cloud.member, group, **asked)
    answer(f"group-rule-{name}", made, loose=LOOSE)
    path = f"{RULES}/{made.body['security_group_rule']['id']}"
    shown = await cloud.member.call("GET", path)
    assert shown.body["security_group_rule"].items() >= asked.items() - {("protocol", "any"), *_rewritten(asked)}
    answer(
        "group-rule-again" if name == "tcp" else f"group-rule-{name}-again", await _rule(cloud.member, group, **asked)
    )
    assert (await cloud.member.call("DELETE", path)).status == 204


async def test_a_rule_lets_in_the_members_of_a_group(cloud: Cloud, answer: Answer, group: str) -> None:
    tcp = {"protocol": "tcp", "port_range_min": 7, "port_range_max": 7}
    answer("group-rule-remote-group", await _rule(cloud.member, group, **tcp, remote_group_id=group), loose=LOOSE)


async def test_a_rule_goes_and_the_group_shows_it(cloud: Cloud, answer: Answer, group: str) -> None:
    made = await _rule(cloud.member, group, protocol="udp", port_range_min=53, port_range_max=53)
    rule_id = made.body["security_group_rule"]["id"]
    answer("group-rule-deleted", await cloud.member.call("DELETE", f"{RULES}/{rule_id}"))
    answer("group-rule-gone", await cloud.member.call("GET", f"{RULES}/{rule_id}"))
    answer("group-rule-gone-again", await cloud.member.call("DELETE", f"{RULES}/{rule_id}"))
    shown = (await cloud.member.get(f"{GROUPS}/{group}"))["security_group"]
    assert rule_id not in [rule["id"] for rule in shown["security_group_rules"]]
    listed = (await cloud.member.get(f"{RULES}?security_group_id={group}"))["security_group_rules"]
    assert {rule["id"] for rule in listed} == {rule["id"] for rule in shown["security_group_rules"]}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("bad-direction", {"direction": "sideways"}),
        ("bad-ethertype", {"ethertype": "IPv5"}),
        ("bad-protocol", {"protocol": "nope"}),
        ("bad-port", {"protocol": "tcp", "port_range_min": 70000, "port_range_max": 70000}),
        ("ports-reversed", {"protocol": "tcp", "port_range_min": 9, "port_range_max": 8}),
        ("one-port", {"protocol": "tcp", "port_range_min": 9}),
        ("ports-without-protocol", {"port_range_min": 9, "port_range_max": 9}),
        ("bad-prefix", {"remote_ip_prefix": "nonsense"}),
        ("prefix-of-other-family", {"ethertype": "IPv6", "remote_ip_prefix": "192.0.2.0/24"}),
        ("two-remotes", {"remote_ip_prefix": "192.0.2.0/24", "remote_group_id": NOWHERE}),
        ("unknown-remote", {"remote_group_id": NOWHERE}),
        ("unknown-group", {"security_group_id": NOWHERE}),
        ("unknown-member", {"bogus": 1}),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, group: str, name: str, asked: Mapping[str, Any]
) -> None:
    answer(f"group-rule-refused-{name}", await _rule(cloud.member, group, **asked))


async def test_a_project_does_not_see_another_ones_groups(cloud: Cloud, answer: Answer, group: str) -> None:
    answer("group-of-others", await cloud.other.call("GET", f"{GROUPS}/{group}"))
    answer("group-of-others-delete", await cloud.other.call("DELETE", f"{GROUPS}/{group}"))
    answer("group-of-others-rule", await _rule(cloud.other, group, protocol="tcp"))
    assert (await cloud.other.get(f"{GROUPS}?name=contract-rules"))["security_groups"] == []
    rule_id = (await cloud.member.get(f"{RULES}?security_group_id={group}"))["security_group_rules"][0]["id"]
    answer("group-rule-of-others", await cloud.other.call("GET", f"{RULES}/{rule_id}"))


async def test_a_quota_of_groups_is_a_conflict(cloud: Cloud, answer: Answer) -> None:
    group_id = await _group(cloud.other, "contract-quota")
    held = (await cloud.other.get(f"/network/v2.0/quotas/{cloud.other.project_id}/details.json"))["quota"]
    used = {name: held[name]["used"] for name in ("security_group", "security_group_rule")}
    async with quota(cloud, **used):
        answer("group-quota", await cloud.other.call("POST", GROUPS, {"security_group": {"name": "contract-more"}}))
        answer("group-rule-quota", await _rule(cloud.other, group_id, protocol="tcp"))


async def test_a_floating_address_comes_and_goes(cloud: Cloud, answer: Answer, routed: str) -> None:
    loose = ["revision_number", "fixed_ip_address", "floating_ip_address"]
    made = await _floating(cloud.member, cloud.names.external_network)
    answer("floating-made", made, loose=loose)
    path = f"{FLOATING}/{made.body['floatingip']['id']}"
    port_id = await _port(cloud.member, routed)
    held = await cloud.member.call("PUT", path, {"floatingip": {"port_id": port_id}})
    answer("floating-associated", held, loose=[*loose, "status"])
    second = await _floating(cloud.member, cloud.names.external_network, port_id=port_id)
    answer("floating-second-on-port", second)
    listed = await cloud.member.get(f"{FLOATING}?port_id={port_id}")
    assert [each["id"] for each in listed["floatingips"]] == [made.body["floatingip"]["id"]]
    answer("floating-of-others", await cloud.other.call("GET", path))
    freed = await cloud.member.call("PUT", path, {"floatingip": {"port_id": None}})
    answer("floating-freed", freed, loose=[*loose, "status"])
    answer("floating-deleted", await cloud.member.call("DELETE", path))
    answer("floating-gone", await cloud.member.call("GET", path))
    answer("floating-gone-again", await cloud.member.call("DELETE", path))


async def test_a_floating_address_outlives_its_port(cloud: Cloud, routed: str) -> None:
    port_id = await _port(cloud.member, routed)
    made = await _floating(cloud.member, cloud.names.external_network, port_id=port_id)
    assert (made.status, made.body["floatingip"]["port_id"]) == (201, port_id)
    assert (await cloud.member.call("DELETE", f"{PORTS}/{port_id}")).status == 204
    left = await cloud.member.get(f"{FLOATING}/{made.body['floatingip']['id']}")
    assert (left["floatingip"]["port_id"], left["floatingip"]["fixed_ip_address"]) == (None, None)


async def test_a_floating_address_that_cannot_be_is_refused(cloud: Cloud, answer: Answer) -> None:
    answer("floating-on-internal-network", await _floating(cloud.member, cloud.names.network))
    answer("floating-on-unknown-network", await _floating(cloud.member, NOWHERE))
    answer("floating-on-unknown-port", await _floating(cloud.member, cloud.names.external_network, port_id=NOWHERE))


async def test_a_quota_of_floating_addresses_is_a_conflict(cloud: Cloud, answer: Answer) -> None:
    async with quota(cloud, floatingip=0):
        answer("floating-quota", await _floating(cloud.other, cloud.names.external_network))


async def _group(person: Client, name: str) -> str:
    seen = await person.call("POST", GROUPS, {"security_group": {"name": name}})
    assert seen.status == 201, seen
    return str(seen.body["security_group"]["id"])


async def _rule(person: Client, group_id: str, **asked: Any) -> Seen:
    rule = {"security_group_id": group_id, "direction": "ingress", **asked}
    return await person.call("POST", RULES, {"security_group_rule": rule})


async def _floating(person: Client, network_id: str, **more: Any) -> Seen:
    return await person.call("POST", FLOATING, {"floatingip": {"floating_network_id": network_id, **more}})


async def _port(person: Client, network_id: str) -> str:
    seen = await person.call("POST", PORTS, {"port": {"network_id": network_id, "name": "contract-floating"}})
    assert seen.status == 201, seen
    return str(seen.body["port"]["id"])


def _rewritten(asked: Mapping[str, Any]) -> set[tuple[str, Any]]:
    """Neutron keeps protocols by name and shows a prefix as it was given."""
    return {item for item in asked.items() if item == ("protocol", "6")}


def _sorted(group: Mapping[str, Any]) -> dict[str, Any]:
    """Neutron lists rules in the order of their random ids, and now and then shows more of them than it wants to."""
    rules = [{key: value for key, value in rule.items() if key not in _LEAKS} for rule in group["security_group_rules"]]
    rules.sort(key=lambda rule: (rule["direction"], rule["ethertype"]))
    return {**group, "security_group_rules": rules}


def _in_order(seen: Seen) -> Seen:
    return replace(seen, body={"security_group": _sorted(seen.body["security_group"])})
