"""What joins the taps of a room to networks: `python -m tests.openstack.boot.switch --cloud ENTRY`, in the room.

A bridge for each of Neutron's networks, with the subnet's gateway address: the room itself is the guests' router, and
a hub that runs in it sits at that address. Guests of one bridge are kept apart on it and reach each other through the
router, which answers for them (ip-sysctl, `proxy_arp_pvlan`): not every kernel remembers the connections of a bridge,
and without that a security group cannot know a reply.
"""

from __future__ import annotations

import json
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click
import openstack
from openstack.connection import Connection
from openstack.exceptions import SDKException

from tests.openstack.boot.groups import Guest, bridge_name, guests, ruleset, tap_name
from tests.openstack.boot.room import run

log = logging.getLogger("switch")

LOOK_EVERY_S = 1.0
_SYSCTL = Path("/proc/sys/net")


@dataclass(frozen=True, slots=True)
class Seen:
    """Neutron's picture and the kernel's, at one moment."""

    ports: Sequence[Mapping[str, Any]]
    groups: Sequence[Mapping[str, Any]]
    gateways: Mapping[str, str]
    links: Mapping[str, Mapping[str, Any]]


class Switch:
    def __init__(self, cloud: Connection) -> None:
        self._cloud = cloud
        self._applied = ""

    def turn(self) -> None:
        """Look once, and do what is due."""
        seen = self._look()
        for bridge, gateway in seen.gateways.items():
            if bridge not in seen.links:
                _make_bridge(bridge, gateway)
        present = [guest for guest in guests(seen.ports, seen.groups) if guest.tap in seen.links]
        # A guest is joined to others only once the filter knows it.
        self._apply(present)
        self._plug(seen, {guest.tap: guest for guest in present})

    def _look(self) -> Seen:
        links = {link["ifname"]: link for link in json.loads(run(["ip", "-json", "link"]))}
        subnets = [each for each in self._ask("subnets") if each["ip_version"] == 4 and each["enable_dhcp"]]
        gateways = {
            bridge_name(each["network_id"]): f"{each['gateway_ip']}/{ip_network(each['cidr']).prefixlen}"
            for each in subnets
        }
        return Seen(self._ask("ports"), self._ask("security-groups"), gateways, links)

    def _ask(self, what: str) -> list[dict[str, Any]]:
        answer = self._cloud.network.get(f"/{what}")
        answer.raise_for_status()
        return list(answer.json()[what.replace("-", "_")])

    def _apply(self, present: Sequence[Guest]) -> None:
        wanted = ruleset(sorted(present, key=lambda guest: guest.tap))
        if wanted != self._applied:
            subprocess.run(["nft", "-f", "-"], input=wanted, text=True, check=True)
            self._applied = wanted

    def _plug(self, seen: Seen, present: Mapping[str, Guest]) -> None:
        for port in seen.ports:
            tap, bridge = tap_name(port["id"]), bridge_name(port["network_id"])
            if tap in seen.links and "master" not in seen.links[tap] and bridge in seen.gateways:
                run(["ip", "link", "set", tap, "master", bridge])
                if tap in present:
                    run(["ip", "link", "set", tap, "type", "bridge_slave", "isolated", "on"])
                run(["ip", "link", "set", tap, "up"])
                log.info("%s is in %s", tap, bridge)


def _make_bridge(bridge: str, gateway: str) -> None:
    run(["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0"])
    settings = {
        f"ipv6/conf/{bridge}/disable_ipv6": 1,
        "ipv4/ip_forward": 1,
        f"ipv4/conf/{bridge}/proxy_arp_pvlan": 1,
        f"ipv4/neigh/{bridge}/proxy_delay": 0,
        # "There is a shorter way" would be told to every guest that talks to its neighbour.
        "ipv4/conf/all/send_redirects": 0,
        f"ipv4/conf/{bridge}/send_redirects": 0,
        # What is only bridged (DHCP, metadata) is no business of the router's filter.
        "bridge/bridge-nf-call-iptables": 0,
    }
    for name, value in settings.items():
        if (_SYSCTL / name).exists():
            (_SYSCTL / name).write_text(str(value))
    run(["ip", "address", "add", gateway, "dev", bridge])
    run(["ip", "link", "set", bridge, "up"])
    log.info("%s is the router of %s", gateway, bridge)


@click.command()
@click.option("--cloud", required=True, help="an administrator's entry in clouds.yaml")
def main(cloud: str) -> None:
    """Join taps to networks until the room ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    switch = Switch(openstack.connect(cloud=cloud))
    while True:
        try:
            switch.turn()
        except (SDKException, subprocess.CalledProcessError, OSError) as problem:
            # A port may go, or a service restart, between two looks: the next one sees how things are.
            log.info("%s: %s", problem, getattr(problem, "stderr", ""))
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main()
