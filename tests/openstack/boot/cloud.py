"""A real OpenStack with guests that boot, in a room: `up` from within, and what a test sees of it from without."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from openstack.connection import Connection

from js2spawner.library.boot.emulator import accelerator
from tests.browser.whole import until
from tests.openstack.boot.room import Room, run
from tests.openstack.estate import connect
from tests.openstack.place import ROOT, Place
from tests.openstack.rig import packages, qemu
from tests.openstack.rig.layout import Guests, Layout
from tests.openstack.rig.processes import RigError
from tests.openstack.rig.rig import Rig
from tests.openstack.rig.seed import NETWORK

HOME = ROOT / ".openstack"
IMAGE = "js2-boot"
SERVED_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class InRoom(Layout):
    """The services' programs are those of `home`; all else is in `place`, and goes with it."""

    guests: Guests = Guests.QEMU
    place: Path = field(default=Path("/nowhere"), kw_only=True)

    @property
    def run(self) -> Path:
        return self.place / "run"

    @property
    def clouds_yaml(self) -> Path:
        return self.place / "clouds.yaml"

    @property
    def virt_type(self) -> str:
        """Nova's word for it."""
        return {"kvm": "kvm", "tcg": "qemu"}[accelerator()]


class BootingRig(Rig):
    """Libvirt before the services, and networks once there is somebody to ask about them."""

    def _clean_start(self) -> None:
        qemu.check_room()
        super()._clean_start()
        qemu.show_libvirt_to_services(self._layout)
        qemu.start_hypervisor(self._layout, self._processes)

    def _furnish(self) -> None:
        super()._furnish()
        qemu.start_network(self._layout, self._processes)


def install(say: Callable[[str], None]) -> None:
    """What a room, which has no way to the outside, could not fetch. Raises RigError."""
    packages.install(Layout(HOME), say)
    qemu.install()


@dataclass(frozen=True, slots=True)
class BootingCloud:
    """What a test knows of it, in the room's network."""

    room: Room
    people: Place
    router: str

    def connection(self, entry: str) -> Connection:
        return connect(self.people, entry)


def start(room: Room, place: Path, image: Path) -> BootingCloud:
    """A new cloud that offers `image` to the hub's project. Raises CalledProcessError with the rig's words."""
    # The DHCP server gives up being root, and reads its hosts below it.
    place.chmod(0o711)
    room.run(sys.executable, "-m", __name__, place, folder=ROOT)
    people = Place(place / "clouds.yaml", "openstack")
    owner = connect(people, people.user)
    owner.create_image(IMAGE, filename=str(image), disk_format="qcow2", container_format="bare", wait=True)
    network = owner.network.find_network(NETWORK)
    (subnet,) = owner.network.subnets(network_id=network.id)
    until(lambda: subnet.gateway_ip in run(["ip", "address"]), "the network has its router", SERVED_WITHIN_S)
    servers = {"network_id": network.id, "device_owner": "network:dhcp", "status": "ACTIVE"}
    until(lambda: list(owner.network.ports(**servers)), "the network has its DHCP server", SERVED_WITHIN_S)
    return BootingCloud(room, people, subnet.gateway_ip)


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
def main(place: Path) -> None:
    """Start everything; PLACE is an empty folder for it."""
    since = time.monotonic()

    def say(step: str) -> None:
        click.echo(f"{time.monotonic() - since:6.1f} s  {step}")

    try:
        BootingRig(InRoom(HOME, place=place.resolve()), say).up()
    except RigError as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
