"""Security groups, enforced by the kernel on the listening sockets of a machine's processes.

Nothing on the host changes: a filter is attached to each socket through a short-lived duplicate of it (pidfd_getfd(2),
Linux 5.6) and ends with the socket. What this cannot do: a new listener is open until the next look, UDP is not
filtered, the owner of a socket can take the filter off again, and everybody on loopback who does not choose a source
address comes from 127.0.0.1, the hub's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import re
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from js2spawner.devcloud.hypervisor import Ingress
from js2spawner.devcloud.machine.inside.processes import descendants
from js2spawner.devcloud.machine.packet_filter import admitted_sources, program

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
_SO_ATTACH_FILTER = 26
_SYS_PIDFD_GETFD = 438
_LISTEN = "0A"
_WILDCARDS = ("00000000", "0" * 32)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running machine with rules: its address and the process all of its processes descend from."""

    address: IPv4Address
    pid: int
    rules: tuple[Ingress, ...]


class Listener(NamedTuple):
    """A listening TCP socket of this host; `address` is None for one that listens on every address."""

    inode: int
    address: IPv4Address | None
    port: int


def listeners() -> list[Listener]:
    """From /proc/net/tcp and tcp6 (proc_pid_net(5)): those on one IPv4 address or on all of them."""
    found = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                host, _, port = fields[1].partition(":")
                if fields[3] == _LISTEN and (len(host) == 8 or host in _WILDCARDS):
                    found.append(Listener(int(fields[9]), _address(host), int(port, 16)))
    return found


def _address(host: str) -> IPv4Address | None:
    # The kernel prints the address as a number in the host's own byte order.
    return None if host in _WILDCARDS else IPv4Address(struct.pack("=I", int(host, 16)))


def attach(pid: int, descriptor: int, code: bytes) -> None:
    """Put a filter on another process's socket. Raises OSError if we may not or the process is gone."""
    process = os.pidfd_open(pid)
    try:
        ours = _libc.syscall(_SYS_PIDFD_GETFD, process, descriptor, 0)
        if ours < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(process)
    # Closed at once: a copy kept here would go on listening after its owner.
    with socket.socket(fileno=ours) as listening:
        instructions = ctypes.create_string_buffer(code, len(code))
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(code) // 8, ctypes.addressof(instructions))
        )


class Firewall:
    """Looks for new listeners every `LOOK_EVERY_S` while there are machines with rules.

    `guarded` tells them, by server id, and is asked anew each time.
    """

    def __init__(self, guarded: Callable[[], Mapping[str, Guarded]]) -> None:
        self._guarded = guarded
        self._seen: frozenset[int] = frozenset()
        # One look at a time: a look with the rules of before must not end after one with those of now.
        self._turn = asyncio.Lock()
        self._warned = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="devcloud firewall")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look_again(self) -> None:
        """Apply the rules as they are now to every socket, before returning."""
        async with self._turn:
            self._seen = frozenset()
            await self._look()

    async def _watch(self) -> None:
        while True:
            async with self._turn:
                await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        if guarded := self._guarded():
            try:
                await asyncio.to_thread(self._filter_new_listeners, list(guarded.values()))
            except OSError as problem:
                log.warning("The security groups of machines cannot be looked after right now: %s", problem)

    def _filter_new_listeners(self, machines: Sequence[Guarded]) -> None:
        present = listeners()
        by_address = {machine.address: machine for machine in machines}
        # A listener on 127.0.0.1 is the machine's own loopback, which no security group filters.
        fresh = {
            each.inode: each
            for each in present
            if each.inode not in self._seen and (each.address is None or each.address in by_address)
        }
        if fresh:
            self._filter(fresh, _suspects(fresh, by_address))
        self._seen = frozenset(each.inode for each in present)

    def _filter(self, fresh: Mapping[int, Listener], suspects: Mapping[int, Guarded]) -> None:
        for pid, ancestor in descendants(*suspects).items():
            for descriptor, inode in _sockets(pid):
                if inode in fresh:
                    machine = suspects[ancestor]
                    code = program(machine.address, admitted_sources(machine.rules, fresh[inode].port))
                    self._attach(pid, descriptor, code)

    def _attach(self, pid: int, descriptor: int, code: bytes) -> None:
        try:
            attach(pid, descriptor, code)
        except OSError as problem:
            if problem.errno in (errno.EPERM, errno.ENOSYS) and not self._warned:
                self._warned = True
                log.warning(
                    "Security group rules are recorded but not (all) enforced: this system refuses %s.", problem
                )


def _suspects(fresh: Mapping[int, Listener], by_address: Mapping[IPv4Address, Guarded]) -> dict[int, Guarded]:
    """By pid, the machines a fresh listener may belong to; only one on every address makes all of them suspect."""
    addresses = {each.address for each in fresh.values()}
    machines = by_address.values() if None in addresses else [by_address[each] for each in addresses if each]
    return {machine.pid: machine for machine in machines}


def _sockets(pid: int) -> list[tuple[int, int]]:
    """The sockets of a process as (descriptor, inode); none if it is gone or not ours to look at."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                    found.append((int(link.name), int(match[1])))
    return found
