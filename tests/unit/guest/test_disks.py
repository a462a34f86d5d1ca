"""A disk is found by the serial number the cloud gave it, however it is shown, and never taken for another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.guest import disks
from js2spawner.guest.disks import Disk, Disks, NoDisk

SERIAL = "3f1b7a52-94c0-4d1e-8e55-0123456789ab"


class Machine:
    """Links and /sys of a machine on which each look costs a second; folders stand for its disks."""

    def __init__(self, folder: Path) -> None:
        self.by_id = folder / "by-id"
        self.sys = folder / "sys"
        self.folder = folder
        self.now = 0.0
        self.later: Callable[[], object] = lambda: None

    def link(self, name: str, disk: str) -> None:
        for folder in (self.by_id, self.folder / disk):
            folder.mkdir(exist_ok=True)
        (self.by_id / name).symlink_to(self.folder / disk)

    def find(self, serial: str = SERIAL) -> Disk | None:
        return Disks(lambda: self.now, self.sleep, self.by_id).find(serial)

    def wait(self) -> Disk:
        return Disks(lambda: self.now, self.sleep, self.by_id).wait_for(SERIAL, lambda: None, patience_s=30.0)

    def sleep(self, _seconds: float) -> None:
        self.now += 1.0
        if self.now == 10.0:
            self.later()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        f"virtio-{SERIAL[:20]}",
        f"scsi-0QEMU_QEMU_HARDDISK_{SERIAL}",
        f"scsi-SQEMU_QEMU_HARDDISK_{SERIAL[:20]}",
        f"nvme-QEMU_NVMe_Ctrl_{SERIAL[:20]}",
    ],
)
def test_a_disk_is_found_by_what_udev_makes_of_its_serial(machine: Machine, name: str) -> None:
    machine.link(f"virtio-{'a' * 20}", "system")
    machine.link(name, "home")
    machine.link(f"{name}-part1", "part")
    assert machine.find() == Disk(machine.folder / "home", is_folder=True)


def test_a_serial_that_only_contains_it_is_another_disks(machine: Machine) -> None:
    machine.link(f"virtio-f{SERIAL[:19]}", "other")
    assert machine.find() is None


def test_several_links_to_one_disk_are_one_disk(machine: Machine) -> None:
    machine.link(f"virtio-{SERIAL[:20]}", "home")
    machine.link(f"scsi-0QEMU_QEMU_HARDDISK_{SERIAL}", "home")
    assert machine.find() is not None


def test_two_disks_that_cannot_be_told_apart_are_neither(machine: Machine) -> None:
    # Two volumes whose ids begin alike: virtio shows no more of them.
    machine.link(f"virtio-{SERIAL[:20]}", "home")
    machine.link(f"virtio-{SERIAL[:20]}x", "other")
    with pytest.raises(NoDisk, match="two disks"):
        machine.find()


def test_a_link_that_leads_nowhere_is_no_disk_yet(machine: Machine) -> None:
    machine.link(f"virtio-{SERIAL[:20]}", "home")
    (machine.folder / "home").rmdir()
    assert machine.find() is None


def test_a_disk_that_is_plugged_in_later_is_waited_for(machine: Machine) -> None:
    machine.later = lambda: machine.link(f"virtio-{SERIAL[:20]}", "home")
    assert machine.wait().is_folder
    assert machine.now == 10.0


def test_it_is_not_waited_for_for_ever(machine: Machine) -> None:
    with pytest.raises(NoDisk, match="did not appear within 30 s"):
        machine.wait()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("block/vdb/serial", SERIAL[:20].encode()),
        ("block/sdb/device/vpd_pg80", b"\x00\x80\x00\x24" + SERIAL.encode()),
        ("block/nvme1n1/device/serial", SERIAL[:20].encode() + b"    \n"),
    ],
)
def test_the_kernel_is_asked_where_udev_has_made_no_link_yet(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, file: str, content: bytes
) -> None:
    monkeypatch.setattr(disks, "BY_ID", machine.by_id)
    for name, told in (("block/vda/serial", b"root"), (file, content)):
        (machine.sys / name).parent.mkdir(parents=True)
        (machine.sys / name).write_bytes(told)
    found = Disks(lambda: 0.0, machine.sleep, sys=machine.sys)._devices(SERIAL[:20])
    assert [path.name for path in found] == [file.split("/")[1]]


def test_a_kernel_that_missed_the_plug_is_told_to_look_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "BY_ID", machine.by_id)
    rescan = machine.sys / "bus/pci/rescan"
    rescan.parent.mkdir(parents=True)
    written: list[float] = []
    monkeypatch.setattr(Path, "write_text", lambda path, _text: written.append(machine.now) if path == rescan else None)
    with pytest.raises(NoDisk):
        Disks(lambda: machine.now, machine.sleep, sys=machine.sys).wait_for(SERIAL, lambda: None, patience_s=30.0)
    assert written == [disks.RESCAN_AFTER_S]


def test_only_zeros_and_no_signature_are_blank(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        stream.truncate(8 * disks.MIB)
    assert disks.is_blank(file)
    with file.open("r+b") as stream:
        stream.seek(disks.MIB - 1)
        stream.write(b"\1")
    assert not disks.is_blank(file)


def test_what_cannot_be_read_is_not_blank(tmp_path: Path) -> None:
    assert not disks.is_blank(tmp_path / "nothing")
    (tmp_path / "empty").touch()
    assert not disks.is_blank(tmp_path / "empty")
