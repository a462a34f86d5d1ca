"""What a hub needs of the machine it runs on."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import sys
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from js2spawner.demo.node import OLDEST_MAJOR, find_node, find_proxy
from js2spawner.doctor.findings import Finding, fail, ok, warn
from js2spawner.doctor.subject import Subject

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_DATABASE_ANSWERS_WITHIN_S = 10


def examine_machine(subject: Subject, root: Path) -> list[Finding]:
    """Look at the programs, and at the address and database of the subject if it has any. Blocks for seconds."""
    findings = [python(), node(), proxy(root), chromium()]
    if subject.handshake_bind:
        findings.append(handshake_address(subject.handshake_bind))
    if subject.database_url:
        findings.append(database(subject.database_url))
    elif subject.state_dir:
        findings.append(state_directory(Path(subject.state_dir)))
    return findings


def python() -> Finding:
    return ok("python", f"Python {platform.python_version()} in {sys.prefix}.")


def node() -> Finding:
    found = find_node()
    remedy = f"Install Node {OLDEST_MAJOR} or newer, or run make install, which brings one."
    if found is None:
        return fail("node", "No Node was found, and the proxy runs on it.", remedy)
    version = ".".join(map(str, found.version))
    if not found.new_enough:
        return fail("node", f"Node {version} ({found.program}) is too old for the proxy.", remedy)
    return ok("node", f"Node {version} ({found.program}).")


def proxy(root: Path) -> Finding:
    found = find_proxy(root)
    if found is None:
        return fail("proxy", "configurable-http-proxy was not found.", "Run make install, or install it with npm.")
    return ok("proxy", f"configurable-http-proxy ({found}).")


def chromium() -> Finding:
    program = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if program is None:
        return warn(
            "chromium", "No Chromium was found; only the browser tests need it.", "Install chromium to run them."
        )
    return ok("chromium", f"Chromium ({program}), for the browser tests.")


def handshake_address(bind: str) -> Finding:
    """Whether the hub can listen at `host:port`, or something (a running hub, perhaps) already does."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        return fail(
            "handshake", f"{bind!r} is no address and port.", "Set JS2_HANDSHAKE_BIND to one, such as 10.0.0.5:8710."
        )
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                return ok("handshake", f"Something listens at {bind}; that is right while the hub runs.")
            return fail(
                "handshake",
                f"The hub cannot listen at {bind}: {problem.strerror}.",
                "Set JS2_HANDSHAKE_BIND to an address of this machine that instances can reach.",
            )
    return ok("handshake", f"The hub can listen at {bind}.")


def database(url: str) -> Finding:
    try:
        engine = create_engine(url, connect_args=_patience(url))
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as problem:
        # The driver's own first line says what is wrong; the rest may repeat the URL with its password.
        reason = str(getattr(problem, "orig", None) or type(problem).__name__).strip().splitlines()[0]
        return fail("database", f"The database does not answer: {reason}", "Check JS2_DATABASE_URL and the database.")
    return ok("database", "The database answers.")


def _patience(url: str) -> dict[str, int]:
    return {"connect_timeout": _DATABASE_ANSWERS_WITHIN_S} if url.startswith("postgresql") else {}


def state_directory(directory: Path) -> Finding:
    """Whether SQLite and the other files of the hub can be written there; it may yet have to be made."""
    existing = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ok("database", f"SQLite below {directory}, which can be written.")
    return fail(
        "database",
        f"Nothing can be written to {directory}.",
        "Let the hub's account own it, or set JS2_STATE_DIR to another directory.",
    )
