"""A home's materials never keep a server from starting."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from js2spawner.guest import seeding
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import SeedWish
from js2spawner.guest.machine import Machine
from js2spawner.guest.seeding import Seeding

WISH = SeedWish("git", "https://example.org/course", "", ".")


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.step = 1.0

    def sleep(self, _seconds: float) -> None:
        os.sched_yield()
        self.now += self.step


def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, time: Time) -> Seeding:
    program = tmp_path / "program.py"
    program.write_text(lines)
    monkeypatch.setattr(seeding, "PROGRAM", program)
    made = Seeding(Machine(lambda: time.now, time.sleep, False, cast("Any", None)), os.environ["PATH"])
    made.start(WISH, Account("alice", os.geteuid(), os.getegid(), (), str(tmp_path), "/bin/sh", switch=False))
    return made


def done(made: Seeding) -> str:
    assert made._child is not None
    made._child.wait(20)
    assert not made.under_way()
    return made.notice


def test_what_was_asked_for_reaches_the_program_and_success_is_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "import json, sys; told = json.load(sys.stdin); assert told['url'].endswith('course'); print('{}')"
    assert done(begun(tmp_path, monkeypatch, lines, Time())) == ""


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('print(\'{"problem": "git: not found"}\')', "git: not found"),
        ("raise SystemExit(1)", "without a word"),
        ("print('[]')", "without a word"),
        ("print('{\"problem\": \"' + 'x' * 1000 + '\\\\u001b[31m\"}')", "x" * 200),
    ],
)
def test_whatever_goes_wrong_is_one_printable_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, why: str
) -> None:
    notice = done(begun(tmp_path, monkeypatch, lines, Time()))
    assert f"({why})" in notice or why in notice
    assert notice.isprintable()
    assert len(notice) < 400


def test_a_server_waits_for_it_only_so_long_and_then_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time()
    made = begun(tmp_path, monkeypatch, "import time; time.sleep(600)", time)
    child = made._child
    made.wait(lambda: None)
    assert time.now == seeding.FIRST_PATIENCE_S
    assert made.under_way()
    time.now = seeding.DEADLINE_S
    assert not made.under_way()
    assert "took too long" in made.notice
    assert child is not None
    assert child.wait(20) < 0


def test_what_cannot_be_started_is_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    made = Seeding(Machine(lambda: 0.0, lambda _: None, False, cast("Any", None)), "/bin")
    made.start(WISH, Account("alice", os.geteuid(), os.getegid(), (), str(tmp_path), "/bin/sh", switch=False))
    assert not made.under_way()
    assert "could not be fetched" in made.notice
