"""Where there is room: instances of a flavor are counted against how many of it fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from js2spawner.devcloud.records import Flavor, Server

HOST = "compute1"


class NoValidHost(Exception):
    """No hypervisor has room for the flavor. The text is Nova's, whose end varies."""

    def __init__(self, text: str = "No valid host was found. ") -> None:
        super().__init__(text)


def place(flavor: Flavor, servers: Iterable[Server], capacity: Mapping[str, int | None]) -> str:
    """The host for one more instance of a flavor. `capacity` overrides what the flavor says of itself.

    An instance takes room from the moment it is placed until it is deleted or offloaded. Raises NoValidHost.
    """
    fits = capacity.get(flavor.name, flavor.capacity)
    if fits is not None and used(flavor, servers) >= fits:
        raise NoValidHost
    return HOST


def used(flavor: Flavor, servers: Iterable[Server]) -> int:
    """How many instances of a flavor sit on a host."""
    return sum(1 for server in servers if server.host and server.flavor.name == flavor.name)
