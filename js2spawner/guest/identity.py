"""What must survive a reboot: the channel credential, in a directory of root's on the disk.

In memory it would die with a reboot, and the instance could never speak to its hub again: its ticket is spent. On the
disk only root can read it, and it is worth nothing elsewhere: the hub takes it only from this instance's address, and
forgets it with the attempt. While the disk is copied into an image it is taken off it all the same (saving.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from pathlib import Path

from .rundir import ensure_own, write

CREDENTIAL = re.compile(r"[A-Za-z0-9_-]{43}")


class Identity:
    """The agent's directory on the disk, made if missing (0700). Raises UnsafeRunDir when it is not ours alone."""

    def __init__(self, path: Path) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure_own(path)
        path.chmod(0o700)
        self.path = path
        self._file = path / "credential.json"

    def credential(self, attempt_id: str) -> str:
        """The attempt's credential: 32 random bytes in URL-safe base64, made on the first call of its life."""
        try:
            kept = json.loads(self._file.read_text())
            if kept["attempt"] == attempt_id and CREDENTIAL.fullmatch(kept["credential"]):
                return str(kept["credential"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet, or one that is of no use: a new one serves
        made = secrets.token_urlsafe(32)
        self.put_back(attempt_id, made)
        return made

    def put_back(self, attempt_id: str, credential: str) -> None:
        """Write this credential to the disk."""
        write(self._file, json.dumps({"attempt": attempt_id, "credential": credential}), 0o600)

    def forget(self) -> None:
        """Take it off the disk: the attempt has ended, or the disk is about to be copied."""
        with contextlib.suppress(OSError):
            # A copy of the disk holds the blocks of deleted files as well, so that they are overwritten where they lie.
            descriptor = os.open(self._file, os.O_WRONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "wb", buffering=0) as stream:
                stream.write(b" " * os.fstat(descriptor).st_size)
                os.fsync(descriptor)
        self._file.unlink(missing_ok=True)
