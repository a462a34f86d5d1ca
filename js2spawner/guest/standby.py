"""The agent's end of a server imported ahead of time: start it with the boot, give it the one order, hear its answer.

Whatever goes wrong with it, the agent starts the server the ordinary way, and nobody notices but by the time it takes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .trusted import Changeable, Trusted

log = logging.getLogger("js2")

PROGRAM = Path(__file__).with_name("preload.py")
BECAME = "became"
# What the process is called once all is imported.
READY = "js2-standby"
# There is no such place: nothing of root's home is read, and no import runs a program.
NOWHERE = "/nonexistent"
# The hub's answer is 64 KiB at most, and a packet between processes about 200 KiB (net.core.wmem_default).
LONGEST_ORDER = 192 * 1024
# Importing may still go on when the order comes; on an emulated processor it takes a minute by itself.
PATIENCE_S = 120.0
LONGEST_WORD = 200
END_S = 10.0


@dataclass(frozen=True)
class Order:
    """What the process is to become. `variables` is the server's whole environment, its token included."""

    program: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    home: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    switch: bool


class Standby:
    """One process that stands by. It is used once or dismissed; when the agent dies it ends by itself."""

    def __init__(self, python: Path, clock: Callable[[], float]) -> None:
        """Start it. Raises OSError."""
        self._folder = python.parent.resolve()
        self._clock = clock
        self._until: float | None = None
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        with theirs:
            self.child = subprocess.Popen(
                # Without -I, which would stay with the server for its life: there is nothing here to be isolated from.
                [str(python), str(PROGRAM)],
                cwd="/",
                env={"LANG": "C.UTF-8", "PATH": NOWHERE, "HOME": NOWHERE},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o022,
            )

    def offer(self, order: Order, log_descriptor: int) -> bool:
        """Hand the order over, if it is for a program of the environment that stands by; False: start your own."""
        if Path(order.program).parent.resolve() != self._folder:
            return False
        raw = json.dumps(dataclasses.asdict(order), ensure_ascii=False).encode()
        if len(raw) > LONGEST_ORDER:
            return False
        try:
            socket.send_fds(self._channel, [raw], [log_descriptor])
        except OSError:
            return False
        self._until = self._clock() + PATIENCE_S
        return True

    def answer(self) -> str | None:
        """BECAME, or why not, once that is known; None until then."""
        try:
            raw = self._last_word()
        except BlockingIOError:
            return None if self._until is None or self._clock() < self._until else "it took too long"
        except OSError:
            raw = b""
        # It may be the user's by now, and this goes to the console.
        word = "".join(each if each.isprintable() else " " for each in raw.decode(errors="replace"))
        return word[:LONGEST_WORD] or "it ended without a word"

    def _last_word(self) -> bytes:
        try:
            return self._channel.recv(1024)
        except ConnectionResetError:
            # Said once, before what was said, when it ended with an order unread.
            return self._channel.recv(1024)

    def release(self) -> None:
        """It is the server now, and no business of ours."""
        self._channel.close()

    def abandon(self) -> None:
        """The agent ends. One that has its order goes on, as a server does, and is found again by its process id."""
        if self._until is None:
            self.dismiss()

    def dismiss(self) -> None:
        """End it: nobody needs it."""
        self._channel.close()
        self.child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(END_S)


def begin(own_path: str, clock: Callable[[], float]) -> Standby | None:
    """Start one, under the Python of the server's program; None, and a line, where there is no server."""
    program = shutil.which("jupyterhub-singleuser", path=own_path)
    if program is None:
        log.info("no server to import ahead of time on this image's PATH")
        return None
    try:
        python = _interpreter(Path(program))
        # Before any line of it can run: what it starts with by itself (site, *.pth) is looked at here.
        Trusted().check(python, *python.parents[1].glob("lib/python3*/site-packages/*.pth"))
        return Standby(python, clock)
    except Changeable as problem:
        log.info("the server cannot be imported ahead of time: %s", problem)
    except OSError as problem:
        log.info("the server cannot be imported ahead of time: %s", problem.strerror)
    return None


def _interpreter(program: Path) -> Path:
    """The Python that a console script names in its first line, by the same name, or the one beside it."""
    with program.open("rb") as stream:
        line = stream.readline(512)
    named = Path(line[2:].strip().decode(errors="replace")) if line.startswith(b"#!/") else Path()
    return named if named.parent == program.parent and named.exists() else program.with_name("python3")
