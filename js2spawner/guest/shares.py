"""Shares: folders of a server in the network, NFS or CephFS, mounted by the kernel alone.

An image needs no program for it. With nfs-common NFS is mounted by that, which also finds out versions older than 4.
"""

from __future__ import annotations

import errno
import json
import shutil
import socket
import sys
from pathlib import Path

from . import mount_call, system
from .assignment import Source
from .system import SYSTEM_PATH, CannotRun

OPTIONS = "nosuid,nodev"
TIMEOUT_S = 90.0


def mount(share: Source, place: Path, *, read_only: bool = False) -> None:
    """Mount a share: with a key it is CephFS (monitors and path), else NFS (host:/path). Raises CannotRun."""
    if share.key:
        _mount_ceph(share, place, read_only=read_only)
    else:
        _mount_nfs(share.export, place, read_only=read_only)


def _mount_nfs(export: str, place: Path, *, read_only: bool) -> None:
    options = f"{OPTIONS},ro" if read_only else OPTIONS
    if shutil.which("mount.nfs", path=SYSTEM_PATH) is not None:
        system.must("mount", "-t", "nfs", "-o", options, export, str(place), timeout_s=TIMEOUT_S)
        return
    host = export.partition(":/")[0].strip("[]")
    try:
        address = socket.getaddrinfo(host, 2049, proto=socket.IPPROTO_TCP)[0][4][0]
    except OSError as problem:
        raise CannotRun("The name of the share's server is not known.") from problem
    options = f"{options},vers=4.1,addr={address}"
    system.must("mount", "-i", "-t", "nfs", "-o", options, export, str(place), timeout_s=TIMEOUT_S)


def _mount_ceph(share: Source, place: Path, *, read_only: bool) -> None:
    """By a process of its own that is told the key at its standard input: an argument could be read by everybody."""
    data = f"name={share.access},secret={share.key}"
    # Port 3300 speaks the second version of Ceph's protocol only (ceph-conf, "msgr2").
    if ":3300" in share.export:
        data += ",ms_mode=prefer-crc"
    flags = mount_call.NOSUID | mount_call.NODEV | (mount_call.RDONLY if read_only else 0)
    order = {"source": share.export, "place": str(place), "kind": "ceph", "flags": flags, "data": data}
    program = Path(mount_call.__file__).resolve()
    done = system.run(sys.executable, "-I", str(program), given=json.dumps(order).encode(), timeout_s=TIMEOUT_S)
    if done.status != 0:
        number = int(done.said) if done.said.strip().isdigit() else 0
        raise CannotRun(f"The share cannot be mounted ({errno.errorcode.get(number, 'no reason given')}).")
