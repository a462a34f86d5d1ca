"""Security groups and their rules, and what they let into an instance."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.hypervisor import Ingress
from js2spawner.devcloud.neutron.attributes import asked, invalid
from js2spawner.devcloud.neutron.collection import check_quota, page, visible
from js2spawner.devcloud.records import GroupRule, Port, SecurityGroup

DEFAULT = "default"
FAMILIES = ("IPv4", "IPv6")
_PROTOCOL_NAMES = (
    "ah",
    "dccp",
    "egp",
    "esp",
    "gre",
    "hopopt",
    "icmp",
    "igmp",
    "ip",
    "ipip",
    "ipv6-encap",
    "ipv6-frag",
    "ipv6-icmp",
    "icmpv6",
    "ipv6-nonxt",
    "ipv6-opts",
    "ipv6-route",
    "ospf",
    "pgm",
    "rsvp",
    "sctp",
    "tcp",
    "udp",
    "udplite",
    "vrrp",
)
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
            new_id(), direction, family, None, None, None, None, group_id if direction == "ingress" else None, now
        )
        for direction in ("egress", "ingress")
        for family in FAMILIES
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
            found += [Ingress(_by_name(rule.protocol), rule.port_min, rule.port_max, source) for source in sources]
    return tuple(dict.fromkeys(found))


async def list_groups(call: Call) -> Answer:
    default_group(call.cloud, call.project_id)
    return page(call, "security_groups", (group_view(group) for group in visible(call, SecurityGroup)))


async def create_group(call: Call) -> Answer:
    body = asked(call, "security_group", "security_groups")
    check_quota(call, "security_group", SecurityGroup)
    now = call.cloud.clock.now()
    name = str(body.get("name") or "")
    if name == DEFAULT:
        raise Refusal(409, "Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")
    rules = tuple(GroupRule(new_id(), "egress", kind, None, None, None, None, None, now) for kind in FAMILIES)
    group = SecurityGroup(new_id(), call.project_id, name, str(body.get("description") or ""), now, now, rules)
    return Answer({"security_group": group_view(call.cloud.store.put(group))}, 201)


async def show_group(call: Call) -> Answer:
    return Answer({"security_group": group_view(_group_of(call))})


async def update_group(call: Call) -> Answer:
    group, body = _group_of(call), asked(call, "security_group", "security_groups")
    if group.name == DEFAULT and body.get("name", DEFAULT) != DEFAULT:
        raise Refusal(409, "Updating default security group not allowed.", kind="SecurityGroupCannotUpdateDefault")
    changed = _changed(
        call,
        group,
        name=str(body.get("name", group.name)),
        description=str(body.get("description", group.description)),
    )
    return Answer({"security_group": group_view(call.cloud.store.put(changed))})


async def delete_group(call: Call) -> Answer:
    group = _group_of(call)
    if group.name == DEFAULT and not call.caller.admin:
        text = "Insufficient rights for removing default security group."
        raise Refusal(409, text, kind="SecurityGroupCannotRemoveDefault")
    if any(group.id in port.group_ids for port in call.cloud.store.all(Port)):
        raise Refusal(409, f"Security Group {group.id} in use.", kind="SecurityGroupInUse")
    call.cloud.store.remove(group)
    return NOTHING


async def list_rules(call: Call) -> Answer:
    default_group(call.cloud, call.project_id)
    views = (_rule_view(group, rule) for group in visible(call, SecurityGroup) for rule in group.rules)
    return page(call, "security_group_rules", views)


async def show_rule(call: Call) -> Answer:
    group, rule = _rule_of(call)
    return Answer({"security_group_rule": _rule_view(group, rule)})


async def create_rule(call: Call) -> Answer:
    body = asked(call, "security_group_rule", "security_group_rules")
    rule = _checked_rule(call, body)
    group = _known_group(call, body.get("security_group_id"))
    if group.project_id != call.project_id and not call.caller.admin:
        text = "rule:create_security_group_rule is disallowed by policy"
        raise Refusal(403, text, kind="PolicyNotAuthorized")
    if rule.remote_group_id:
        _known_group(call, rule.remote_group_id)
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
    changed = _changed(call, group, rules=(*group.rules, rule))
    call.cloud.store.put(changed)
    await call.cloud.life.groups_changed(group.id)
    return Answer({"security_group_rule": _rule_view(changed, rule)}, 201)


async def delete_rule(call: Call) -> Answer:
    group, rule = _rule_of(call)
    left = tuple(known for known in group.rules if known.id != rule.id)
    call.cloud.store.put(_changed(call, group, rules=left))
    await call.cloud.life.groups_changed(group.id)
    return NOTHING


def group_view(group: SecurityGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "stateful": True,
        "tenant_id": group.project_id,
        "project_id": group.project_id,
        "description": group.description,
        "shared": False,
        "security_group_rules": [_rule_view(group, rule) | {"tags": []} for rule in group.rules],
        "tags": list(group.tags),
        "created_at": iso(group.created),
        "updated_at": iso(group.updated),
        "revision_number": group.revision,
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
        "normalized_cidr": _normalized(rule.remote_ip_prefix),
        "remote_group_id": rule.remote_group_id,
        "belongs_to_default_sg": group.name == DEFAULT,
        "description": rule.description,
        "created_at": iso(rule.created),
        "updated_at": iso(rule.created),
        "revision_number": 0,
    }


def _changed(call: Call, group: SecurityGroup, **changes: Any) -> SecurityGroup:
    return replace(group, **changes, updated=call.cloud.clock.now(), revision=group.revision + 1)


def _checked_rule(call: Call, body: dict[str, Any]) -> GroupRule:
    direction, family = body.get("direction"), str(body.get("ethertype", "IPv4"))
    if direction not in ("ingress", "egress"):
        raise invalid("direction", f"{direction} is not in valid_values")
    if family not in FAMILIES:
        text = f"Security group rule for ethertype '{family}' not supported. Allowed values are {list(FAMILIES)}."
        raise Refusal(400, text, kind="SecurityGroupRuleInvalidEtherType")
    protocol = _protocol(body.get("protocol"))
    low, high = body.get("port_range_min"), body.get("port_range_max")
    _check_ports(protocol, low, high)
    prefix, remote = body.get("remote_ip_prefix"), body.get("remote_group_id")
    if prefix and remote:
        text = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        raise Refusal(400, text, kind="SecurityGroupMultipleRemoteEntites")
    if prefix:
        _check_prefix(str(prefix), family)
    return GroupRule(
        id=new_id(),
        direction=direction,
        ethertype=family,
        protocol=protocol,
        port_min=low,
        port_max=high,
        remote_ip_prefix=str(prefix) if prefix else None,
        remote_group_id=str(remote) if remote else None,
        created=call.cloud.clock.now(),
        description=str(body.get("description") or ""),
    )


def _protocol(value: object) -> str | None:
    """As Neutron keeps it: in the words it was given, `any` for none."""
    if value in (None, "any"):
        return None
    protocol = str(value).lower()
    if not (protocol in _PROTOCOL_NAMES or (protocol.isdecimal() and int(protocol) <= 255)):
        names = ", ".join(f"'{name}'" for name in ("any", *_PROTOCOL_NAMES))
        text = (
            f"Security group rule protocol {protocol} not supported. Only protocol values (None, {names}) and integer "
            "representations [0 to 255] are supported."
        )
        raise Refusal(400, text, kind="SecurityGroupRuleInvalidProtocol")
    return protocol


def _check_ports(protocol: str | None, low: Any, high: Any) -> None:
    for port in (low, high):
        if port is not None and not (isinstance(port, int) and 0 <= port <= 65_535):
            raise Refusal(400, f"Invalid value for port {port}", kind="SecurityGroupInvalidPortValue")
    if protocol is None and (low, high) != (None, None):
        text = "Must also specify protocol if port range is given."
        raise Refusal(400, text, kind="SecurityGroupProtocolRequiredWithPorts")
    if (low is None) != (high is None) or (low is not None and low > high):
        text = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        raise Refusal(400, text, kind="SecurityGroupInvalidPortRange")


def _check_prefix(prefix: str, family: str) -> None:
    try:
        version = ip_network(prefix, strict=False).version
    except ValueError as problem:
        raise Refusal(400, f"Invalid CIDR {prefix} given as IP prefix.", kind="InvalidCIDR") from problem
    if family != f"IPv{version}":
        text = f"Conflicting value ethertype {family} for CIDR {prefix}"
        raise Refusal(400, text, kind="SecurityGroupRuleParameterConflict")


def _normalized(prefix: str | None) -> str | None:
    return str(ip_network(prefix, strict=False)) if prefix else None


def _by_name(protocol: str | None) -> str | None:
    return _PROTOCOLS.get(protocol or "", protocol)


def _meaning(rule: GroupRule) -> tuple[object, ...]:
    return (
        rule.direction, rule.ethertype, _by_name(rule.protocol), rule.port_min, rule.port_max,
        _normalized(rule.remote_ip_prefix), rule.remote_group_id,
    )  # fmt: skip


def _known_group(call: Call, key: object) -> SecurityGroup:
    """A group of any project: to name one is no secret, to use it is another matter."""
    group = call.cloud.store.get(SecurityGroup, str(key))
    if group is None:
        raise Refusal(404, f"Security group {key} does not exist", kind="SecurityGroupNotFound")
    return group


def _group_of(call: Call) -> SecurityGroup:
    key = call.names["id"]
    group = call.cloud.store.get(SecurityGroup, key)
    if group is None or not (call.caller.admin or group.project_id == call.project_id):
        raise Refusal(404, f"Security group {key} does not exist", kind="SecurityGroupNotFound")
    return group


def _rule_of(call: Call) -> tuple[SecurityGroup, GroupRule]:
    for group in call.cloud.store.all(SecurityGroup):
        for rule in group.rules:
            if rule.id == call.names["id"]:
                if call.caller.admin or group.project_id == call.project_id:
                    return group, rule
                raise Refusal(404, "The resource could not be found.")
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
