"""Security groups and their rules, and what they let into an instance."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.hypervisor import Ingress
from js2spawner.devcloud.neutron.collection import check_quota, page, visible
from js2spawner.devcloud.records import GroupRule, Port, SecurityGroup

DEFAULT = "default"
_PROTOCOLS = {"6": "tcp", "17": "udp", "1": "icmp"}


def default_group(cloud: DevCloud, project_id: str) -> SecurityGroup:
    """A project's default group, made the first time anybody asks: it lets in whatever comes from the group itself."""
    for group in cloud.store.all(SecurityGroup):
        if group.project_id == project_id and group.name == DEFAULT:
            return group
    now = cloud.clock.now()
    group_id = new_id()
    rules = tuple(
        GroupRule(
            new_id(), direction, "IPv4", None, None, None, None, group_id if direction == "ingress" else None, now
        )
        for direction in ("egress", "ingress")
    )
    return cloud.store.put(SecurityGroup(group_id, project_id, DEFAULT, "Default security group", now, now, rules))


def find_group(cloud: DevCloud, project_id: str, name_or_id: str) -> SecurityGroup | None:
    own = [group for group in cloud.store.all(SecurityGroup) if group.project_id == project_id]
    return next((group for group in own if name_or_id in (group.id, group.name)), None)


def ingress(cloud: DevCloud, group_ids: tuple[str, ...]) -> tuple[Ingress, ...]:
    """What these groups let in, with references to other groups turned into their members' addresses."""
    found: list[Ingress] = []
    for group_id in group_ids:
        group = cloud.store.get(SecurityGroup, group_id)
        for rule in group.rules if group else ():
            if rule.direction != "ingress" or rule.ethertype != "IPv4":
                continue
            if rule.remote_group_id:
                members = [port for port in cloud.store.all(Port) if rule.remote_group_id in port.group_ids]
                sources = [f"{port.address}/32" for port in members]
            else:
                sources = [rule.remote_ip_prefix or "0.0.0.0/0"]
            found += [Ingress(rule.protocol, rule.port_min, rule.port_max, source) for source in sources]
    return tuple(dict.fromkeys(found))


async def list_groups(call: Call) -> Answer:
    default_group(call.cloud, call.project_id)
    return page(call, "security_groups", (group_view(group) for group in visible(call, SecurityGroup)))


async def create_group(call: Call) -> Answer:
    asked = call.member("security_group")
    check_quota(call, "security_group", SecurityGroup)
    now = call.cloud.clock.now()
    name = str(asked.get("name", ""))[:255]
    if name == DEFAULT:
        raise Refusal(409, "Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")
    rules = tuple(GroupRule(new_id(), "egress", kind, None, None, None, None, None, now) for kind in ("IPv4", "IPv6"))
    group = SecurityGroup(new_id(), call.project_id, name, str(asked.get("description", "")), now, now, rules)
    return Answer({"security_group": group_view(call.cloud.store.put(group))}, 201)


async def show_group(call: Call) -> Answer:
    return Answer({"security_group": group_view(_group_of(call))})


async def update_group(call: Call) -> Answer:
    group, asked = _group_of(call), call.member("security_group")
    now = call.cloud.clock.now()
    changed = replace(
        group,
        name=str(asked.get("name", group.name)),
        description=str(asked.get("description", group.description)),
        updated=now,
    )
    return Answer({"security_group": group_view(call.cloud.store.put(changed))})


async def delete_group(call: Call) -> Answer:
    group = _group_of(call)
    if any(group.id in port.group_ids for port in call.cloud.store.all(Port)):
        raise Refusal(409, f"Security Group {group.id} in use.", kind="SecurityGroupInUse")
    if group.name == DEFAULT and not call.caller.admin:
        raise Refusal(409, "Removing default security group not allowed.", kind="SecurityGroupCannotRemoveDefault")
    call.cloud.store.remove(group)
    return Answer(status=204)


async def list_rules(call: Call) -> Answer:
    default_group(call.cloud, call.project_id)
    views = (_rule_view(group, rule) for group in visible(call, SecurityGroup) for rule in group.rules)
    return page(call, "security_group_rules", views)


async def show_rule(call: Call) -> Answer:
    group, rule = _rule_of(call)
    return Answer({"security_group_rule": _rule_view(group, rule)})


async def create_rule(call: Call) -> Answer:
    asked = call.member("security_group_rule")
    group = call.cloud.store.get(SecurityGroup, str(asked.get("security_group_id")))
    if group is None or not (call.caller.admin or group.project_id == call.project_id):
        missing = asked.get("security_group_id")
        raise Refusal(404, f"Security group {missing} does not exist", kind="SecurityGroupNotFound")
    rule = _checked_rule(call, asked)
    same = [known for known in group.rules if _meaning(known) == _meaning(rule)]
    if same:
        raise Refusal(
            409, f"Security group rule already exists. Rule id is {same[0].id}.", kind="SecurityGroupRuleExists"
        )
    held = sum(
        len(known.rules) for known in call.cloud.store.all(SecurityGroup) if known.project_id == group.project_id
    )
    if call.cloud.over(group.project_id, "network.security_group_rule", held + 1):
        raise Refusal(409, "Quota exceeded for resources: ['security_group_rule'].", kind="OverQuota")
    changed = replace(group, rules=(*group.rules, rule), updated=call.cloud.clock.now())
    call.cloud.store.put(changed)
    await call.cloud.life.groups_changed(group.id)
    return Answer({"security_group_rule": _rule_view(changed, rule)}, 201)


