"""Reading /proc, and ending what a user left running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from js2spawner.guest import processes
from js2spawner.guest.processes import Process

STUBBORN = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
POLITE = "import sys, time; print('up', flush=True); time.sleep(600)"


def process(pid: int, parent: int = 1, uid: int = 1000) -> Process:
    return Process(pid, parent, session=pid, terminal=0, name="x", ticks=0, started=1, uid=uid)


@pytest.fixture
def child() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE)
        children.append(started)
        assert started.stdout is not None
        started.stdout.readline()
        return started

    yield start
    for started in children:
        started.kill()
        started.wait(timeout=10)
        if started.stdout is not None:
            started.stdout.close()


def test_we_see_ourselves() -> None:
    seen = processes.read(os.getpid())
    assert seen is not None
    assert (seen.parent, seen.uid) == (os.getppid(), os.geteuid())
    assert seen.ticks > 0


def test_nobody_is_seen_where_nobody_is() -> None:
    assert processes.read(2**22 + 1) is None


def test_a_name_full_of_parentheses_confuses_nobody(child: Callable[[str], subprocess.Popen[bytes]]) -> None:
    code = "open('/proc/self/comm', 'w').write(') S 1 1 (x'); " + POLITE
    seen = processes.read(child(code).pid)
    assert seen is not None
    assert seen.parent == os.getpid()


def test_what_belongs_to_a_user_is_theirs_and_what_descends_from_it() -> None:
    everyone = [process(10), process(11, parent=10, uid=0), process(12, parent=11, uid=0), process(20, uid=1001)]
    assert [p.pid for p in processes.belonging(everyone, 1000, [])] == [10, 11, 12]


def test_without_an_account_only_descent_counts() -> None:
    everyone = [process(10), process(11, parent=10), process(20), process(21, parent=20)]
    assert [p.pid for p in processes.belonging(everyone, None, [10])] == [10, 11]


def test_we_never_belong_to_the_user_ourselves() -> None:
    everyone = [process(os.getpid()), process(11, parent=os.getpid())]
    assert [p.pid for p in processes.belonging(everyone, 1000, [os.getpid()])] == [11]


@pytest.mark.parametrize("code", [POLITE, STUBBORN])
def test_what_has_to_end_ends(code: str, child: Callable[[str], subprocess.Popen[bytes]]) -> None:
    pid = child(code).pid

    def left() -> list[Process]:
        return [seen for seen in [processes.read(pid)] if seen is not None]

    processes.end(left, time.monotonic, time.sleep, grace_s=0.5)
    assert processes.read(pid) is None


def test_ending_gives_up_in_time_on_what_cannot_be_ended() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    immortal: Any = process(2**22 + 1)
    processes.end(lambda: [immortal], lambda: now, sleep, grace_s=10.0)
    assert 15.0 <= now < 16.0


def test_the_exit_statuses_of_children_are_collected(child: Callable[[str], subprocess.Popen[bytes]]) -> None:
    killed, ended = child(POLITE), child("print(flush=True); import os; os._exit(7)")
    killed.kill()
    collected: dict[int, int] = {}
    deadline = time.monotonic() + 10
    while not {killed.pid, ended.pid} <= collected.keys() and time.monotonic() < deadline:
        collected.update(processes.reap())
    assert (collected[killed.pid], collected[ended.pid]) == (-9, 7)
