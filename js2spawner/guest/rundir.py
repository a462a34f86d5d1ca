"""The agent's own directory, in memory (tmpfs) on a real instance: what must survive the agent but not the boot.

<run-dir>/secret/   0700, files 0600: the assignment, which process is the server
<run-dir>/tls/      the server's certificates, for root and the user
<run-dir>/log/      the server's output, for root and the user
<run-dir>/runtime/  the server's own files while it runs (keys of kernels), for the user: no image may hold them
<run-dir>/public/   lease.json, home.json and gpus.json, for everybody: the server's own pages show them
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class UnsafeRunDir(Exception):
    """Somebody else could read or change what the agent keeps; the message says what and where."""


class RunDir:
    """One agent's directory, made if missing. Raises UnsafeRunDir when another account could write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.secret = path / "secret"
        self.tls = path / "tls"
        self.log = path / "log"
        self.runtime = path / "runtime"
        self.public = path / "public"
        # Others pass through (0711) to the public file, but list nothing.
        for folder, mode in ((path, 0o711), (self.secret, 0o700), (self.public, 0o755)):
            folder.mkdir(mode=mode, parents=folder == path, exist_ok=True)
            ensure_own(folder)
            folder.chmod(mode)
        for folder in (self.tls, self.log):
            folder.mkdir(mode=0o700, exist_ok=True)
            ensure_own(folder)

    def keep(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON object under a name, for root only."""
        write(self.secret / f"{name}.json", json.dumps(value), 0o600)

    def kept(self, name: str) -> dict[str, Any] | None:
        """What `keep` kept under that name, or None."""
        try:
            value = json.loads((self.secret / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def drop(self, name: str) -> None:
        """Keep it no longer."""
        (self.secret / f"{name}.json").unlink(missing_ok=True)

    def give_runtime(self, uid: int, gid: int) -> None:
        """Make the folder that the server may use as its own. Nobody but us can put another in its place."""
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.runtime, uid, gid, follow_symlinks=False)

    def share_with(self, folder: Path, gid: int) -> None:
        """Let one group read a folder of ours. Only root may give files to another group."""
        if os.geteuid() == 0:
            os.chown(folder, 0, gid)
            folder.chmod(0o750)

    def publish(self, name: str, value: Mapping[str, Any]) -> None:
        """Put something where JupyterLab's page finds it, and everybody else who reaches the server."""
        # Where a user has filled the memory for files, the page shows an old one; that must end no agent.
        with contextlib.suppress(OSError):
            write(self.public / f"{name}.json", json.dumps(value), 0o644)

    def forget(self) -> None:
        """The attempt has ended: nothing secret stays, not even in memory."""
        for folder in (self.secret, self.tls, self.runtime):
            shutil.rmtree(folder, ignore_errors=True)


def write(file: Path, text: str, mode: int, gid: int | None = None) -> None:
    """Replace a file as a whole, so that no reader ever sees half of it or a wider mode than asked for."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            if gid is not None and os.geteuid() == 0:
                os.fchown(descriptor, 0, gid)
            os.fchmod(descriptor, mode)
        fresh.replace(file)
    except OSError:
        # A full disk is tried again and again: nothing half-made may pile up, nor hold a secret that nobody removes.
        fresh.unlink(missing_ok=True)
        raise


def ensure_own(folder: Path) -> None:
    """Raises UnsafeRunDir when the folder is not a directory of ours that only we can write to."""
    seen = folder.lstat()
    if not stat.S_ISDIR(seen.st_mode):
        raise UnsafeRunDir(f"{folder} is not a directory; remove it or choose another --run-dir.")
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
        raise UnsafeRunDir(
            f"{folder} belongs to or can be written by another account; remove it or choose another --run-dir."
        )
