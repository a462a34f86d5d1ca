"""The few Linux calls that Python 3.11 does not offer, by their names in the manual pages."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4

PR_SET_PDEATHSIG = 1
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36

# include/uapi/linux/capability.h. What accounts, ordinary daemons, sudo and kill need, and nothing that reaches the
# kernel, a device, another mount or the network interfaces, all of which belong to the host.
KEPT_CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_AUDIT_WRITE": 29,
}
_CAPABILITY_VERSION_3 = 0x20080522
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
# include/uapi/linux/fs.h and ext4.h: _IOWR('X', 119, int), _IOWR('X', 120, int), _IOR('X', 125, __u32) and
# _IOW('f', 16, __u64).
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878
_EXT4_SHUTDOWN = 0x8004587D
_EXT4_RESIZE = 0x40086610
_EXT4_SHUTDOWN_NOLOGFLUSH = 2
_LOOP_SET_CAPACITY = 0x4C07
_BLKGETSIZE64 = 0x80081272
# Numbers from 424 on are the same on every architecture; pivot_root is older than that.
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def prctl(option: int, argument: int) -> int:
    zero = ctypes.c_ulong(0)
    return _checked(_libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero), f"prctl {option}")


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(_libc.mount(*arguments), f"mount {kind or 'bind'} on {target}")


def set_mount_attributes(target: Path, attributes: int) -> None:
    """mount_setattr(2) on `target` and every mount below it (Linux 5.12)."""
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", attributes, 0, 0, 0), 32)
    arguments = (_AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, wanted, ctypes.c_size_t(32))
    _checked(_libc.syscall(_SYS_MOUNT_SETATTR, *arguments), f"mount_setattr {target}")


def detached_copy(source: Path, attributes: int) -> int:
    """A mount of a folder that is nowhere yet: a descriptor that `place` puts into any mount namespace (Linux 5.2)."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    tree = _checked(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), flags), f"open_tree {source}")
    wanted = ctypes.create_string_buffer(struct.pack("QQQQ", attributes, 0, 0, 0), 32)
    arguments = (tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), wanted, ctypes.c_size_t(32))
    try:
        _checked(_libc.syscall(_SYS_MOUNT_SETATTR, *arguments), f"mount_setattr {source}")
    except OSError:
        os.close(tree)
        raise
    return tree


def place(tree: int, target: Path) -> None:
    """Mount what `detached_copy` made on a folder of this mount namespace."""
    arguments = (tree, b"", _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH))
    _checked(_libc.syscall(_SYS_MOVE_MOUNT, *arguments), f"move_mount on {target}")


def unmount(target: Path, *, lazy: bool = False) -> None:
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    _checked(_libc.umount2(os.fsencode(target), flags), f"umount of {target}")


def cut_off(mounted: Path, device: int) -> None:
    """What the loss of its disk does to an ext4 file system: nothing more is written, everything asked of it fails."""
    _on_file_system(mounted, device, _EXT4_SHUTDOWN, struct.pack("I", _EXT4_SHUTDOWN_NOLOGFLUSH))


def hold_still(mounted: Path, device: int) -> None:
    """All is written, and nothing more until `go_on`."""
    _on_file_system(mounted, device, _FIFREEZE, struct.pack("i", 0))


def go_on(mounted: Path, device: int) -> None:
    _on_file_system(mounted, device, _FITHAW, struct.pack("i", 0))


def grow_ext4(mounted: Path, device: int, device_bytes: int) -> None:
    """Let a mounted file system use all of its device."""
    blocks = device_bytes // os.statvfs(mounted).f_frsize
    _on_file_system(mounted, device, _EXT4_RESIZE, struct.pack("Q", blocks))


def _on_file_system(folder: Path, device: int, request: int, argument: bytes) -> None:
    """Raises OSError when something else lies there by now: these calls must never reach a file system of the host."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(opened).st_dev != device:
            raise OSError(errno.EBUSY, f"{folder} is covered by another mount")
        fcntl.ioctl(opened, request, argument)
    finally:
        os.close(opened)


def take_new_size(loop: int) -> None:
    """A loop device sees that its file has grown."""
    fcntl.ioctl(loop, _LOOP_SET_CAPACITY, 0)


def size_bytes(device: int) -> int:
    """Of a block device."""
    return int(struct.unpack("Q", fcntl.ioctl(device, _BLKGETSIZE64, b"\0" * 8))[0])


def become_root_directory(new_root: Path) -> None:
    """Make `new_root`, a mount, the root of this mount namespace and let go of the old one.

    Both arguments of pivot_root are ".": the old root comes to lie on top of the new one and is detached from there
    (pivot_root(2), "pivot_root(".", ".")"), so no place for it is needed in the new root.
    """
    os.chdir(new_root)
    number = _SYS_PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root: its number on {platform.machine()} is not known here")
    _checked(_libc.syscall(number, b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def sethostname(name: str) -> None:
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Give up every capability but `kept`, for this process and all it will ever start, set-uid programs included."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        if capability not in kept and prctl(PR_CAPBSET_READ, capability):
            prctl(PR_CAPBSET_DROP, capability)
    held = sum(1 << capability for capability in kept if prctl(PR_CAPBSET_READ, capability))
    low, high = held & 0xFFFFFFFF, held >> 32
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(struct.pack("IIIIII", low, low, 0, high, high, 0), 24)
    _checked(_libc.capset(header, data), "capset")
