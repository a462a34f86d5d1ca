"""Starts what fills a home at first, as the user, and hears how it went. No start fails for it or waits long for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .account import Account
from .assignment import SeedWish
from .machine import Machine

log = logging.getLogger("js2")

PROGRAM = Path(__file__).resolve().with_name("seed_program.py")
# Who opens a home for the first time expects to find it filled; who comes back has their files already.
FIRST_PATIENCE_S = 45.0
DEADLINE_S = 600.0
LOOK_EVERY_S = 0.1
MOST_SAID = 4096


class Seeding:
    """One try to bring materials into a home."""

    def __init__(self, machine: Machine, search_path: str) -> None:
        self._machine = machine
        self._search_path = search_path
        self._child: subprocess.Popen[bytes] | None = None
        self._answer = -1
        self._until = 0.0
        self.notice = ""

    def start(self, wish: SeedWish, owner: Account) -> None:
        """Begin. What goes wrong is a notice."""
        # In memory and without a name: the program may say what it likes, and nobody has to read along.
        self._answer = os.memfd_create("js2-seed", os.MFD_CLOEXEC)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(PROGRAM)],
                cwd="/",
                env={"HOME": owner.home, "PATH": self._search_path, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.PIPE,
                stdout=self._answer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o022,
                user=owner.uid if owner.switch else None,
                group=owner.gid if owner.switch else None,
                extra_groups=owner.groups if owner.switch else None,
            )
        except (OSError, subprocess.SubprocessError) as problem:
            self._tell(type(problem).__name__)
            return
        self._until = self._machine.clock() + DEADLINE_S
        assert self._child.stdin is not None
        with contextlib.suppress(OSError), self._child.stdin as order:
            order.write(json.dumps(asdict(wish)).encode())

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait until it is done, but not for long: it goes on beside the server."""
        until = self._machine.clock() + FIRST_PATIENCE_S
        while self.under_way() and self._machine.clock() < until:
            meanwhile()
            self._machine.sleep(LOOK_EVERY_S)

    def under_way(self) -> bool:
        """Look how it goes."""
        if self._child is None:
            return False
        if self._child.poll() is not None:
            self._hear()
            return False
        if self._machine.clock() < self._until:
            return True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child = None
        self._tell("it took too long")
        return False

    def _hear(self) -> None:
        self._child = None
        raw = os.pread(self._answer, MOST_SAID, 0)
        os.close(self._answer)
        try:
            told = json.loads(raw)
            problem = told.get("problem", "")
        except (ValueError, AttributeError, RecursionError):
            problem = "it ended without a word"
        if problem:
            # Its user could have said it: one printable line and not a long one.
            self._tell("".join(each if each.isprintable() else " " for each in str(problem))[:200])

    def _tell(self, why: str) -> None:
        log.info("the home could not be given its materials")
        self.notice = f"The materials for your home could not be fetched or not all of them ({why})."
