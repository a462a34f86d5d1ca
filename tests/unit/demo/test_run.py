"""A whole run with toy children in place of the real three, in a process of its own, since it is about signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from js2spawner.demo.plan import Files
from js2spawner.demo.run import welcome
from tests.unit.demo.test_children import alive, pid_in
from tests.unit.demo.test_plan import SETTINGS

ROOT = Path(__file__).parents[3]
RUN = """
import asyncio, pathlib, sys
from js2spawner.demo.children import ChildFailed, Children, Patience
from js2spawner.demo.run import attend
from tests.unit.demo.test_children import toy
folder, *programs = sys.argv[1:]
plans = [toy(pathlib.Path(folder), text, name=f"toy{n}", stop_within_s=3600) for n, text in enumerate(programs)]
def say(text): print(text, flush=True)
try:
    asyncio.run(attend(Children(say=say, patience=Patience(restarts=0)), plans, say, ready=lambda: say("all ready")))
except ChildFailed as problem:
    sys.exit(str(problem))
"""
STAYS = "ready.write_text(str(os.getpid()))\nimport time; time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STAYS


@contextmanager
def running(folder: Path, *programs: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, folder, *programs],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert line in iter(lambda: process.stdout.readline().strip() or None, None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_child_and_is_a_success(tmp_path: Path, number: signal.Signals):
    with running(tmp_path, STAYS, STAYS) as process:
        read_until(process, "all ready")
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Stopped." in output
        assert not alive(pid_in(tmp_path / "toy0.ready"))
        assert not alive(pid_in(tmp_path / "toy1.ready"))


def test_a_signal_while_children_start_ends_those_that_run(tmp_path: Path, wait_until: Callable[..., None]):
    with running(tmp_path, STAYS, "import time; time.sleep(600)") as process:
        read_until(process, "Starting the toy1 …")
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not alive(pid_in(tmp_path / "toy0.ready"))


def test_a_second_signal_does_not_wait_for_a_deaf_child(tmp_path: Path):
    with running(tmp_path, DEAF) as process:
        read_until(process, "all ready")
        process.terminate()
        read_until(process, "Stopping …")
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not alive(pid_in(tmp_path / "toy0.ready"))


def test_a_child_that_cannot_be_kept_alive_ends_the_others_and_is_named(tmp_path: Path):
    with running(tmp_path, STAYS, "ready.write_text('')\nimport sys; sys.exit('out of luck')") as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "The toy1 ended with exit code 1" in errors
        assert "out of luck" in errors
        assert not alive(pid_in(tmp_path / "toy0.ready"))


def test_the_welcome_says_where_and_how_to_sign_in():
    text = welcome(SETTINGS, Files(Path("/demo")))
    assert "http://127.0.0.1:8000" in text
    assert "alice (an admin), bob" in text
    assert "the-password" in text
    assert "/demo/devcloud/clouds.yaml" in text
    assert "the-api-token" not in text
