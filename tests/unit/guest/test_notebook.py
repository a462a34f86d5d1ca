"""The server's log, which its user writes: it never grows beyond its limit."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from js2spawner.guest.account import Account
from js2spawner.guest.assignment import Assignment
from js2spawner.guest.notebook import LOG_LIMIT_BYTES, LOG_TAIL_BYTES, Notebook
from js2spawner.guest.rundir import RunDir


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    given = Assignment("a1", "alice", 1000, False, ("true",), {}, "127.0.0.1", 8888, None, False)
    owner = Account("alice", 1000, 1000, (), str(tmp_path), "/bin/sh", switch=False)
    made = Notebook(given, owner, RunDir(tmp_path / "js2"), time.monotonic)
    (tmp_path / "js2/log/server.log").write_bytes(b"x" * LOG_LIMIT_BYTES + b"the end")
    return made


def test_a_log_that_is_too_large_keeps_its_end(notebook: Notebook, tmp_path: Path) -> None:
    notebook._bound_log()
    kept = (tmp_path / "js2/log/server.log.1").read_bytes()
    assert (len(kept), kept[-7:]) == (LOG_TAIL_BYTES, b"the end")
    assert (tmp_path / "js2/log/server.log").stat().st_size == 0


def test_without_room_for_its_end_the_log_still_makes_some(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", no_room)
    notebook._bound_log()
    assert (tmp_path / "js2/log/server.log").stat().st_size == 0
