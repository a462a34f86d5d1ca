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


class Port:
    """Not OpenStack's own ports: another OpenStack, and the embedded cloud, may use those."""

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


@dataclass(frozen=True, slots=True)
class Layout:
    """`home` keeps what is worth keeping (the services' virtual environment); `run` lives as long as the services."""

    home: Path
    guests: Guests = Guests.FAKE

    @property
    def venv(self) -> Path:
        return self.home / "venv"

    @property
    def run(self) -> Path:
        return self.home / "run"

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
        return self.home / "clouds.yaml"

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
