"""Security groups as the kernel carries them out, among namespaces in a room; Neutron's answers are written here."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.openstack.boot.groups import guests, tap_name
from tests.openstack.boot.neighbours import Neighbour, settle
from tests.openstack.boot.room import Room
from tests.openstack.boot.switch import Switch

pytestmark = pytest.mark.boot

ROUTER = "10.9.0.1"
NETWORK, OTHER_NETWORK = "11111111-aaaa", "22222222-aaaa"
PORT = 7000


class Cloud:
    """Neutron, as far as the switch asks it. Rules and ports may be changed between two turns."""

    def __init__(self) -> None:
        self.ports: list[dict[str, Any]] = []
        self.rules: dict[str, list[dict[str, Any]]] = {}
        self.network = self

    def get(self, path: str) -> Cloud:
        self._asked = path.strip("/").replace("-", "_")
        return self

    def raise_for_status(self) -> None:
        pass

    def json(self) -> dict[str, Any]:
        subnets = [
            {"network_id": network, "ip_version": 4, "enable_dhcp": True, "gateway_ip": gateway, "cidr": cidr}
            for network, gateway, cidr in (
                (NETWORK, ROUTER, "10.9.0.0/24"),
                (OTHER_NETWORK, "10.8.0.1", "10.8.0.0/24"),
            )
        ]
        groups = [{"id": name, "security_group_rules": rules} for name, rules in self.rules.items()]
        return {"ports": self.ports, "security_groups": groups, "subnets": subnets}

    def port(self, number: int, group: str, network: str = NETWORK) -> dict[str, Any]:
        address = f"10.{9 if network == NETWORK else 8}.0.{number}"
        port = {
            "id": f"{number:08d}-bbbb",
            "network_id": network,
            "mac_address": f"fa:16:3e:00:00:{number:02x}",
            "device_owner": "compute:nova",
            "fixed_ips": [{"ip_address": address}],
            "security_groups": [group],
        }
        self.ports.append(port)
        return port


def allowing(direction: str, **details: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id"))
    return {"direction": direction, "ethertype": "IPv4", **nothing, **details}


EVERYTHING_OUT = allowing("egress")
TO_THE_PORT = {"protocol": "tcp", "port_range_min": PORT, "port_range_max": PORT}


class Street:
    """Two guests on one network and one on another; all may speak. `listener` answers on PORT."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._cloud = Cloud()
        self._switch = Switch(self._cloud)
        self.listener = self._settle(self._cloud.port(5, "listeners"))
        self.neighbour = self._settle(self._cloud.port(6, "neighbours"))
        self.stranger = self._settle(self._cloud.port(7, "strangers", OTHER_NETWORK))
        self.allow()

    def allow(self, *rules: dict[str, Any]) -> None:
        """What the listener's group allows beside speaking itself."""
        welcoming = [EVERYTHING_OUT, allowing("ingress")]
        self._cloud.rules = {"listeners": [EVERYTHING_OUT, *rules], "neighbours": welcoming, "strangers": welcoming}
        # The first turn makes the bridges, so the second finds them.
        self._switch.turn()
        self._switch.turn()

    def router_reaches_the_listener(self) -> bool:
        return connects(self.listener.address)

    def _settle(self, port: dict[str, Any]) -> Neighbour:
        address = port["fixed_ips"][0]["ip_address"]
        return settle(self._room, port["id"], port["mac_address"], f"{address}/24", f"{address.rpartition('.')[0]}.1")


def connects(address: str) -> bool:
    with socket.socket() as way:
        way.settimeout(5)
        return way.connect_ex((address, PORT)) == 0


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    with Room() as room, room.network():
        street = Street(room)
        with street.listener.serves(PORT):
            yield street


def test_without_a_rule_nobody_comes_in(street: Street):
    street.allow()
    assert not street.neighbour.reaches(street.listener.address, PORT)
    assert not street.stranger.reaches(street.listener.address, PORT)
    assert not street.router_reaches_the_listener()


def test_a_rule_for_one_address_lets_in_that_one_alone(street: Street):
    street.allow(allowing("ingress", **TO_THE_PORT, remote_ip_prefix=f"{ROUTER}/32"))
    assert street.router_reaches_the_listener()
    assert not street.neighbour.reaches(street.listener.address, PORT)


def test_a_rule_for_a_group_lets_in_its_members(street: Street):
    street.allow(allowing("ingress", **TO_THE_PORT, remote_group_id="neighbours"))
    assert street.neighbour.reaches(street.listener.address, PORT)
    assert not street.router_reaches_the_listener()


def test_a_rule_for_another_port_opens_nothing_here(street: Street):
    street.allow(allowing("ingress", protocol="tcp", port_range_min=1, port_range_max=PORT - 1))
    assert not street.neighbour.reaches(street.listener.address, PORT)


def test_a_rule_for_everybody_does_not_join_networks_that_no_router_joins(street: Street):
    street.allow(allowing("ingress"))
    assert street.neighbour.reaches(street.listener.address, PORT)
    assert not street.stranger.reaches(street.listener.address, PORT)


def test_who_asked_gets_the_answer_though_nobody_may_come_in(street: Street):
    street.allow()
    with street.neighbour.serves(PORT):
        assert street.listener.reaches(street.neighbour.address, PORT)


def test_a_datagram_from_anothers_address_is_dropped(street: Street):
    street.allow(allowing("ingress"))
    absent = "10.9.0.200"
    street.neighbour.answers_to(absent)
    with street.listener.hears(PORT, awaited=street.neighbour.address) as heard:
        street.neighbour.sends(street.listener.address, PORT, sender=absent)
        street.neighbour.sends(street.listener.address, PORT, sender=street.neighbour.address)
    assert heard == [street.neighbour.address]


def test_a_port_of_neutrons_own_is_no_guest():
    port = Cloud().port(9, "any")
    assert guests([port | {"device_owner": "network:dhcp"}], []) == []
    assert [guest.tap for guest in guests([port], [])] == [tap_name(port["id"])]
