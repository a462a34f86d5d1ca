"""The file system of a home that is a volume: made once, checked before each mount, grown when its disk has grown.

Nothing here decides that a disk may be lost: it is formatted only if the hub allows it and nothing at all is on it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from . import disks, system
from .shell import Program, Shell, StepFailed
from .system import CannotRun

LABEL = "js2-home"
# Every image must be able to mount a home that another made: what Linux 3.18 and e2fsprogs 1.43 know and nothing newer.
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
# What lies on the disk is its user's work, root's included: no set-uid program and no device of theirs counts.
OPTIONS = "nosuid,nodev,relatime,errors=remount-ro"
# `noload`: a snapshot may hold a journal that was not played back, and that would be a write.
READ_ONLY = "ro,noload,nosuid,nodev"
# e2fsck(8): 0 is clean and 1 mended; more is for a person to look at.
MENDED = 1
# The last bit of a disk may be too small for a block group of its own.
LEAST_GROWTH = 16 * disks.MIB
MOUNT_TIMEOUT_S = 60.0


class Unusable(Exception):
    """It cannot be used as it stands; the message is the rest of a sentence that begins with whose it is."""


@dataclass(frozen=True)
class Prepared:
    """`formatted`: it has a file system of a home now, though the hub did not know; `note`: what did not work."""

    formatted: bool = False
    repaired: bool = False
    note: str = ""


def prepare(device: Path, may_format: bool, shell: Shell, until: float) -> Prepared:
    """Have a sound file system on the disk, as large as the disk. Raises Unusable, and then nothing was lost."""
    try:
        kind = disks.kind_of(device)
        if kind == "":
            _make(device, may_format, shell, until)
        elif kind not in ("ext4", "ext3", "ext2"):
            raise Unusable(f"its disk holds something else than a home ({_word(kind)}), and is left as it is")
        repaired = _check(device, shell, until)
        grown = _grow(device, shell, until)
        # One that an earlier start made and never told of has its file system just as well.
        return Prepared(formatted=may_format, repaired=repaired, note=grown)
    except (CannotRun, StepFailed) as problem:
        raise Unusable(f"its disk cannot be prepared: {str(problem).rstrip('.')}") from problem
    except OSError as problem:
        raise Unusable(f"its disk cannot be read ({problem.strerror})") from problem


def mount(device: Path, place: Path, options: str = OPTIONS) -> None:
    """Raises CannotRun."""
    system.must("mount", "-t", "ext4", "-o", options, str(device), str(place), timeout_s=MOUNT_TIMEOUT_S)


def _make(device: Path, may_format: bool, shell: Shell, until: float) -> None:
    if not disks.is_blank(device):
        raise Unusable("its disk holds data but no file system, and is left as it is")
    if not may_format:
        raise Unusable("its disk is empty, although a home was on it before, and is left as it is")
    options = ("-q", "-L", LABEL, "-m", "0", "-O", FEATURES, "-E", "nodiscard")
    # Without -F: mke2fs then refuses a disk that is in use.
    shell.run(Program(("mkfs.ext4", *options, str(device))), until, "mkfs.ext4")


def _check(device: Path, shell: Shell, until: float, *more: str) -> bool:
    """Whether it had to be mended. Raises Unusable when that is beyond what is safe to do without a person."""
    status, _ = shell.finish(Program(("e2fsck", "-p", *more, str(device))), until, "e2fsck")
    if status > MENDED:
        raise Unusable(f"its file system needs a repair by hand (e2fsck -p ended with {status})")
    return status == MENDED


def _grow(device: Path, shell: Shell, until: float) -> str:
    if disks.size_bytes(device) - size_bytes(device) < LEAST_GROWTH:
        return ""
    # resize2fs refuses one that was mounted since it was looked at in full.
    _check(device, shell, until, "-f")
    status, _ = shell.finish(Program(("resize2fs", str(device))), until, "resize2fs")
    if status == 0:
        return ""
    _check(device, shell, until)
    return "Your home could not be grown to its new size; it is as large as it was."


def size_bytes(device: Path) -> int:
    """How large the file system says it is (ext4(5): the superblock, at 1024). Raises OSError."""
    with device.open("rb", buffering=0) as stream:
        stream.seek(1024)
        block = stream.read(1024)
    low, log_size = struct.unpack_from("<I", block, 0x4)[0], struct.unpack_from("<I", block, 0x18)[0]
    incompatible, high = struct.unpack_from("<I", block, 0x60)[0], struct.unpack_from("<I", block, 0x150)[0]
    blocks = low | (high << 32 if incompatible & 0x80 else 0)
    return int(blocks << (10 + min(log_size, 6)))


def _word(kind: str) -> str:
    return "".join(letter for letter in kind if letter.isalnum() or letter in "_-")[:32] or "unknown"
