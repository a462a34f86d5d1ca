"""A bootable disk from a tree of files: one partition, ext4, extlinux, then qcow2.

The boot loader alone needs a mount, in a namespace that takes it along, and its loop device with it. What that leaves
of the present moment in the file system is set to the build's day again, so that the same tree makes the same disk.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from js2spawner.library.scratch import ext4
from js2spawner.library.scratch.tools import CannotBuild, System, run, run_alone

MIB = 1024 * 1024
# Where partitioning tools put the first partition: the gap before it is the boot loader's.
START_MB = 1
LABEL = "js2-root"
# A journal may take half of what is free at most, says tune2fs.
JOURNAL_MB = 64
SPARE_AT_LEAST_MB = 16
# Inode tables take a 64th; a tree of many small files has some more in folders.
OVERHEAD = 1.03
BOOT_CODE = Path("/usr/lib/EXTLINUX/mbr.bin")
BOOT_CODE_BYTES = 440
LOADER = ("boot/ldlinux.sys", "boot/ldlinux.c32")
"""To be there, empty, before the disk is made: the kernel gives new files a random generation."""

_IN_IMAGE = ("boot/extlinux.conf", "etc/fstab", "vmlinuz", "initrd.img")


@dataclass(frozen=True, slots=True)
class Shape:
    """`spare_mb` is free room, `identity` names the file system and seeds its hashes; the same makes the same disk."""

    spare_mb: int
    identity: uuid.UUID


def identity_of(definition_key: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, definition_key)


def make(system: System, shape: Shape, raw: Path) -> None:
    """Make the file `raw` of what lies below `system.root`. Into what a cloud gives beyond that it has to grow."""
    for name in _IN_IMAGE:
        if not os.path.lexists(system.root / name):
            raise CannotBuild(f"The image has no /{name}, without which it cannot boot; extend minimal, or add it.")
    spare_mb = max(shape.spare_mb, SPARE_AT_LEAST_MB)
    journal_mb = min(JOURNAL_MB, spare_mb // 2)
    size_mb = int(used_mb(system.root) * OVERHEAD) + journal_mb + spare_mb
    _partition(raw, size_mb, shape)
    _make_file_system(system, raw, size_mb, shape)
    _make_bootable(raw, size_mb)
    ext4.set_times(raw, START_MB * MIB, system.epoch)
    # Only now, since the mount would have left its transactions in it.
    settings = {"E2FSPROGS_FAKE_TIME": str(system.epoch)}
    run("tune2fs", "-J", f"size={journal_mb}", f"{raw}?offset={START_MB * MIB}", settings=settings)


def compress(raw: Path, qcow2: Path) -> None:
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", raw, qcow2)


def used_mb(root: Path) -> int:
    return int(run("du", "--summarize", "--block-size=1M", root).split()[0])


def _partition(raw: Path, size_mb: int, shape: Shape) -> None:
    with raw.open("wb") as disk:
        disk.truncate((START_MB + size_mb) * MIB)
    label = f"0x{shape.identity.int & 0xFFFFFFFF:08x}"
    table = f"label: dos\nlabel-id: {label}\nstart={START_MB}MiB, type=83, bootable\n"
    run("sfdisk", "--quiet", raw, told=table)
    with raw.open("r+b") as disk:
        disk.write(BOOT_CODE.read_bytes()[:BOOT_CODE_BYTES])


def _make_file_system(system: System, raw: Path, size_mb: int, shape: Shape) -> None:
    command = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", LABEL, "-m", "1", "-U", str(shape.identity)]
    # extlinux reads no 64-bit block numbers; the checksums that need them go, too.
    command += ["-O", "^64bit,^metadata_csum,^has_journal"]
    command += ["-E", f"offset={START_MB * MIB},hash_seed={shape.identity},root_owner=0:0,lazy_itable_init=0"]
    settings = {"E2FSPROGS_FAKE_TIME": str(system.epoch)}
    run(*command, "-d", system.root, raw, f"{size_mb}M", settings=settings)


def _make_bootable(raw: Path, size_mb: int) -> None:
    there = raw.with_suffix(".mount")
    there.mkdir()
    # `mount` asks for a loop device that goes when the last mount of it does.
    options = f"loop,offset={START_MB * MIB},sizelimit={size_mb * MIB},noatime"
    script = 'mount -t ext4 -o "$1" "$2" "$3"\nextlinux --install "$3/boot"\numount "$3"'
    # On one processor, for each would begin a place of its own for small files.
    processor = str(min(os.sched_getaffinity(0)))
    run_alone("taskset", "--cpu-list", processor, "sh", "-euc", script, "sh", options, raw, there)
    there.rmdir()
