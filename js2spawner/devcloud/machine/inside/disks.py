"""Where a machine sees its volumes and shares, and what of them is mounted where. Everything here runs in its view.

A volume is a block device of the machine's own, or, where the host has none to give, a folder; either way
`/dev/disk/by-id/virtio-` with the first 20 characters of its id leads to it, as QEMU's virtio disks are found by their
serial (which is cut at 20 characters). What a share exports lies in a folder that only root may enter.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

DEVICES = Path("/dev")
BY_ID = DEVICES / "disk" / "by-id"
FOLDERS = Path("/mnt/volumes")
HELPER = Path("/run/devcloud")
EXPORTS = HELPER / "exports"
# The machine's first process shares our mount namespace, and its number is known from everywhere in the view.
MOUNTS = Path("/proc/1/mountinfo")
SERIAL_LENGTH = 20


class Mounted(NamedTuple):
    """One line of proc_pid_mountinfo(5): what is mounted (a device, and which folder of it), and where."""

    device: int
    folder: str
    target: Path
    kind: str


def link_name(volume_id: str) -> str:
    return f"virtio-{volume_id[:SERIAL_LENGTH]}"


def show_disk(root: Path, volume_id: str, device: int) -> None:
    """Put a block device and its link into the view whose root is `root`. Needs CAP_MKNOD."""
    name = f"loop{os.minor(device)}"
    with contextlib.suppress(FileNotFoundError):
        _below(root, DEVICES / name).unlink()
    os.mknod(_below(root, DEVICES / name), stat.S_IFBLK | 0o600, device)
    show_link(root, volume_id, f"../../{name}")


def show_link(root: Path, volume_id: str, target: str) -> None:
    links = _below(root, BY_ID)
    links.mkdir(mode=0o755, parents=True, exist_ok=True)
    hide_link(root, volume_id)
    (links / link_name(volume_id)).symlink_to(target)


def hide_link(root: Path, volume_id: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        (_below(root, BY_ID) / link_name(volume_id)).unlink()


def hide_disk(volume_id: str, device: int) -> None:
    hide_link(Path("/"), volume_id)
    with contextlib.suppress(FileNotFoundError):
        (DEVICES / f"loop{os.minor(device)}").unlink()


def mounts() -> list[Mounted]:
    """All mounts of this view, the last made last."""
    found = []
    for line in MOUNTS.read_text().splitlines():
        _, _, device, folder, target, *rest = line.split(" ")
        major, minor = (int(number) for number in device.split(":"))
        kind = rest[rest.index("-") + 1]
        found.append(Mounted(os.makedev(major, minor), folder, Path(_plain(target)), kind))
    return found


def mounts_of_disk(device: int) -> list[Path]:
    return [mounted.target for mounted in mounts() if mounted.device == device]


def copies_of(shown: Path) -> list[Path]:
    """Where else that is mounted which is mounted on `shown`, a folder of ours, the last made first."""
    present = mounts()
    own = [mounted for mounted in present if mounted.target == shown]
    if not own:
        return []
    what = own[-1].device, own[-1].folder
    alike = [mounted.target for mounted in present if (mounted.device, mounted.folder) == what]
    return [target for target in reversed(alike) if target != shown]


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _plain(text: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal numbers."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
