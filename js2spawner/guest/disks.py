"""Which disk of this machine is meant: found by the serial number the cloud gives it, never by its letter.

Nova sets a volume's id as serial. QEMU shows its first 20 characters for virtio-blk, all of it for SCSI; udev makes
links of it below /dev/disk/by-id, and the kernel shows it in /sys/block whether there is udev or not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import system
from .system import CannotRun

log = logging.getLogger("js2")

BY_ID = Path("/dev/disk/by-id")
SYS = Path("/sys")
# What virtio-blk shows of a serial (VIRTIO_BLK_ID_BYTES, linux/virtio_blk.h).
SHOWN = 20
PATIENCE_S = 60.0
LOOK_EVERY_S = 0.1
# A disk that was plugged in while the kernel was starting may have gone unnoticed.
RESCAN_AFTER_S = 5.0
MIB = 1024 * 1024
_PARTITION = re.compile(r"-part\d+$")


class NoDisk(Exception):
    """The disk is not there, or cannot be told from others; the message is one sentence."""


@dataclass(frozen=True)
class Disk:
    """A block device; or a folder that stands for one, where machines have no devices of their own."""

    path: Path
    is_folder: bool = False


class Disks:
    """The disks of this machine. `by_id` given, they are looked for there and nowhere else."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        by_id: Path | None = None,
        sys: Path = SYS,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._by_id = BY_ID if by_id is None else by_id
        self._sys = sys if by_id is None else None

    def wait_for(self, serial: str, meanwhile: Callable[[], None], patience_s: float = PATIENCE_S) -> Disk:
        """The disk whose serial begins with `serial`, once it is there. Raises NoDisk."""
        since, rescanned = self._clock(), False
        while True:
            found = self.find(serial)
            if found is not None:
                return found
            waited_s = self._clock() - since
            if waited_s >= patience_s:
                raise NoDisk(f"its disk did not appear within {patience_s:.0f} s")
            if waited_s >= RESCAN_AFTER_S and not rescanned:
                rescanned = True
                self._rescan()
            meanwhile()
            self._sleep(LOOK_EVERY_S)

    def find(self, serial: str) -> Disk | None:
        """The disk, if it is there now. Raises NoDisk when several bear that serial."""
        shown = serial[:SHOWN]
        found = {link.resolve() for link in self._links(shown)} | set(self._devices(shown))
        kinds = [(path, path.stat().st_mode) for path in sorted(found) if path.exists()]
        usable = [Disk(path, stat.S_ISDIR(mode)) for path, mode in kinds if stat.S_ISBLK(mode) or stat.S_ISDIR(mode)]
        if len(usable) > 1:
            raise NoDisk("two disks bear its serial number")
        return usable[0] if usable else None

    def _links(self, shown: str) -> list[Path]:
        try:
            names = [entry.name for entry in self._by_id.iterdir()]
        except OSError:
            return []
        # virtio-SERIAL, scsi-0QEMU_QEMU_HARDDISK_SERIAL, nvme-…_SERIAL: whole words only.
        named = re.compile(rf"(?:^|[_-]){re.escape(shown)}")
        return [self._by_id / name for name in names if named.search(name) and not _PARTITION.search(name)]

    def _devices(self, shown: str) -> list[Path]:
        """By what the kernel itself says; there is nothing to wait for that udev would have to do first."""
        if self._sys is None:
            return []
        told = [*self._sys.glob("block/*/serial"), *self._sys.glob("block/*/device/serial")]
        told += self._sys.glob("block/*/device/vpd_pg80")
        return [Path("/dev", file.relative_to(self._sys).parts[1]) for file in told if _serial(file).startswith(shown)]

    def _rescan(self) -> None:
        if self._sys is None:
            return
        for file, word in [(self._sys / "bus/pci/rescan", "1"), *_hosts(self._sys)]:
            with contextlib.suppress(OSError):
                file.write_text(word)


def _serial(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError:
        return ""
    # SCSI's page 80h begins with four bytes of its own (SPC-4, 7.8.18).
    return (raw[4:] if file.name == "vpd_pg80" else raw).decode("ascii", errors="replace").strip("\0 \n")


def _hosts(sys: Path) -> list[tuple[Path, str]]:
    return [(file, "- - -") for file in sys.glob("class/scsi_host/*/scan")]


def size_bytes(device: Path) -> int:
    """Raises OSError."""
    with device.open("rb", buffering=0) as stream:
        return stream.seek(0, os.SEEK_END)


def is_free(device: Path) -> bool:
    """Whether nothing on this machine holds it: no mount, wherever it is, and no program that claims it (open(2))."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def kind_of(device: Path) -> str:
    """What is on it: "ext4", another signature's name, "" for none, "?" for what cannot be told. Raises CannotRun."""
    done = system.run("blkid", "-p", "-o", "export", str(device))
    if done.status == 2:
        return ""
    told = dict(line.partition("=")[::2] for line in done.said.splitlines())
    if done.status != 0:
        return "?"
    return told.get("TYPE") or told.get("PTTYPE") or "?"


def is_blank(device: Path) -> bool:
    """Whether it bears no signature and its first and last MiB are zeros. What cannot be read is not blank."""
    try:
        if kind_of(device):
            return False
        with device.open("rb", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            for place in (0, max(0, size - MIB)):
                stream.seek(place)
                if stream.read(MIB).strip(b"\0"):
                    return False
    except (OSError, CannotRun):
        return False
    return size > 0
