from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.demo.directory import held, put_logs_aside, read_settings, this_machine, write_settings
from js2spawner.demo.plan import Files
from js2spawner.demo.settings import Asked, DemoError, settle

HOLD = """
import sys, time
from pathlib import Path
from js2spawner.demo.directory import held
from js2spawner.demo.plan import Files
with held(Files(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_demo_in_the_same_directory_is_refused_by_process_number(tmp_path: Path):
    root = Path(__file__).parents[3]
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(DemoError, match=rf"process {other.pid}"), held(Files(tmp_path)):
            pass
    finally:
        other.kill()
        other.communicate()


def test_a_directory_is_free_again_after_its_demo(tmp_path: Path):
    for _ in range(2):
        with held(Files(tmp_path)):
            pass


def test_a_directory_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoError, match="--dir"), held(Files(tmp_path / "file" / "demo")):
        pass


def test_settings_and_secrets_are_readable_by_nobody_else(tmp_path: Path):
    files = Files(tmp_path)
    write_settings(files, settle(None, Asked(), this_machine()))
    for secret in (files.settings, files.password, files.api_token):
        assert secret.stat().st_mode & 0o777 == 0o600


def test_what_is_written_is_read_again(tmp_path: Path, free_port: Callable[[], int]):
    files = Files(tmp_path)
    settings = settle(None, Asked(port=free_port()), this_machine())
    write_settings(files, settings)
    write_settings(files, settings)
    assert read_settings(files) == settings


def test_a_new_directory_holds_no_settings(tmp_path: Path):
    assert read_settings(Files(tmp_path)) is None


def test_the_logs_of_the_last_start_are_kept_once(tmp_path: Path):
    files = Files(tmp_path)
    files.logs.mkdir()
    for start in ("first", "second"):
        (files.logs / "hub.log").write_text(start)
        put_logs_aside(files)
    assert [path.name for path in files.logs.iterdir()] == ["hub.log.1"]
    assert (files.logs / "hub.log.1").read_text() == "second"


def test_a_port_somebody_listens_on_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not this_machine().is_free(listener.getsockname()[1])


def test_a_free_port_is_free():
    machine = this_machine()
    assert machine.is_free(machine.free_port())
