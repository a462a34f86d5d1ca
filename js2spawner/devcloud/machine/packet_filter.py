"""Security group rules as a classic BPF program for a listening socket. Pure.

Linux runs such a filter on every packet for the socket, the first one of a connection included, and a dropped packet
looks like a firewall's: the caller hears nothing (Documentation/networking/filter.rst; socket(7), SO_ATTACH_FILTER).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, ip_network

from js2spawner.devcloud.hypervisor import Ingress

# include/uapi/linux/filter.h: packet data before the TCP header is reached at this offset.
_SKF_NET_OFF = -0x100000
_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_SOURCE = _SKF_NET_OFF + 12  # RFC 791, section 3.1
_DESTINATION = _SKF_NET_OFF + 16

_ACCEPT = (_RETURN, 0, 0, 0xFFFFFFFF)
_DROP = (_RETURN, 0, 0, 0)

Instruction = tuple[int, int, int, int]


def admitted_sources(rules: Sequence[Ingress], port: int) -> list[IPv4Network]:
    """The IPv4 networks that may connect to a TCP port."""
    admitted = []
    for rule in rules:
        network = ip_network(rule.cidr, strict=False)
        if rule.protocol not in (None, "tcp", "6") or not isinstance(network, IPv4Network):
            continue
        if (rule.port_min is None or rule.port_min <= port) and (rule.port_max is None or port <= rule.port_max):
            admitted.append(network)
    return admitted


def program(address: IPv4Address, sources: Sequence[IPv4Network]) -> bytes:
    """Drops what comes to `address` from elsewhere than `sources` and `address` itself; as the kernel reads it.

    Packets to other addresses pass: a socket that listens on all of them is also reached through the machine's own
    loopback (127.0.0.1), which no security group filters.
    """
    instructions: list[Instruction] = [
        (_LOAD_BYTE, 0, 0, _SKF_NET_OFF),
        (_SHIFT_RIGHT, 0, 0, 4),
        # IPv6 can only be ::1, the machine's own loopback again.
        (_JUMP_IF_EQUAL, 1, 0, 4),
        _ACCEPT,
        (_LOAD_WORD, 0, 0, _DESTINATION),
        (_JUMP_IF_EQUAL, 1, 0, int(address)),
        _ACCEPT,
    ]
    for network in (IPv4Network(address), *sources):
        instructions += [
            (_LOAD_WORD, 0, 0, _SOURCE),
            (_AND, 0, 0, int(network.netmask)),
            (_JUMP_IF_EQUAL, 0, 1, int(network.network_address)),
            _ACCEPT,
        ]
    instructions.append(_DROP)
    return b"".join(struct.pack("=HBBI", code, yes, no, k & 0xFFFFFFFF) for code, yes, no, k in instructions)
