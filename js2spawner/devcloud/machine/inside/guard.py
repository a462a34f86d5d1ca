"""The outermost process of a machine: beyond its processes, within its view of the files.

Nothing in the machine may mount, so its volumes and shares are brought, taken and mounted from here: it shares the
machine's mount namespace, holds the host's capabilities, and no process of the machine can see or reach it but through
one socket that only root may open. The embedded cloud speaks to it through another one in the machine's folder, which
the machine does not see.

It holds the block devices open. The kernel lets go of one (autoclear, loop(4)) when nobody has it open or mounted any
more, so however a machine and its cloud end, no loop device is left behind.
"""

from __future__ import annotations

import array  # noqa: F401, socket.recv_fds imports it when it is called, and then nothing may be imported any more
import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import disks
from .linux import PR_SET_PDEATHSIG, cut_off, go_on, hold_still, place, prctl, take_new_size, unmount
from .mounting import fulfil
from .wishes import MOST_BYTES, Refused, read_wish

CONTROL = "control.sock"
WISHES = disks.HELPER / "wishes.sock"
_STILL_AT_MOST_S = 60.0
_MOST_WAITING = 16
_MOST_HELPERS = 8


def control_socket(machine: Path) -> socket.socket:
    """Where the cloud speaks to a machine. Bound by way of a descriptor: the path of a socket may have 107 bytes."""
    folder = os.open(machine, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(CONTROL, dir_fd=folder)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(f"/proc/self/fd/{folder}/{CONTROL}")
        listening.listen(_MOST_WAITING)
    finally:
        os.close(folder)
    return listening


class Guard:
    """Serves both sockets until the machine's first process, `child`, has ended. Our death is its death.

    `devices` are its disks, open, by their volumes' ids; `serving` is called once the sockets are there.

    The kernel ends a PID namespace with its first process, and that process only after all others (pid_namespaces(7)).
    """

    def __init__(
        self, child: int, control: socket.socket, devices: Mapping[str, int], *, serving: Callable[[], object]
    ) -> None:
        self._child = child
        self._control = control
        self._devices = dict(devices)
        self._serving = serving
        self._gone: set[int] = set()
        self._helpers: set[int] = set()
        self._ended: int | None = None
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Returns the exit code of the first process."""
        # Root inside chooses what lies in its view, and none of that may become code of ours.
        sys.path.clear()
        sys.meta_path.clear()
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(self._child, signal.SIGTERM))
        signal.signal(signal.SIGINT, lambda *_: self._pull_the_plug())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, lambda: os.read(reader, 512))
        self._selector.register(self._control, selectors.EVENT_READ, lambda: self._answer(self._control, self._command))
        wishes = _wishes_socket()
        self._selector.register(wishes, selectors.EVENT_READ, lambda: self._answer(wishes, self._wish))
        self._serving()
        while self._ended is None:
            for key, _ in self._selector.select():
                key.data()
            self._reap()
        return self._ended

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._helpers.discard(pid)
                if pid == self._child:
                    self._ended = os.waitstatus_to_exitcode(status)

    def _pull_the_plug(self) -> None:
        """What no process wrote to its disk is lost, as in any machine whose power fails."""
        for device in self._devices.values():
            _cut_off_all(os.fstat(device).st_rdev)
        os.kill(self._child, signal.SIGKILL)

    def _answer(self, listening: socket.socket, handle: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            asking, _ = listening.accept()
            with asking:
                # Both sides of either socket send their one message at once; who does not is not waited for.
                asking.settimeout(5.0)
                handle(asking)

    def _wish(self, asking: socket.socket) -> None:
        """Root inside wants something: looked at in a process of its own, since a mount may take its time."""
        if len(self._helpers) >= _MOST_HELPERS:
            return
        if helper := os.fork():
            self._helpers.add(helper)
            return
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            answer = self._fulfilled(asking)
            asking.send(json.dumps({"error": answer}).encode())
        finally:
            os._exit(0)

    def _fulfilled(self, asking: socket.socket) -> str:
        """Empty, or what was wrong."""
        asker = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        _, uid, _ = struct.unpack("iII", asker)
        if uid != 0:
            return "must be superuser"
        devices = {os.fstat(device).st_rdev: device for device in self._devices.values()}
        try:
            fulfil(read_wish(asking.recv(MOST_BYTES)), devices, self._gone)
        except Refused as refusal:
            return str(refusal)
        except OSError as problem:
            return problem.strerror or str(problem)
        return ""

    def _command(self, asking: socket.socket) -> None:
        raw, descriptors, _, _ = socket.recv_fds(asking, MOST_BYTES, 1)
        try:
            command = json.loads(raw)
            if command["do"] == "hold-still":
                self._hold_still(asking, command["volume"])
                return
            answer = self._obey(command, descriptors)
        except (OSError, KeyError, IndexError) as problem:
            answer = {"error": str(problem)}
        finally:
            for each in descriptors:
                if each not in self._devices.values():
                    os.close(each)
        asking.send(json.dumps({"error": "", **answer}).encode())

    def _obey(self, command: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """What the cloud commands, told by itself: its ids are good."""
        match command["do"]:
            case "plug":
                self._plug(command["volume"], descriptors[0])
            case "plug-folder":
                _show(disks.FOLDERS / command["volume"], descriptors[0])
                disks.show_link(Path("/"), command["volume"], str(disks.FOLDERS / command["volume"]))
            case "holds":
                return {"held": command["volume"] in self._devices}
            case "unplug":
                return {"held": self._unplug(command["volume"])}
            case "grown":
                take_new_size(self._devices[command["volume"]])
            case "exported":
                return {"shares": {folder.name: _is_read_only(folder) for folder in disks.EXPORTS.iterdir()}}
            case "export":
                _show(disks.EXPORTS / command["share"], descriptors[0])
            case "unexport":
                _take_away(disks.EXPORTS / command["share"])
        return {}

    def _plug(self, volume_id: str, device: int) -> None:
        if volume_id in self._devices:
            return
        disks.show_disk(Path("/"), volume_id, os.fstat(device).st_rdev)
        self._devices[volume_id] = device

    def _unplug(self, volume_id: str) -> bool:
        """Whether somebody inside still holds the device, which is of no more use to them."""
        disks.hide_link(Path("/"), volume_id)
        _take_away(disks.FOLDERS / volume_id)
        device = self._devices.pop(volume_id, None)
        if device is None:
            return False
        number = os.fstat(device).st_rdev
        self._gone.add(number)
        disks.hide_disk(volume_id, number)
        held = bool(disks.mounts_of_disk(number))
        _cut_off_all(number)
        os.close(device)
        return held

    def _hold_still(self, asking: socket.socket, volume_id: str) -> None:
        """Until the other end hangs up, or it has taken too long."""
        if os.fork():
            return
        number = os.fstat(self._devices[volume_id]).st_rdev if volume_id in self._devices else 0
        frozen = []
        try:
            for mounted in disks.mounts_of_disk(number)[:1] if number else ():
                hold_still(mounted, number)
                frozen.append(mounted)
            asking.send(b'{"error": ""}')
            asking.settimeout(_STILL_AT_MOST_S)
            with contextlib.suppress(OSError):
                asking.recv(1)
        finally:
            for mounted in frozen:
                with contextlib.suppress(OSError):
                    go_on(mounted, number)
            os._exit(0)


def _wishes_socket() -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(WISHES))
    WISHES.chmod(0o600)
    listening.listen(_MOST_WAITING)
    return listening


def _show(folder: Path, tree: int) -> None:
    """Mount a folder of the host's in place of what is shown there; nobody but root gets to its parent."""
    _take_away(folder)
    folder.mkdir(mode=0o755, exist_ok=True)
    place(tree, folder)


def _take_away(folder: Path) -> None:
    """What was mounted from there goes with it, though somebody may still look at it."""
    if not any(mounted.target == folder for mounted in disks.mounts()):
        return
    for target in (*disks.copies_of(folder), folder):
        with contextlib.suppress(OSError):
            unmount(target, lazy=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _cut_off_all(device: int) -> None:
    for mounted in disks.mounts_of_disk(device):
        with contextlib.suppress(OSError):
            cut_off(mounted, device)
