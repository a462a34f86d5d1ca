"""What Neutron's framework asks of every request first: known attributes, texts of a fair length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.errors import Refusal

_OF_ALL = ("id", "name", "project_id", "tenant_id", "description", "created_at", "updated_at", "revision_number")
ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "networks": frozenset(
        (
            *_OF_ALL, "admin_state_up", "availability_zone_hints", "availability_zones", "dns_domain", "is_default",
            "mtu", "port_security_enabled", "provider:network_type", "provider:physical_network",
            "provider:segmentation_id", "qinq", "router:external", "shared", "status", "subnets", "vlan_transparent",
        )
    ),
    "subnets": frozenset(
        (
            *_OF_ALL, "allocation_pools", "cidr", "dns_nameservers", "enable_dhcp", "gateway_ip", "host_routes",
            "ip_version", "ipv6_address_mode", "ipv6_ra_mode", "network_id", "prefixlen", "router:external",
            "segment_id", "service_types", "shared", "subnetpool_id",
        )
    ),
    "ports": frozenset(
        (
            *_OF_ALL, "admin_state_up", "allowed_address_pairs", "binding:host_id", "binding:profile",
            "binding:vif_type", "binding:vnic_type", "device_id", "device_owner", "extra_dhcp_opts", "fixed_ips",
            "mac_address", "network_id", "port_security_enabled", "security_groups", "status",
        )
    ),
    "security_groups": frozenset((*_OF_ALL, "shared", "stateful")),
    "security_group_rules": frozenset(
        (
            *_OF_ALL, "belongs_to_default_sg", "direction", "ethertype", "port_range_max", "port_range_min", "protocol",
            "remote_address_group_id", "remote_group_id", "remote_ip_prefix", "security_group_id",
        )
    ),
    "floatingips": frozenset(
        (
            *_OF_ALL, "dns_domain", "dns_name", "fixed_ip_address", "floating_ip_address", "floating_network_id",
            "port_id", "router_id", "status", "subnet_id",
        )
    ),
}  # fmt: skip
_TAGS = frozenset(("tags", "tags-any", "not-tags", "not-tags-any"))
_TEXT_AT_MOST = 255


def asked(call: Call, key: str, collection: str) -> dict[str, Any]:
    """The object under `key` of the body. Raises Refusal (400) for attributes that are unknown or too long."""
    body = call.member(key)
    unknown = body.keys() - ATTRIBUTES[collection] - {"tags"}
    if unknown:
        raise Refusal(400, f"Unrecognized attribute(s) '{', '.join(sorted(unknown))}'")
    for name in ("name", "description"):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(name, f"'{value}' is not a valid string")
        if value is not None and len(value) > _TEXT_AT_MOST:
            raise invalid(name, f"'{value}' exceeds maximum length of {_TEXT_AT_MOST}")
    return body


def invalid(name: str, reason: str) -> Refusal:
    return Refusal(400, f"Invalid input for {name}. Reason: {reason}.")


def check_filters(names: Iterable[str], collection: str) -> None:
    unknown = sorted(set(names) - ATTRIBUTES[collection] - _TAGS)
    if unknown:
        raise Refusal(400, f"{unknown} is invalid attribute for filtering")


def check_sorting(keys: list[str], directions: list[str], collection: str) -> None:
    unknown = [key for key in keys if key not in ATTRIBUTES[collection]]
    if len(keys) != len(directions):
        raise Refusal(400, "The number of sort_keys and sort_dirs must be same")
    if unknown:
        raise Refusal(400, f"{unknown} is invalid attribute for sort_keys")
