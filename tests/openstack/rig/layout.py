"""Where the rig keeps what, and which ports of 127.0.0.1 its services have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

HOST = "127.0.0.1"
REGION = "RegionOne"

# Everything listens on loopback and holds nothing of value, so its passwords may be known to all.
SERVICE_PASSWORD = "rig-service"
ADMIN_PASSWORD = "rig-admin"
PEOPLES_PASSWORD = "rig-member"
METADATA_SECRET = "rig-metadata"
DATABASE_PASSWORD = "rig-database"

DATABASES = ("keystone", "placement", "glance", "nova", "nova_api", "nova_cell0", "neutron", "cinder")
# More than lies between any two of one rig's.
_PORTS_APART = 1000


class Port:
    """The first rig's. Not OpenStack's own ports: another OpenStack, and the embedded cloud, may use those."""

    KEYSTONE = 15500
    NOVA = 15574
    METADATA = 15575
    CINDER = 15576
    PLACEMENT = 15578
    GLANCE = 15592
    NEUTRON = 15596
    RABBITMQ = 15672
    RABBITMQ_NODES = 15673
    EPMD = 15369


class Guests(StrEnum):
    """What Nova's instances are: pretended by its own fake hypervisor, or booted by libvirt and QEMU."""

    FAKE = "fake"
    QEMU = "qemu"


class Which(StrEnum):
    """Which of the rigs that run beside each other."""

    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class Layout:
    """`home` keeps what is worth keeping (the services' virtual environment), for all rigs; `run` lives as long as the
    services of one.
    """

    home: Path
    guests: Guests = Guests.FAKE
    which: Which = Which.FIRST

    @property
    def own(self) -> Path:
        """What this rig alone has."""
        return self.home if self.which is Which.FIRST else self.home / self.which

    def port(self, of_first: int) -> int:
        """The port that is here what `of_first` is for the first rig."""
        return of_first + _PORTS_APART * list(Which).index(self.which)

    @property
    def ports(self) -> dict[str, int]:
        return {name: self.port(number) for name, number in vars(Port).items() if name.isupper()}

    @property
    def keystone_url(self) -> str:
        return f"http://{HOST}:{self.port(Port.KEYSTONE)}/v3"

    @property
    def venv(self) -> Path:
        return self.home / "venv"

    @property
    def run(self) -> Path:
        return self.own / "run"

    @property
    def settings(self) -> Path:
        return self.run / "settings"

    @property
    def logs(self) -> Path:
        return self.run / "log"

    @property
    def pids(self) -> Path:
        return self.run / "pid"

    @property
    def mariadb_socket(self) -> Path:
        return self.run / "mariadb.sock"

    @property
    def images(self) -> Path:
        """Glance's store of files."""
        return self.run / "images"

    @property
    def clouds_yaml(self) -> Path:
        return self.own / "clouds.yaml"

    @property
    def compute_host(self) -> str:
        return f"compute-{self.guests}"

    def program(self, name: str) -> Path:
        """A program that came with the services."""
        return self.venv / "bin" / name

    def setting(self, name: str) -> Path:
        return self.settings / name

    def database_url(self, database: str) -> str:
        return f"mysql+pymysql://rig:{DATABASE_PASSWORD}@/{database}?unix_socket={self.mariadb_socket}&charset=utf8mb4"
