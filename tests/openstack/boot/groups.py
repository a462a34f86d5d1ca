"""Neutron's ports and security groups as a packet filter: values in, the text of an nftables ruleset out. Pure.

Two tables. `bridge` holds every guest to its own addresses: MAC, ARP, IPv4, no DHCP server, no IPv6. `inet` carries out
the groups, with the kernel's memory of connections for the replies. Guests of one network reach each other only
through the router (switch.py), so there everything passes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Ports of Neutron's own, such as its DHCP server's, belong to no guest.
_OF_NEUTRON = "network:"
_INGRESS, _EGRESS = "ingress", "egress"
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing a group allows. `first` and `last` are ports, or ICMP's type and code; `peers` None means everybody."""

    direction: str
    protocol: str | None
    first: int | None
    last: int | None
    peers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Guest:
    """A port whose tap is, or is to be, in the bridge of its network."""

    tap: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]
    rules: tuple[Rule, ...]


def tap_name(port_id: str) -> str:
    """As Nova names the device of a port (nova/network/model.py)."""
    return f"tap{port_id[:11]}"


def bridge_name(network_id: str) -> str:
    return f"brq{network_id[:11]}"


def guests(ports: Sequence[Mapping[str, Any]], groups: Iterable[Mapping[str, Any]]) -> list[Guest]:
    """From Neutron's `GET /ports` and `GET /security-groups`, as an administrator."""
    members: dict[str, list[str]] = {}
    for port in ports:
        for group_id in port["security_groups"]:
            members.setdefault(group_id, []).extend(_addresses(port))
    rules = {group["id"]: list(_rules(group, members)) for group in groups}
    return [
        Guest(
            tap=tap_name(port["id"]),
            bridge=bridge_name(port["network_id"]),
            mac=port["mac_address"],
            addresses=tuple(_addresses(port)),
            rules=tuple(rule for group_id in port["security_groups"] for rule in rules.get(group_id, ())),
        )
        for port in ports
        if not port["device_owner"].startswith(_OF_NEUTRON)
    ]


def _addresses(port: Mapping[str, Any]) -> Iterator[str]:
    return (fixed["ip_address"] for fixed in port["fixed_ips"] if ":" not in fixed["ip_address"])


def _rules(group: Mapping[str, Any], members: Mapping[str, Sequence[str]]) -> Iterator[Rule]:
    for told in group["security_group_rules"]:
        if told["ethertype"] != "IPv4":
            continue
        peers: tuple[str, ...] | None = None
        if told["remote_group_id"]:
            peers = tuple(members.get(told["remote_group_id"], ()))
        elif told["remote_ip_prefix"]:
            peers = (told["remote_ip_prefix"],)
        yield Rule(told["direction"], told["protocol"], told["port_range_min"], told["port_range_max"], peers)


def ruleset(present: Sequence[Guest]) -> str:
    """What `nft -f` replaces the former ruleset by, all at once."""
    lines = ["table bridge guests", "delete table bridge guests", "table inet guests", "delete table inet guests"]
    lines += ["table bridge guests {", *_own_addresses(present), "}"]
    lines += ["table inet guests {", *_group_chains(present), *_ways(present), "}"]
    return "\n".join(lines) + "\n"


def _own_addresses(present: Sequence[Guest]) -> Iterator[str]:
    yield "chain from_guests { type filter hook prerouting priority -300; policy accept;"
    for guest in present:
        of_guest = f'iifname "{guest.tap}"'
        own = f"{{ {', '.join(guest.addresses)} }}"
        yield f"{of_guest} ether saddr != {guest.mac} drop"
        yield f"{of_guest} ether type arp arp saddr ether != {guest.mac} drop"
        if guest.addresses:
            # 0.0.0.0 is who asks for an address, or whether one is free.
            yield f"{of_guest} ether type arp arp saddr ip {{ 0.0.0.0, {', '.join(guest.addresses)} }} accept"
        yield f"{of_guest} ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept"
        yield f"{of_guest} udp sport 67 drop"
        if guest.addresses:
            yield f"{of_guest} ether type ip ip saddr {own} accept"
        yield f"{of_guest} drop"
    yield "}"


def _group_chains(present: Sequence[Guest]) -> Iterator[str]:
    for guest in present:
        for direction, verdict in ((_INGRESS, "accept"), (_EGRESS, "return")):
            yield f"chain {direction}_{guest.tap} {{"
            for rule in guest.rules:
                if rule.direction == direction and rule.peers != ():
                    yield f"{_match(rule)} {verdict}"
            yield "drop; }"


def _match(rule: Rule) -> str:
    parts = []
    if rule.peers is not None:
        side = "saddr" if rule.direction == _INGRESS else "daddr"
        parts.append(f"ip {side} {{ {', '.join(rule.peers)} }}")
    protocol = "icmp" if rule.protocol in ("icmp", "1") else rule.protocol
    if protocol is None:
        return " ".join([*parts, "meta nfproto ipv4"])
    parts.append(f"meta l4proto {protocol}")
    if protocol == "icmp":
        parts += [f"icmp type {rule.first}"] if rule.first is not None else []
        parts += [f"icmp code {rule.last}"] if rule.last is not None else []
    elif protocol in _WITH_PORTS and rule.first is not None:
        parts.append(f"{protocol} dport {rule.first}-{rule.last}")
    return " ".join(parts)


def _ways(present: Sequence[Guest]) -> Iterator[str]:
    """From guest to guest both ends' groups have a say; between a guest and the router only the guest's."""
    known = ("ct state established,related accept", "ct state invalid drop")
    yield from ("chain leaving {", *(_each(present, "iifname", "saddr", _EGRESS)), "}")
    yield from ("chain arriving {", *(_each(present, "oifname", "daddr", _INGRESS)), "}")
    yield "chain forward { type filter hook forward priority filter; policy drop;"
    yield from known
    # Networks of several projects meet in this router, and nowhere in a real cloud.
    yield from (
        f'iifname != "{bridge}" oifname "{bridge}" drop' for bridge in sorted({each.bridge for each in present})
    )
    yield from ("jump leaving", "jump arriving", "}")
    yield from ("chain input { type filter hook input priority filter; policy accept;", *known, "jump leaving", "}")
    yield from ("chain output { type filter hook output priority filter; policy accept;", *known, "jump arriving", "}")


def _each(present: Sequence[Guest], device: str, side: str, direction: str) -> Iterator[str]:
    for guest in present:
        for address in guest.addresses:
            yield f'{device} "{guest.bridge}" ip {side} {address} jump {direction}_{guest.tap}'
