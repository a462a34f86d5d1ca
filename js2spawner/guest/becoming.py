"""A process that stands by turns into one user's server: the account, the environment, the place, the program.

In the agent's stead it would have been a fresh process; afterwards nothing may tell the two apart but the time it took.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import locale
import os
import random
import site
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import warming
from .standby import BECAME, LONGEST_ORDER, READY, Order
from .warming import NotWarm, Warm

PR_SET_DUMPABLE = 4  # linux/prctl.h


class CannotBecome(Exception):
    """The order cannot be carried out here; the message says why, and the agent starts a process of its own."""


def stand_by(descriptor: int) -> int:
    """Import everything, wait for the one order, carry it out. `descriptor` is the socket to the agent."""
    channel = socket.socket(fileno=os.dup(descriptor))
    # Nothing that is imported may read the order.
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123, read by a descriptor's number
        os.dup2(nothing.fileno(), descriptor)
    try:
        gc.disable()  # nothing of what is imported is garbage
        warm = warming.warm()
        gc.collect()
        gc.freeze()
        _be_called(READY)
        order, log = _receive(channel)
        if order is None:
            return 0
        _refuse(order, log, warm, channel)
        become(order, log)
        for name in warming.RELOADED & {module for _, module in warm.recollection.outdated(order.variables)}:
            importlib.reload(sys.modules[name])
        main = warming.import_afresh(warm.programs[Path(order.program).name], warm)
    except (NotWarm, CannotBecome) as problem:
        _say(channel, str(problem))
        return 1
    except Exception as problem:  # noqa: BLE001, what an environment does at import is its own affair
        _say(channel, f"{type(problem).__name__} while it stood by")
        return 1
    _say(channel, BECAME)
    channel.close()
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{__package__}.")]:
        del sys.modules[name]
    gc.enable()
    # As the program's own script does; a number, a sentence or nothing.
    sys.exit(main())


def _receive(channel: socket.socket) -> tuple[Order | None, int]:
    """The order and the log's descriptor; None when the agent has gone or wants nothing of us."""
    raw, descriptors, _flags, _peer = socket.recv_fds(channel, LONGEST_ORDER, 1)
    if not raw or not descriptors:
        return None, -1
    return Order(**json.loads(raw)), descriptors[0]


def _refuse(order: Order, log: int, warm: Warm, channel: socket.socket) -> None:
    """Raises CannotBecome when a fresh process would differ from what we could be."""
    if Path(order.program).name not in warm.programs:
        raise CannotBecome("the program is not one of those imported")
    why = warm.recollection.contradicted(order.variables, warm.repeated())
    if why:
        raise CannotBecome(why)
    if threading.active_count() > 1:
        raise CannotBecome("an import left a thread running")
    known = {0, 1, 2, log, channel.fileno()}
    shown = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    if any(descriptor not in known and _is_open(descriptor) for descriptor in shown):
        raise CannotBecome("an import left a file open")


def become(order: Order, log: int) -> None:
    """Be the user, in the user's home, with the order's environment, output to `log`. Raises CannotBecome."""
    if order.switch:
        _drop(order.uid, order.gid, order.groups)
    os.umask(0o022)
    os.chdir(order.home)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(order.variables)
    time.tzset()
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    tempfile.tempdir = None
    site.USER_BASE = site.USER_SITE = None
    site.getusersitepackages()
    # Seeded at import, early in the boot, when the system may not have had much to give.
    random.seed()
    sys.argv = [order.program, *arguments(order.arguments, order.variables)]
    sys.path.insert(0, str(Path(order.program).parent))
    sys.dont_write_bytecode = False
    _be_called(Path(order.program).name)


def arguments(given: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The order's, and the user's name for messages to kernels, whose default was read at import."""
    if "USER" not in variables or any(word.startswith("--Session.username") for word in given):
        return list(given)
    return [*given, f"--Session.username={variables['USER']}"]


def _drop(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Become an ordinary account for good, and prove it."""
    if uid == 0 or gid == 0 or 0 in groups:
        raise CannotBecome("a server never runs as root")
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        told = {name: values.split() for name, _, values in (line.partition(":") for line in lines)}
        if told["Uid"] != [str(uid)] * 4 or told["Gid"] != [str(gid)] * 4 or set(told["Groups"]) - {*map(str, groups)}:
            raise CannotBecome("root's identity could not be dropped")
        if any(int(told[name][0], 16) for name in ("CapPrm", "CapEff", "CapAmb")):
            raise CannotBecome("root's capabilities could not be dropped")
    # An exec would have done it. Without it the user's own tools could not look at the user's own server, and
    # nothing in this memory is root's secret: it has read modules and the order, nothing else.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


def _be_called(name: str) -> None:
    """The name that ps and top show; an exec would set it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


def _say(channel: socket.socket, word: str) -> None:
    # An agent that has died meanwhile is succeeded by one that finds this process by its id.
    with contextlib.suppress(OSError):
        channel.send(" ".join(word.split())[:200].encode())


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False  # the one that listed the folder
    return True
