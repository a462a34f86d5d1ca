"""An ext4 file system that was just made, without what it keeps of the moment: the same files make the same disk.

mke2fs takes over when each file was last changed and read on the building machine, which nobody can set there, and
the mount for the boot loader leaves its own traces. Offsets are those of the kernel's documentation ("ext4 Data
Structures and Algorithms"). No checksum covers what is written here: the file system is made without metadata_csum.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_SUPERBLOCK = 1024
_BLOCK = 4096
_MAGIC = 0xEF53
_METADATA_CSUM = 0x400
_DESCRIPTOR_BYTES = 32

# Where in an inode: times of reading, of the last change, of creation; what is below the second in each, and how often
# it was changed.
_TIMES = (0x08, 0x0C, 0x90)
_COUNTS = (0x84, 0x8C, 0x94, 0x24, 0x98)
_WRITTEN, _WRITTEN_FRACTION = 0x10, 0x88
_MODE = 0x00


def set_times(raw: Path, offset: int, epoch: int) -> None:
    """Let every inode of the file system at `offset` be read, changed and made at `epoch`, and that be never mounted.

    What was written later was written then, too.

    Raises ValueError if it is none of the kind that `disk` makes.
    """
    with raw.open("r+b") as disk, mmap.mmap(disk.fileno(), 0) as memory:
        superblock = offset + _SUPERBLOCK
        magic, features = _number(memory, superblock + 0x38, "<H"), _number(memory, superblock + 0x64, "<I")
        if magic != _MAGIC or features & _METADATA_CSUM or _number(memory, superblock + 0x18, "<I") != 2:
            raise ValueError(f"{raw} holds no ext4 without checksums and with blocks of 4096 bytes at {offset}")
        _never_mounted(memory, superblock, epoch)
        inodes, in_group = (_number(memory, superblock + place, "<I") for place in (0x00, 0x28))
        size = _number(memory, superblock + 0x58, "<H")
        for group in range(inodes // in_group):
            descriptor = offset + _BLOCK + group * _DESCRIPTOR_BYTES
            table = offset + _number(memory, descriptor + 0x08, "<I") * _BLOCK
            for inode in range(table, table + in_group * size, size):
                if _number(memory, inode + _MODE, "<H"):
                    _set_inode(memory, inode, epoch)


def _never_mounted(memory: mmap.mmap, superblock: int, epoch: int) -> None:
    # Last mounted, written and checked; how often, where, and how much was written.
    for place in (0x2C, 0x30, 0x40):
        struct.pack_into("<I", memory, superblock + place, epoch)
    struct.pack_into("<H", memory, superblock + 0x34, 0)
    struct.pack_into("<64s", memory, superblock + 0x88, b"")
    struct.pack_into("<Q", memory, superblock + 0x178, 0)


def _set_inode(memory: mmap.mmap, inode: int, epoch: int) -> None:
    for place in _TIMES:
        struct.pack_into("<I", memory, inode + place, epoch)
    for place in _COUNTS:
        struct.pack_into("<I", memory, inode + place, 0)
    if _number(memory, inode + _WRITTEN, "<I") > epoch:
        struct.pack_into("<I", memory, inode + _WRITTEN, epoch)
        struct.pack_into("<I", memory, inode + _WRITTEN_FRACTION, 0)


def _number(memory: mmap.mmap, place: int, form: str) -> int:
    return int(struct.unpack_from(form, memory, place)[0])
