"""A wish that is in order, carried out: a volume or a share mounted, let go, grown."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from . import disks
from .linux import MS_BIND, MS_RDONLY, MS_REMOUNT, grow_ext4, mount, size_bytes, unmount
from .wishes import Refused, Wish, check_place

# A file system may itself say that an error in it is to stop the kernel (tune2fs -e panic): here that is the host's.
_OPTIONS = "errors=remount-ro"
_NOT_OURS = "permission denied"


def fulfil(wish: Wish, devices: Mapping[int, int], gone: Collection[int]) -> None:
    """Raises Refused, and OSError where the kernel says no.

    `devices` are the machine's open disks by their number, `gone` the numbers of those it had: they can be unmounted.
    """
    match wish.do:
        case "mount" if wish.kind == "ext4":
            _mount_disk(wish, devices)
        case "mount":
            _mount_share(wish)
        case "umount":
            _unmount(wish, {*devices, *gone})
        case "resize":
            _grow(wish, devices)


def _target(wish: Wish) -> Path:
    target = os.path.realpath(wish.target)
    check_place(target)
    if not Path(target).is_dir():
        raise Refused("mount point does not exist")
    return Path(target)


def _mount_disk(wish: Wish, devices: Mapping[int, int]) -> None:
    number, source = _device(wish.source, devices)
    target = _target(wish)
    if target in disks.mounts_of_disk(number):
        raise Refused(f"{source} already mounted on {target}")
    mount(str(source), target, "ext4", wish.flags, f"{_OPTIONS},noload" if wish.noload else _OPTIONS)


def _device(source: str, devices: Mapping[int, int]) -> tuple[int, Path]:
    path = Path(os.path.realpath(source))
    if not path.is_block_device():
        raise Refused(f"{source} is not a block device" if path.exists() else f"special device {source} does not exist")
    number = path.stat().st_rdev
    if number not in devices:
        raise Refused(_NOT_OURS)
    return number, path


def _share_of(source: str) -> str:
    """`HOST:/share/ID`; whatever else it is, there is no such export."""
    share = source.rpartition("/")[2]
    if not source.endswith(f":/share/{share}") or not share or share.startswith("."):
        raise Refused("mounting failed, reason given by server: No such file or directory")
    if not any(mounted.target == disks.EXPORTS / share for mounted in disks.mounts()):
        raise Refused("access denied by server while mounting")
    return share


def _mount_share(wish: Wish) -> None:
    source, target = disks.EXPORTS / _share_of(wish.source), _target(wish)
    mount(str(source), target, "", MS_BIND)
    # A bind takes its flags only by a second call, which may add to those of its source but must repeat them.
    read_only = os.statvfs(source).f_flag & MS_RDONLY
    mount("", target, "", MS_REMOUNT | MS_BIND | wish.flags | read_only)


def _unmount(wish: Wish, devices: Collection[int]) -> None:
    """By the place or by the device, as umount(8) takes either; only what was mounted on a wish."""
    path = Path(os.path.realpath(wish.target))
    if path.is_block_device():
        number = path.stat().st_rdev
        targets = disks.mounts_of_disk(number)[-1:] if number in devices else []
    else:
        present = disks.mounts()
        ours = any(mounted.target == path and mounted.device in devices for mounted in present)
        targets = [path] if ours or _is_copy(path) else []
        if not targets and any(mounted.target == path for mounted in present):
            raise Refused("must be superuser to unmount")
    if not targets:
        raise Refused("not mounted")
    for target in targets:
        unmount(target, lazy=wish.lazy)


def _is_copy(path: Path) -> bool:
    """Whether a share is mounted there."""
    return any(path in disks.copies_of(folder) for folder in disks.EXPORTS.iterdir())


def _grow(wish: Wish, devices: Mapping[int, int]) -> None:
    number, _ = _device(wish.source, devices)
    mounted = disks.mounts_of_disk(number)
    if not mounted:
        raise Refused("is not mounted")
    grow_ext4(mounted[-1], number, size_bytes(devices[number]))
