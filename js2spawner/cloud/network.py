"""Neutron: networks, ports and the one security group. (Networking API v2.0 reference.)"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from .caller import Call, Caller, path
from .errors import BadNetwork, Conflict, Gone
from .reading import Json, read, text, words
from .records import Network, Port, SecurityGroup, SecurityGroupRule

_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


class NetworkService:
    """The network service of one cloud. Every method raises CloudError."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def find_network(self, name_or_id: str) -> Network:
        """The network of this name or id. Raises BadNetwork if there is none, or more than one of the name."""
        try:
            answer = await self._call("get-network", "GET", path("networks", name_or_id))
            return read(network_from_json, answer.get("network"), "network")
        except Gone:
            found = await self._list("list-networks", "networks", {"name": name_or_id})
        if len(found) != 1:
            raise BadNetwork(f"{len(found) or 'No'} networks are called {name_or_id!r}; one is needed.")
        return read(network_from_json, found[0], "network")

    async def get_me_a_network(self) -> Network:
        """The project's auto-allocated network, made by Neutron at the first asking (get-me-a-network).

        Raises BadNetwork where the cloud has no such feature.
        """
        where = path("auto-allocated-topology", await self._caller.project_id())
        try:
            answer = await self._call("get-me-a-network", "GET", where)
        except Gone as gone:
            raise BadNetwork(f"The cloud allocates no network by itself: {gone.detail}") from None
        topology = read(lambda found: text(found, "id"), answer.get("auto_allocated_topology"), "topology")
        return await self.find_network(topology)

    async def create_port(
        self,
        network_id: str,
        name: str,
        security_group_ids: Iterable[str],
        *,
        tags: Iterable[str] = (),
        description: str = "",
    ) -> Port:
        """A port with an address of its own. Errors with `certain` False may have made one.

        Tags are a second call (only new Neutrons take them in the first), so `name` and `description` have to be
        enough to find the port again.
        """
        new = {
            "network_id": network_id,
            "name": name,
            "security_groups": list(security_group_ids),
            "description": description,
        }
        answer = await self._call("create-port", "POST", path("ports"), {"port": new})
        port = dict(answer.get("port") or {})
        if wanted := sorted(set(tags)):
            where = path("ports", read(lambda made: text(made, "id"), port, "port"), "tags")
            await self._call("tag-port", "PUT", where, {"tags": wanted})
            port["tags"] = wanted
        return read(port_from_json, port, "port")

    async def list_ports(self, *, device_id: str | None = None, tag: str | None = None) -> list[Port]:
        """The ports of one server, or those that carry a tag, or all."""
        params = {key: value for key, value in {"device_id": device_id, "tags": tag}.items() if value is not None}
        return [read(port_from_json, port, "port") for port in await self._list("list-ports", "ports", params)]

    async def delete_port(self, port_id: str) -> None:
        """Raises Gone if it is no more."""
        await self._call("delete-port", "DELETE", path("ports", port_id))

    async def find_group(self, name: str) -> SecurityGroup | None:
        """The project's security group of this name; the oldest if two hubs made it at the same moment."""
        project_id = await self._caller.project_id()
        found = await self._list("list-groups", "security_groups", {"name": name})
        # An administrator sees the groups of all projects, and every project may share groups with others.
        own = [group for group in found if words(group, "project_id") in ("", project_id)]
        if not own:
            return None
        oldest = min(own, key=lambda group: (words(group, "created_at"), words(group, "id")))
        return read(group_from_json, oldest, "security group")

    async def ensure_group(self, name: str, description: str, rules: Iterable[SecurityGroupRule]) -> SecurityGroup:
        """The group of this name with at least these rules (their ids do not matter).

        Makes what is missing and removes nothing, so it may be called at any time and by several hubs at once.
        """
        group = await self.find_group(name)
        if group is None:
            body = {"security_group": {"name": name, "description": description}}
            answer = await self._call("create-group", "POST", path("security-groups"), body)
            group = read(group_from_json, answer.get("security_group"), "security group")
        present = {meaning(rule) for rule in group.rules}
        missing = [rule for rule in rules if meaning(rule) not in present]
        for rule in missing:
            await self._create_rule(group.id, rule)
        if not missing:
            return group
        answer = await self._call("get-group", "GET", path("security-groups", group.id))
        return read(group_from_json, answer.get("security_group"), "security group")

    async def delete_group(self, group_id: str) -> None:
        """Raises Gone if it is no more, Conflict while a port uses it."""
        await self._call("delete-group", "DELETE", path("security-groups", group_id))

    async def _create_rule(self, group_id: str, rule: SecurityGroupRule) -> None:
        try:
            await self._call("create-rule", "POST", path("security-group-rules"), rule_body(group_id, rule))
        except Conflict as conflict:
            # Another hub was faster: "Security group rule already exists. Rule id is …"
            if "already exists" not in conflict.detail:
                raise

    async def _list(self, operation: str, key: str, params: Mapping[str, str]) -> list[Json]:
        call = Call(
            service="network", operation=operation, method="GET", path=path(key.replace("_", "-")), params=params
        )
        return await self._caller.pages(call, key)

    async def _call(self, operation: str, method: str, where: str, body: object = None) -> Json:
        return await self._caller.call(
            Call(service="network", operation=operation, method=method, path=where, body=body)
        )


