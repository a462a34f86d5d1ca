"""Where there is room: instances of a flavor are counted against how many of it fit, in all and on each host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from js2spawner.devcloud.records import Flavor, Server

HOSTS = ("compute1", "compute2")
"""Where flavors go that name no hosts of their own."""


class NoValidHost(Exception):
    """No hypervisor has room for the flavor. The text is Nova's, whose end varies."""

    def __init__(self, text: str = "No valid host was found. ") -> None:
        super().__init__(text)


def place(flavor: Flavor, servers: Iterable[Server], capacity: Mapping[str, int | None]) -> str:
    """The host for one more instance of a flavor: the one with the fewest of it, then with the fewest of all.

    An instance takes room from the moment it is placed until it is deleted or offloaded. What fits is spread evenly
    over the flavor's hosts; `capacity` overrides what the flavor says of itself. Raises NoValidHost.
    """
    placed = [server for server in servers if server.host]
    alike = Counter(server.host for server in placed if server.flavor.name == flavor.name)
    everyone = Counter(server.host for server in placed)
    fits = capacity.get(flavor.name, flavor.capacity)
    hosts = hosts_of(flavor)
    free = [host for host in hosts if fits is None or alike[host] < _share(fits, hosts, host)]
    if not free or (fits is not None and alike.total() >= fits):
        raise NoValidHost
    return min(free, key=lambda host: (alike[host], everyone[host], hosts.index(host)))


def _share(fits: int, hosts: tuple[str, ...], host: str) -> int:
    """The first hosts have one more where it does not come out even."""
    return (fits + len(hosts) - 1 - hosts.index(host)) // len(hosts)


def hosts_of(flavor: Flavor) -> tuple[str, ...]:
    return flavor.hosts or HOSTS


def all_hosts(flavors: Iterable[Flavor]) -> tuple[str, ...]:
    """Every host of a cloud, in the order in which flavors name them."""
    return tuple(dict.fromkeys((*HOSTS, *(host for flavor in flavors for host in flavor.hosts))))


def used(flavor: Flavor, servers: Iterable[Server]) -> int:
    """How many instances of a flavor sit on a host."""
    return sum(1 for server in servers if server.host and server.flavor.name == flavor.name)
