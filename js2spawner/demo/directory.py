"""A demo's directory: held by one demo at a time, its settings and secrets in files of mode 0600."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from js2spawner.demo.plan import Files
from js2spawner.demo.settings import DemoError, DemoSettings, Machine, from_text, to_text

# The children hold the lock too, so after a demo was killed it is free only when the last of them has ended.
_PREVIOUS_ENDS_WITHIN_S = 90.0
_LOOK_EVERY_S = 0.2
# Below the range Linux takes outgoing ports from (ip_local_port_range), so that a kept port is free at the next start.
_INTERNAL_PORTS = range(18000, 32000)


@contextmanager
def held(files: Files) -> Iterator[int]:
    """Hold the directory, which is made if need be; gives the descriptor that children must hold as well.

    Raises DemoError when another demo runs in it. Waits for the processes of a demo that was killed to end.
    """
    try:
        files.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise DemoError(
            f"The demo cannot use {files.directory}: {problem.strerror}. Choose another with --dir."
        ) from None
    try:
        _take(descriptor, files)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, files: Files) -> None:
    deadline = time.monotonic() + _PREVIOUS_ENDS_WITHIN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace")
            if _is_alive(holder):
                raise DemoError(
                    f"Another demo (process {holder}) runs in {files.directory}; stop it or choose another --dir."
                ) from None
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Processes of an earlier demo still run in {files.directory}; end them or choose another --dir."
                ) from None
            time.sleep(_LOOK_EVERY_S)
        else:
            return


def _is_alive(holder: str) -> bool:
    if not holder.isdecimal():
        return False
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def read_settings(files: Files) -> DemoSettings | None:
    """What the last start kept, or None at the first. Raises DemoError when it cannot be read."""
    try:
        text = files.settings.read_text()
    except FileNotFoundError:
        return None
    return from_text(text, where=str(files.settings))


def write_settings(files: Files, settings: DemoSettings) -> None:
    """Keep the settings, and put the password and the token where the hub reads them."""
    write_secret(files.settings, to_text(settings))
    write_secret(files.password, settings.password + "\n")
    write_secret(files.api_token, settings.api_token + "\n")


def write_secret(path: Path, text: str) -> None:
    """Replace a file in one step; it is never readable by anyone else, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def put_logs_aside(files: Files) -> None:
    """Keep the logs of the start before this one, and no older ones."""
    for log in files.logs.glob("*.log"):
        log.replace(log.with_name(log.name + ".1"))


def this_machine() -> Machine:
    return Machine(
        is_free=_is_free,
        free_port=_free_port,
        secret=lambda: secrets.token_urlsafe(24),
        hub_id=lambda: str(uuid.uuid4()),
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Without it a port whose last connection closed a minute ago would count as busy.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    for port in random.sample(_INTERNAL_PORTS, len(_INTERNAL_PORTS)):
        if _is_free(port):
            return port
    raise DemoError("This machine has no free port between 18000 and 32000 on 127.0.0.1.")