def meaning(rule: SecurityGroupRule) -> tuple[object, ...]:
    """What a rule lets through, however it is written: Neutron rewrites protocols and addresses."""
    protocol = (rule.protocol or "any").lower()
    return (
        rule.direction,
        rule.ethertype.lower(),
        _PROTOCOLS.get(protocol, protocol),
        rule.port_min,
        rule.port_max,
        _canonical(rule.remote_ip_prefix),
        rule.remote_group_id,
    )


def _canonical(prefix: str | None) -> str | None:
    try:
        return str(ipaddress.ip_network(prefix, strict=False)) if prefix else None
    except ValueError:
        # Not ours to judge: Neutron says what is wrong with it.
        return prefix


def rule_body(group_id: str, rule: SecurityGroupRule) -> dict[str, Any]:
    return {
        "security_group_rule": {
            "security_group_id": group_id,
            "direction": rule.direction,
            "ethertype": rule.ethertype,
            "protocol": rule.protocol,
            "port_range_min": rule.port_min,
            "port_range_max": rule.port_max,
            "remote_ip_prefix": rule.remote_ip_prefix,
            "remote_group_id": rule.remote_group_id,
        }
    }


def network_from_json(network: Json) -> Network:
    return Network(id=text(network, "id"), name=words(network, "name"), external=network.get("router:external") is True)


def port_from_json(port: Json) -> Port:
    addresses = [text(fixed, "ip_address") for fixed in port.get("fixed_ips") or ()]
    return Port(
        id=text(port, "id"),
        name=words(port, "name"),
        status=words(port, "status"),
        network_id=words(port, "network_id"),
        device_id=words(port, "device_id"),
        addresses=tuple(address for address in addresses if ipaddress.ip_address(address).version == 4),
        security_group_ids=tuple(str(group) for group in port.get("security_groups") or ()),
        tags=frozenset(str(tag) for tag in port.get("tags") or ()),
    )


def group_from_json(group: Json) -> SecurityGroup:
    return SecurityGroup(
        id=text(group, "id"),
        name=words(group, "name"),
        description=words(group, "description"),
        rules=tuple(rule_from_json(rule) for rule in group.get("security_group_rules") or ()),
    )


def rule_from_json(rule: Json) -> SecurityGroupRule:
    port_min, port_max = rule.get("port_range_min"), rule.get("port_range_max")
    return SecurityGroupRule(
        id=text(rule, "id"),
        direction=text(rule, "direction"),
        ethertype=words(rule, "ethertype") or "IPv4",
        protocol=words(rule, "protocol") or None,
        port_min=None if port_min is None else int(port_min),
        port_max=None if port_max is None else int(port_max),
        remote_ip_prefix=words(rule, "remote_ip_prefix") or None,
        remote_group_id=words(rule, "remote_group_id") or None,
    )
