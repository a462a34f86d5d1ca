"""A part of this machine of its own: network, processes, and the folders in which system programs keep their state.

Whatever runs in a room ends with it, and what it leaves behind (bridges, network namespaces, libvirt's domains) existed
nowhere else, so there is nothing to clean up. A room ends with the process that made it, however that one ends.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

CLONE_NEWNET = 0x40000000  # linux/sched.h
# Where iproute2, libvirt and Neutron's agents keep what belongs to the room.
OWN_FOLDERS = ("/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")
# What the first process sets up before it says so.
_SET_UP = """
set -e
for folder in "$@"; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=755 room "$folder"
done
mkdir -p /run/lock /run/netns
mount -t sysfs sysfs /sys
ip link set lo up
exec "$FIRST" -I -S -c "$WAIT"
"""
# It ends when the pipe to its maker does. What loses its parent becomes its child, and leaves no zombie (wait(2)).
_WAIT = """
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""


class Room:
    """Entered, it is there; left, everything in it is gone. Needs root."""

    def __init__(self) -> None:
        self._maker: subprocess.Popen[str] | None = None
        self._first = 0

    def __enter__(self) -> Self:
        spaces = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        self._maker = subprocess.Popen(
            ["unshare", *spaces, "sh", "-c", _SET_UP, "room", *OWN_FOLDERS],
            env={**os.environ, "FIRST": sys.executable, "WAIT": _WAIT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._maker.stdout is not None
        if self._maker.stdout.readline().strip() != "ready":
            self.__exit__()
            raise OSError("no room could be made; see above")
        children = Path(f"/proc/{self._maker.pid}/task/{self._maker.pid}/children").read_text().split()
        self._first = int(children[0])
        return self

    def __exit__(self, *_: object) -> None:
        if self._maker is not None:
            # The kernel ends a PID namespace with its first process, and that process only after all others.
            self._maker.communicate()
            self._maker = None

    def inside(self, *command: str | Path, folder: Path = Path("/")) -> list[str]:
        """The words that run a command in the room."""
        enter = ["nsenter", f"--target={self._first}", "--net", "--mount", "--pid"]
        return [*enter, "env", f"--chdir={folder}", *(str(word) for word in command)]

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None, folder: Path = Path("/")) -> str:
        """What the command printed. Raises CalledProcessError, with what it said in `stderr`."""
        return run(self.inside(*command, folder=folder), environment)

    @contextmanager
    def network(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, uses the room's network in place of the machine's."""
        with Path("/proc/thread-self/ns/net").open() as before, Path(f"/proc/{self._first}/ns/net").open() as within:
            _enter_network(within.fileno())
            try:
                yield
            finally:
                _enter_network(before.fileno())


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def _enter_network(descriptor: int) -> None:
    """setns(2); Python has it only since 3.12."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed")