async def delete_rule(call: Call) -> Answer:
    group, rule = _rule_of(call)
    left = tuple(known for known in group.rules if known.id != rule.id)
    call.cloud.store.put(replace(group, rules=left, updated=call.cloud.clock.now()))
    await call.cloud.life.groups_changed(group.id)
    return Answer(status=204)


def group_view(group: SecurityGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "stateful": True,
        "tenant_id": group.project_id,
        "project_id": group.project_id,
        "description": group.description,
        "shared": False,
        "security_group_rules": [_rule_view(group, rule) for rule in group.rules],
        "tags": list(group.tags),
        "created_at": iso(group.created),
        "updated_at": iso(group.updated),
        "revision_number": len(group.rules),
    }


def _rule_view(group: SecurityGroup, rule: GroupRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "tenant_id": group.project_id,
        "project_id": group.project_id,
        "security_group_id": group.id,
        "ethertype": rule.ethertype,
        "direction": rule.direction,
        "protocol": rule.protocol,
        "port_range_min": rule.port_min,
        "port_range_max": rule.port_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_address_group_id": None,
        "normalized_cidr": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
        "belongs_to_default_sg": group.name == DEFAULT,
        "description": rule.description,
        "tags": [],
        "created_at": iso(rule.created),
        "updated_at": iso(rule.created),
        "revision_number": 0,
    }


def _checked_rule(call: Call, asked: dict[str, Any]) -> GroupRule:
    direction, ethertype = asked.get("direction"), asked.get("ethertype", "IPv4")
    if direction not in ("ingress", "egress"):
        raise Refusal(400, f"Invalid input for direction. Reason: '{direction}' is not in ['ingress', 'egress'].")
    protocol = None if asked.get("protocol") in (None, "any") else str(asked["protocol"]).lower()
    low, high = asked.get("port_range_min"), asked.get("port_range_max")
    for port in (low, high):
        if port is not None and not (isinstance(port, int) and 0 <= port <= 65_535):
            raise Refusal(400, f"Invalid value for port {port}", kind="SecurityGroupInvalidPortValue")
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise Refusal(
            400, "For TCP/UDP protocols, port_range_min must be <= port_range_max", kind="SecurityGroupInvalidPortRange"
        )
    prefix, remote = asked.get("remote_ip_prefix"), asked.get("remote_group_id")
    if prefix and remote:
        raise Refusal(
            400,
            "Only remote_ip_prefix or remote_group_id may be provided.",
            kind="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    return GroupRule(
        id=new_id(),
        direction=direction,
        ethertype=str(ethertype),
        protocol=_PROTOCOLS.get(protocol or "", protocol),
        port_min=low,
        port_max=high,
        remote_ip_prefix=_prefix(prefix) if prefix else None,
        remote_group_id=str(remote) if remote else None,
        created=call.cloud.clock.now(),
        description=str(asked.get("description") or ""),
    )


def _prefix(text: object) -> str:
    try:
        return str(ip_network(str(text), strict=False))
    except ValueError as problem:
        raise Refusal(400, f"Invalid CIDR {text} given as IP prefix.", kind="InvalidCIDR") from problem


def _meaning(rule: GroupRule) -> tuple[object, ...]:
    return (
        rule.direction, rule.ethertype, rule.protocol, rule.port_min, rule.port_max,
        rule.remote_ip_prefix, rule.remote_group_id,
    )  # fmt: skip


def _group_of(call: Call) -> SecurityGroup:
    key = call.names["id"]
    group = call.cloud.store.get(SecurityGroup, key)
    if group is None or not (call.caller.admin or group.project_id == call.project_id):
        raise Refusal(404, f"Security group {key} does not exist", kind="SecurityGroupNotFound")
    return group


def _rule_of(call: Call) -> tuple[SecurityGroup, GroupRule]:
    for group in visible(call, SecurityGroup):
        for rule in group.rules:
            if rule.id == call.names["id"]:
                return group, rule
    raise Refusal(404, f"Security group rule {call.names['id']} does not exist", kind="SecurityGroupRuleNotFound")


ROUTES = (
    Route("GET", "/v2.0/security-groups", "security_groups.list", list_groups),
    Route("POST", "/v2.0/security-groups", "security_groups.create", create_group),
    Route("GET", "/v2.0/security-groups/{id}", "security_groups.show", show_group),
    Route("PUT", "/v2.0/security-groups/{id}", "security_groups.update", update_group),
    Route("DELETE", "/v2.0/security-groups/{id}", "security_groups.delete", delete_group),
    Route("GET", "/v2.0/security-group-rules", "security_group_rules.list", list_rules),
    Route("POST", "/v2.0/security-group-rules", "security_group_rules.create", create_rule),
    Route("GET", "/v2.0/security-group-rules/{id}", "security_group_rules.show", show_rule),
    Route("DELETE", "/v2.0/security-group-rules/{id}", "security_group_rules.delete", delete_rule),
)
