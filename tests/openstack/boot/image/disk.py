"""A bootable disk from a tree of files: one partition, ext4, extlinux, then qcow2. Only the loader needs a mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.openstack.boot.image.system import run

MIB = 1024 * 1024
# Where partitioning tools put the first partition: the gap before it is the boot loader's.
START_MB = 1
LABEL = "js2-root"
BOOT_CODE = Path("/usr/lib/EXTLINUX/mbr.bin")
BOOT_CODE_BYTES = 440


def make_disk(root: Path, spare_mb: int, qcow2: Path) -> None:
    """Make `qcow2` of what lies below `root`, with `spare_mb` free. Into what Nova gives beyond that it has to grow."""
    raw = qcow2.with_suffix(".raw")
    size_mb = _used_mb(root) + spare_mb
    _partition(raw, size_mb)
    _make_file_system(raw, root, size_mb)
    _make_bootable(raw, size_mb)
    run(
        ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, qcow2],
        os.environ,
    )
    raw.unlink()


def _used_mb(root: Path) -> int:
    told = run(["du", "--summarize", "--block-size=1M", root], os.environ)
    return int(told.split()[0])


def _partition(raw: Path, size_mb: int) -> None:
    with raw.open("wb") as disk:
        disk.truncate((START_MB + size_mb) * MIB)
    table = f"label: dos\nstart={START_MB}MiB, type=83, bootable\n"
    subprocess.run(["sfdisk", "--quiet", raw], input=table, text=True, check=True)
    with raw.open("r+b") as disk:
        disk.write(BOOT_CODE.read_bytes()[:BOOT_CODE_BYTES])


def _make_file_system(raw: Path, root: Path, size_mb: int) -> None:
    # extlinux reads no 64-bit block numbers; the checksums that need them go, too.
    features = "^64bit,^metadata_csum"
    options = ["-q", "-L", LABEL, "-m", "1", "-O", features, "-E", f"offset={START_MB * MIB}", "-d", str(root)]
    run(["mke2fs", "-t", "ext4", *options, raw, f"{size_mb}M"], os.environ)


def _make_bootable(raw: Path, size_mb: int) -> None:
    with _loop(raw, size_mb) as device, _mounted(device, raw.with_suffix(".mount")) as there:
        run(["extlinux", "--install", there / "boot"], os.environ)


@contextmanager
def _loop(raw: Path, size_mb: int) -> Iterator[str]:
    options = ["--find", "--show", f"--offset={START_MB * MIB}", f"--sizelimit={size_mb * MIB}"]
    device = run(["losetup", *options, raw], os.environ).strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device], os.environ)


@contextmanager
def _mounted(device: str, there: Path) -> Iterator[Path]:
    there.mkdir()
    try:
        run(["mount", "-t", "ext4", device, there], os.environ)
        try:
            yield there
        finally:
            run(["umount", there], os.environ)
    finally:
        there.rmdir()


def missing_tools() -> list[str]:
    """Debian's packages that this machine lacks for a build."""
    needs = {"mmdebstrap": "mmdebstrap", "sfdisk": "fdisk", "mke2fs": "e2fsprogs", "extlinux": "extlinux"}
    needs |= {"qemu-img": "qemu-utils", "zstd": "zstd"}
    return [package for program, package in needs.items() if not shutil.which(program)]
