"""Block devices of the host that are files: loop devices, opened for a machine and let go by themselves.

Each one is set up with autoclear (loop(4)): it is free again once nobody has it open or mounted, so none outlives the
machine that uses it, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from pathlib import Path

_CONTROL = Path("/dev/loop-control")
# include/uapi/linux/loop.h
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_MAJOR = 7
_INFO64 = "QQQQQIIII64s64s32s2Q"
_TRIES = 50
_LOOK_EVERY_S = 0.02


def usable() -> bool:
    """Whether this process may make loop devices at all."""
    if os.geteuid() != 0:
        return False
    with contextlib.suppress(OSError):
        os.close(os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC))
        return True
    return False


def open_loop(file: Path) -> int:
    """A descriptor of a fresh loop device on `file`: whoever closes it last frees the device. Raises OSError."""
    backing = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        for _ in range(_TRIES):
            loop = _open_device(_free_number())
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, _configuration(backing, file))
            except OSError as problem:
                os.close(loop)
                # Somebody else took the same free one.
                if problem.errno != errno.EBUSY:
                    raise
            else:
                return loop
    finally:
        os.close(backing)
    raise OSError(errno.EBUSY, "no loop device is free")


def released(file: Path, within_s: float) -> bool:
    """Whether no loop device is left on a file, waiting a little for the kernel to let go. Blocks."""
    deadline = time.monotonic() + within_s
    while used_by(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def used_by(file: Path) -> list[str]:
    """The loop devices on a file, by name."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            if backing.read_text().rstrip("\n") == str(file):
                found.append(backing.parts[3])
    return found


def _free_number() -> int:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        return int(fcntl.ioctl(control, _LOOP_CTL_GET_FREE))
    finally:
        os.close(control)


def _open_device(number: int) -> int:
    device = Path(f"/dev/loop{number}")
    if not device.exists():
        # In a container nobody makes the node of a device that the kernel has just made.
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return os.open(device, os.O_RDWR | os.O_CLOEXEC)


def _configuration(backing: int, file: Path) -> bytes:
    """`struct loop_config`: the file, the device's own sector size, and `struct loop_info64`."""
    name = os.fsencode(file)[:63]
    info = struct.pack(_INFO64, 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
    return struct.pack("II", backing, 0) + info + b"\0" * 64
