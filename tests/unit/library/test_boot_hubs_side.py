"""The hub's side of a boot test: what a console tells, what an attempt is given, when a boot was where."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from js2spawner.handshake import desk, tickets
from js2spawner.handshake.desk import Verdict
from js2spawner.handshake.messages import Assignment, Orders, report_from
from js2spawner.library.boot import emulator, relay, search, trial
from js2spawner.library.boot.attempt import BOOTS_AT_MOST, OneAttempt
from js2spawner.library.boot.console import HEAD_BYTES, TAIL_BYTES, Console
from js2spawner.library.boot.machine import Machine, MachineEnded
from js2spawner.library.boot.stages import Course
from tests.unit.handshake import books

FIRST, SECOND = "boot-1", "boot-2"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempt(clock: Clock) -> OneAttempt:
    return OneAttempt(books.SERVER_ID, books.assignment(), clock)


async def says_hello(attempt: OneAttempt, boot_id: str) -> Verdict:
    hello = books.hello(attempt_id=attempt.id, ticket=attempt.ticket, boot_id=boot_id)
    verdict = desk.admit(attempt.expected(attempt.id), hello, "127.0.0.1")
    if verdict.status == 200:
        await attempt.admitted(attempt.id, tickets.hashed(hello.credential), hello)
    return verdict


def given(attempt: OneAttempt) -> Assignment:
    told = attempt.assignment(attempt.id)
    assert told is not None
    return told


async def reports(attempt: OneAttempt, stage: str, uptime_s: float = 5.0) -> Orders:
    health = dict.fromkeys(("load1", "memory_used_mb", "memory_total_mb", "disk_used_gb", "disk_total_gb"), 1.0)
    told = books.report_json(stage=stage, assignment=given(attempt).id, health={**health, "uptime_s": uptime_s})
    return await attempt.report(attempt.id, report_from(json.dumps(told).encode()))


async def test_the_assignment_is_there_for_the_first_hello(attempt: OneAttempt) -> None:
    assert await says_hello(attempt, FIRST) is Verdict.ADMIT
    assert given(attempt).user_name == "alice"


async def test_after_a_reboot_it_is_given_again_under_another_id(attempt: OneAttempt) -> None:
    await says_hello(attempt, FIRST)
    before = given(attempt)
    await reports(attempt, "account")
    assert await says_hello(attempt, SECOND) is Verdict.AGAIN
    assert given(attempt).id != before.id
    assert given(attempt).env == before.env
    expected = attempt.expected(attempt.id)
    assert expected is not None
    assert not expected.assignment_taken


async def test_an_assignment_may_come_later_and_an_order_is_a_word_until_it_was_answered(clock: Clock) -> None:
    attempt = OneAttempt(books.SERVER_ID, None, clock)
    await says_hello(attempt, FIRST)
    assert attempt.assignment(attempt.id) is None
    await attempt.give(books.assignment())
    assert not attempt.has_word(attempt.id)
    await attempt.order(Orders(leave_within_s=30.0))
    assert attempt.has_word(attempt.id)
    assert await reports(attempt, "listening") == Orders(leave_within_s=30.0)
    assert not attempt.has_word(attempt.id)
    assert await says_hello(attempt, FIRST) is Verdict.AGAIN


async def test_a_hello_that_is_repeated_is_no_other_boot(attempt: OneAttempt) -> None:
    await says_hello(attempt, FIRST)
    await reports(attempt, "account")
    before = given(attempt)
    await says_hello(attempt, FIRST)
    assert len(attempt.boots) == 1
    assert given(attempt) == before


async def test_a_machine_that_boots_for_ever_fills_no_memory(attempt: OneAttempt) -> None:
    for number in range(3 * BOOTS_AT_MOST):
        await says_hello(attempt, f"boot-{number}")
    assert len(attempt.boots) == BOOTS_AT_MOST


async def test_stages_are_counted_from_power_on_by_both_clocks(attempt: OneAttempt, clock: Clock) -> None:
    power_on = clock.now
    clock.now = power_on + 30
    await says_hello(attempt, FIRST)
    clock.now = power_on + 31
    await reports(attempt, "account", uptime_s=28.0)
    clock.now = power_on + 40
    # This one was under way for a second longer, and moves nothing.
    await reports(attempt, "listening", uptime_s=36.0)
    course = Course()
    course.began(power_on, attempt.boots[0], cpu_s=50.0)
    course.inside({"userspace": 2.5, "network": 9.0, "hello": 1.0, "odd": 1.0, "agent": float("nan"), "up": "soon"})
    assert course.seconds == {
        "kernel": 3.0,
        "userspace": 5.5,
        "network": 12.0,
        "hello": 30.0,
        "account": 31.0,
        "listening": 40.0,
    }


@pytest.mark.parametrize("times", [None, [], "soon", {"userspace": True, "network": -1, "up": 1e300}])
def test_odd_times_from_inside_count_for_nothing(times: object) -> None:
    course = Course({"kernel": 1.0})
    course.inside(times)
    assert course.seconds == {"kernel": 1.0}


def test_a_panic_is_seen_though_it_comes_in_pieces() -> None:
    console = Console()
    for piece in (b"[ 1.0] Kernel pan", b"ic - not sync", b"ing: no init found\r\nmore"):
        console.feed(piece)
    assert "not syncing" in console.panic


def test_a_secret_is_seen_though_it_comes_in_pieces_and_is_never_shown() -> None:
    console = Console(["T" * 43])
    console.feed(b"ticket: " + b"T" * 20)
    assert not console.told_secret
    console.feed(b"T" * 23 + b"\n")
    assert console.told_secret
    assert "TTTT" not in console.end()


def test_the_end_of_a_console_is_plain_text() -> None:
    console = Console()
    console.feed(b"one\r\n\x1b[0;1;31mtwo\x1b[0m \x07three\r\n")
    assert console.end() == "one\ntwo  three"


def test_a_console_that_never_stops_fills_no_memory() -> None:
    console = Console()
    for _ in range(100):
        console.feed(b"x" * 10_000 + b"\n")
    assert len(console._head) + len(console._tail) <= HEAD_BYTES + TAIL_BYTES


def test_a_text_is_found_across_the_pieces_a_file_is_read_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "CHUNK_BYTES", 64)
    disk = tmp_path / "disk"
    disk.write_bytes(b"\0" * 60 + b"the-token" + b"\0" * 100)
    assert search.holds(disk, b"the-token")
    assert not search.holds(disk, b"another")


def test_a_guests_connection_is_passed_on_both_ways() -> None:
    ours, guests = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server, ours:
        port = str(server.getsockname()[1])
        command = [sys.executable, "-I", "-S", relay.__file__, "127.0.0.1", port]
        with subprocess.Popen(command, stdin=guests, stdout=guests, stderr=guests) as process:
            guests.close()
            server.settimeout(30)
            hub, _ = server.accept()
            with hub:
                ours.sendall(b"hello")
                assert hub.recv(100) == b"hello"
                hub.sendall(b"x" * 200_000)
                hub.shutdown(socket.SHUT_WR)
                got = b""
                while data := ours.recv(65536):
                    got += data
            assert got == b"x" * 200_000
            assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("flags", "device", "runs_on"),
    [("fpu vmx", True, "kvm"), ("svm fpu", True, "kvm"), ("fpu hypervisor", True, "tcg"), ("fpu vmx", False, "tcg")],
)
def test_kvm_is_used_where_the_processor_helps(tmp_path: Path, flags: str, device: bool, runs_on: str) -> None:
    cpuinfo, kvm = tmp_path / "cpuinfo", tmp_path / "kvm"
    cpuinfo.write_text(f"processor: 0\nflags\t\t: {flags}\n")
    if device:
        kvm.touch()
    assert emulator.accelerator(cpuinfo, kvm) == runs_on


def test_a_machine_whose_kernel_gave_up_or_that_is_off_is_of_no_use(tmp_path: Path) -> None:
    console = Console()
    process = SimpleNamespace(returncode=None, pid=1)
    running = Machine(cast(Any, process), tmp_path, console, 1)
    running.check()
    console.feed(b"Kernel panic - not syncing: Attempted to kill init!\r\n")
    with pytest.raises(MachineEnded, match="the kernel gave up: Kernel panic"):
        running.check()
    process.returncode = 1
    off = Machine(cast(Any, process), tmp_path, Console(), 1)
    with pytest.raises(MachineEnded, match="turned itself off"):
        off.check()


@pytest.mark.parametrize(
    ("runs_on", "off", "begins_at", "turned_on"),
    [("tcg", False, 2, 2), ("tcg", False, 1, 1), ("tcg", False, 3, 2), ("kvm", False, 3, 1), ("tcg", True, 3, 1)],
    ids=["silent-once", "speaks", "silent-twice", "no-emulation", "turned-itself-off"],
)
async def test_an_emulated_machine_that_says_nothing_is_turned_on_once_more(
    monkeypatch: pytest.MonkeyPatch, runs_on: str, off: bool, begins_at: int, turned_on: int
) -> None:
    said: list[str] = []
    there: list[int] = []
    seen = 0

    @contextlib.asynccontextmanager
    async def power() -> AsyncIterator[Any]:
        nonlocal seen
        seen += 1
        there.append(seen)
        yield SimpleNamespace(number=seen, is_off=off)
        there.pop()

    monkeypatch.setattr(trial, "accelerator", lambda: runs_on)
    tried = trial.Trial(Path("disk"), said.append, patience=trial.Patience(silent_s=0.0))
    async with contextlib.AsyncExitStack() as stack:
        running = cast(Any, await tried._turned_on(stack, power, lambda: seen >= begins_at))
        assert (running.number, there) == (turned_on, [turned_on])
    assert there == []
    assert bool(said) == (turned_on == 2)
