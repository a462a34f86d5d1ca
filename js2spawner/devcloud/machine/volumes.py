"""What a machine gets of its volumes and shares: as block devices where the host has them to give, else as folders.

    DIR/volumes/<volume id>     a sparse file, or a folder
    DIR/shares/<share id>/

Without a view of their own (not root) machines find links to the folders in `devices/by-id` of their own folder.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from js2spawner.devcloud.machine import loops
from js2spawner.devcloud.machine.disk import copy_tree
from js2spawner.devcloud.machine.inside.disks import link_name
from js2spawner.devcloud.machine.inside.guard import CONTROL
from js2spawner.devcloud.machine.inside.linux import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    detached_copy,
)

_ANSWER_S = 30.0
_RELEASE_S = 3.0
_COPY_S = 600.0
_EXPORTED = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID


def make(volume: Path, size_gb: int) -> None:
    """An empty one: a sparse file where it can be a block device, else a folder."""
    if loops.usable():
        with volume.open("xb") as file:
            file.truncate(size_gb * 2**30)
        volume.chmod(0o600)
    else:
        volume.mkdir(mode=0o755)


def grow(volume: Path, size_gb: int) -> None:
    """A folder has no size of its own."""
    if volume.is_file():
        os.truncate(volume, size_gb * 2**30)


def copy(source: Path, target: Path, size_gb: int) -> None:
    """A volume with the content of another, or of a snapshot, and the size of its own."""
    fresh = target.with_name(f".{target.name}.new")
    if source.is_dir():
        shutil.rmtree(fresh, ignore_errors=True)
        copy_tree(source, fresh)
    else:
        copy_file(source, fresh)
        os.truncate(fresh, max(size_gb * 2**30, fresh.stat().st_size))
    fresh.replace(target)


def tell(machine: Path, asked: Mapping[str, Any], descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
    """Have the guard of a running machine do something. Blocks; raises OSError with its words."""
    with _connected(machine) as guard:
        socket.send_fds(guard, [json.dumps(asked).encode()], list(descriptors))
        return _answer(guard)


def plug(machine: Path, volume_id: str, volume: Path) -> None:
    """Bring a volume into a running machine with a view of its own. One that is there already stays."""
    if volume.is_dir():
        tree = detached_copy(volume, _EXPORTED)
        _hand_over(machine, {"do": "plug-folder", "volume": volume_id}, tree)
    elif not tell(machine, {"do": "holds", "volume": volume_id})["held"]:
        _hand_over(machine, {"do": "plug", "volume": volume_id}, open_disk(volume))


def open_disk(volume: Path) -> int:
    """A block device on the volume's file. Raises OSError when it is somebody else's: two writers would ruin it."""
    if not loops.released(volume, _RELEASE_S):
        raise OSError(f"{volume.name} is still in use as {', '.join(loops.used_by(volume))}")
    return loops.open_loop(volume)


def unplug(machine: Path, volume_id: str, volume: Path) -> None:
    """Take a volume away, whatever is done with it in there.

    Who has it mounted keeps a device that nothing is written to any more, on a file that is no longer the volume: what
    was not on the disk by now is lost.
    """
    held = tell(machine, {"do": "unplug", "volume": volume_id})["held"]
    if volume.is_dir():
        return
    if held or not loops.released(volume, _RELEASE_S):
        leave_behind(volume)


def leave_behind(volume: Path) -> None:
    """Go on with a copy of the file, so that whoever still holds the old one writes into the void."""
    fresh = volume.with_name(f".{volume.name}.new")
    copy_file(volume, fresh)
    fresh.replace(volume)


def grown(machine: Path, volume_id: str) -> None:
    tell(machine, {"do": "grown", "volume": volume_id})


@contextmanager
def held_still(machine: Path, volume_id: str, *, there: bool) -> Iterator[None]:
    """What the machine has written is on the volume, and nothing is added meanwhile; `there`: it has a guard."""
    if not there:
        yield
        return
    with _connected(machine) as guard:
        guard.send(json.dumps({"do": "hold-still", "volume": volume_id}).encode())
        _answer(guard)
        yield


def export(machine: Path, share_id: str, share: Path, *, read_only: bool) -> None:
    """Let a machine mount a share."""
    tree = detached_copy(share, _EXPORTED | (MOUNT_ATTR_RDONLY if read_only else 0))
    _hand_over(machine, {"do": "export", "share": share_id}, tree)


def unexport(machine: Path, share_id: str) -> None:
    tell(machine, {"do": "unexport", "share": share_id})


def exported(machine: Path) -> dict[str, bool]:
    """The shares a machine may mount by now; True is read-only."""
    shares: dict[str, bool] = tell(machine, {"do": "exported"})["shares"]
    return shares


def links(machine: Path) -> Path:
    return machine / "devices" / "by-id"


def link_folder(machine: Path, volume_id: str, volume: Path) -> None:
    """For a machine without a view of its own."""
    links(machine).mkdir(parents=True, exist_ok=True)
    unlink_folder(machine, volume_id)
    (links(machine) / link_name(volume_id)).symlink_to(volume)


def unlink_folder(machine: Path, volume_id: str) -> None:
    (links(machine) / link_name(volume_id)).unlink(missing_ok=True)


def unlink_all(machine: Path) -> None:
    shutil.rmtree(machine / "devices", ignore_errors=True)


def copy_file(source: Path, target: Path) -> None:
    """Holes stay holes. Raises OSError."""
    command = ["cp", "--reflink=auto", "--sparse=always", "--", str(source), str(target)]
    done = subprocess.run(  # noqa: S603, arguments of our own
        command,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=_COPY_S,
        check=False,
    )
    if done.returncode:
        raise OSError(f"copying {source} failed: {(done.stderr.splitlines() or ['?'])[0]}")


@contextmanager
def _connected(machine: Path) -> Iterator[socket.socket]:
    folder = os.open(machine, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as guard:
            guard.settimeout(_ANSWER_S)
            guard.connect(f"/proc/self/fd/{folder}/{CONTROL}")
            yield guard
    finally:
        os.close(folder)


def _answer(guard: socket.socket) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(guard.recv(64 * 1024) or b'{"error": "no answer"}')
    if answer["error"]:
        raise OSError(answer["error"])
    return answer


def _hand_over(machine: Path, asked: Mapping[str, Any], descriptor: int) -> None:
    try:
        tell(machine, asked, (descriptor,))
    finally:
        os.close(descriptor)
