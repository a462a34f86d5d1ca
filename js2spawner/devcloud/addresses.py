"""Which 127.x.y.z addresses a cloud gives to its instances."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import Random

_LOOPBACK = IPv4Network("127.0.0.0/8")
_FIRST_SECOND_BYTE = 16  # 127.0.x.x belongs to the machine itself and to whatever else listens there


class RangeError(ValueError):
    """An address range that cannot be used; the text says why."""


def range_for(directory: Path) -> IPv4Network:
    """A /22 derived from the directory's path, so that two clouds on one machine do not collide."""
    number = int.from_bytes(hashlib.sha256(str(directory.resolve()).encode()).digest()[:4], "big")
    blocks = (256 - _FIRST_SECOND_BYTE) * 64
    start = int(IPv4Address(f"127.{_FIRST_SECOND_BYTE}.0.0")) + (number % blocks) * 1024
    return IPv4Network((start, 22))


def range_beside(taken: Iterable[IPv4Network], wanted: IPv4Network) -> IPv4Network:
    """A range as large as `wanted`, itself or one behind it, that overlaps with none of `taken`."""
    others = list(taken)
    first = int(IPv4Address(f"127.{_FIRST_SECOND_BYTE}.0.0"))
    size = wanted.num_addresses
    blocks = (int(_LOOPBACK.broadcast_address) + 1 - first) // size
    start = (int(wanted.network_address) - first) // size
    for step in range(blocks):
        found = IPv4Network((first + (start + step) % blocks * size, wanted.prefixlen))
        if not any(found.overlaps(other) for other in others):
            return found
    raise RangeError(f"127.0.0.0/8 has no room for one more range of {wanted.num_addresses} addresses")


def parse_range(text: str) -> IPv4Network:
    """The range an operator asks for. Raises RangeError."""
    try:
        network = IPv4Network(text)
    except ValueError as problem:
        raise RangeError(f"--cidr {text}: {problem}") from problem
    if not network.subnet_of(_LOOPBACK) or network.overlaps(IPv4Network("127.0.0.0/16")):
        raise RangeError(
            f"--cidr {text}: has to lie within 127.0.0.0/8 and outside 127.0.0.0/16, for example 127.77.0.0/22"
        )
    if network.prefixlen > 28:
        raise RangeError(f"--cidr {text}: is too small; a /28 is the smallest")
    return network


def gateway(network: IPv4Network) -> IPv4Address:
    return network.network_address + 1


def free_address(network: IPv4Network, taken: Container[str], random: Random) -> str | None:
    """An address nobody has, or None. The gateway, the network's own and the broadcast address are never given.

    Chosen at random like Neutron does, so that a just deleted instance's address is rarely the next one's.
    """
    first, last = 2, network.num_addresses - 2
    start = random.randint(first, last)
    for number in (*range(start, last + 1), *range(first, start)):
        address = str(network.network_address + number)
        if address not in taken:
            return address
    return None
