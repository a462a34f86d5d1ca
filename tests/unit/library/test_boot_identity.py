"""A disk that another instance boots keeps nothing by which the first one could be taken for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "images" / "files" / "minimal" / "opt" / "js2" / "renew-identity"
FIRST, SECOND = "6c1f7d0e-0000-4000-8000-000000000001", "6c1f7d0e-0000-4000-8000-000000000002"


class Disk:
    """A root file system, and the instances that boot it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._told = folder / "product_uuid"
        for name in ("etc/ssh", "var/lib/systemd", "bin"):
            (self.root / name).mkdir(parents=True)
        self.machine_id = self.root / "etc/machine-id"
        self.host_key = self.root / "etc/ssh/ssh_host_ed25519_key"
        self.seed = self.root / "var/lib/systemd/random-seed"
        self._programs = folder / "programs"
        self._programs.mkdir()
        made = self._programs / "systemd-machine-id-setup"
        made.write_text(f"#!/bin/sh\ncat /proc/sys/kernel/random/uuid | tr -d - > {self.machine_id}\n")
        made.chmod(0o755)

    def is_booted_by(self, instance: str) -> str:
        """The machine-id it then has."""
        self._told.write_text(f"{instance}\n")
        path = f"{self._programs}:{os.environ['PATH']}"
        subprocess.run(["sh", SCRIPT, self.root, self._told], check=True, env={**os.environ, "PATH": path})
        return self.machine_id.read_text()

    def lives_on(self) -> None:
        """What a running system comes to have."""
        self.host_key.write_text("key")
        self.seed.write_text("seed")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path)
    disk.machine_id.write_text("")
    return disk


def test_an_image_as_it_was_built_gets_an_identity(disk: Disk) -> None:
    assert len(disk.is_booted_by(FIRST).strip()) == 32


def test_a_reboot_keeps_it(disk: Disk) -> None:
    before = disk.is_booted_by(FIRST)
    disk.lives_on()
    assert disk.is_booted_by(FIRST) == before
    assert disk.host_key.exists()
    assert disk.seed.exists()


def test_another_instance_gets_another_and_none_of_the_keys(disk: Disk) -> None:
    before = disk.is_booted_by(FIRST)
    disk.lives_on()
    assert disk.is_booted_by(SECOND) != before
    assert not disk.host_key.exists()
    assert not disk.seed.exists()


def test_the_memory_of_whose_disk_it_was_is_for_root_alone(disk: Disk) -> None:
    disk.is_booted_by(FIRST)
    assert (disk.root / "var/lib/js2").stat().st_mode & 0o077 == 0
