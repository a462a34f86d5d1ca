"""Machines too small to boot: a port of Neutron's, and at its tap a namespace of the room in the place of a guest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from openstack.connection import Connection

from tests.browser.whole import until
from tests.openstack.boot.groups import tap_name
from tests.openstack.boot.room import Room

PLUGGED_WITHIN_S = 60
_CONNECT = """
import socket, sys
address, port = sys.argv[1:]
with socket.socket() as way:
    way.settimeout(5)
    sys.exit(way.connect_ex((address, int(port))) != 0)
"""
# Until its input ends: a signal would reach only the program that led it into the room.
_SERVE = """
import select, socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
        server.accept()[0].close()
"""
_SEND = """
import socket, sys
sender, address, port = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
    way.bind((sender, 0))
    way.sendto(sender.encode(), (address, int(port)))
"""
# Answers with the first sender it was told to wait for and everybody who came before.
_LISTEN = """
import json, socket, sys
port, awaited = sys.argv[1:]
heard = []
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
    way.settimeout(60)
    way.bind(("0.0.0.0", int(port)))
    print("listening", flush=True)
    while awaited not in heard:
        heard.append(way.recvfrom(100)[1][0])
print(json.dumps(heard))
"""


@dataclass(frozen=True, slots=True)
class Neighbour:
    room: Room
    namespace: str
    address: str

    def reaches(self, address: str, port: int) -> bool:
        """Whether a TCP connection comes to be."""
        return subprocess.run(self._python(_CONNECT, address, str(port)), check=False).returncode == 0

    @contextmanager
    def serves(self, port: int) -> Iterator[None]:
        """Takes TCP connections as long as the block lasts."""
        with subprocess.Popen(self._python(_SERVE, str(port)), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == b"listening"
            yield

    def sends(self, address: str, port: int, sender: str) -> None:
        """A datagram that says it is from `sender`."""
        subprocess.run(self._python(_SEND, sender, address, str(port)), check=True)

    @contextmanager
    def hears(self, port: int, awaited: str) -> Iterator[list[str]]:
        """Once the block has ended and `awaited` was heard: the senders of all datagrams until then, in their order."""
        heard: list[str] = []
        with subprocess.Popen(self._python(_LISTEN, str(port), awaited), stdout=subprocess.PIPE, text=True) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline().strip() == "listening"
            yield heard
            heard += json.loads(listener.stdout.readline() or "[]")

    def answers_to(self, address: str) -> None:
        """Take another address, as somebody with root on an instance can."""
        self.room.run("ip", "-n", self.namespace, "address", "add", f"{address}/32", "dev", "eth0")

    def _python(self, program: str, *words: str) -> Sequence[str]:
        return self.room.inside("ip", "netns", "exec", self.namespace, sys.executable, "-I", "-c", program, *words)


@contextmanager
def neighbour(room: Room, owner: Connection, network: str, groups: Sequence[str]) -> Iterator[Neighbour]:
    """Somebody of `owner`'s project on a network of theirs, in security groups given by id."""
    net = owner.network.find_network(network)
    (subnet,) = owner.network.subnets(network_id=net.id)
    port = owner.network.create_port(network_id=net.id, security_group_ids=list(groups))
    try:
        address = f"{port.fixed_ips[0]['ip_address']}/{subnet.cidr.partition('/')[2]}"
        here = settle(room, port.id, port.mac_address, address, subnet.gateway_ip)
        until(lambda: _is_joined(room, tap_name(port.id)), "the switch has joined the neighbour", PLUGGED_WITHIN_S)
        yield here
        room.run("ip", "netns", "delete", here.namespace)
    finally:
        owner.network.delete_port(port)


def settle(room: Room, port_id: str, mac: str, address: str, gateway: str) -> Neighbour:
    """A namespace with a pair of devices: `eth0` within, and the port's tap for the switch. `address` has a prefix."""
    name = f"neighbour-{port_id[:8]}"
    room.run("ip", "netns", "add", name)
    # Made from within: the room may have an eth0, too.
    room.run("ip", "-n", name, "link", "add", "eth0", "address", mac, "type", "veth", "peer", "name", tap_name(port_id))
    room.run("ip", "-n", name, "link", "set", tap_name(port_id), "netns", "1")
    for words in (
        ("link", "set", "lo", "up"),
        ("address", "add", address, "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", gateway),
    ):
        room.run("ip", "-n", name, *words)
    return Neighbour(room, name, address.partition("/")[0])


def _is_joined(room: Room, tap: str) -> bool:
    (link,) = json.loads(room.run("ip", "-json", "link", "show", tap))
    return "master" in link and link["operstate"] == "UP"
