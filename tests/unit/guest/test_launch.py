"""What a server is started with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.guest import launch
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import Assignment, Certificates
from js2spawner.guest.launch import CannotStart
from js2spawner.guest.rundir import RunDir

LEAST_BLOCKS = launch.LEAST_ROOM_BYTES // 4096


def account(**changes: Any) -> Account:
    plain = {"name": "alice", "uid": 1000, "gid": 1000, "groups": (), "home": "/home/alice", "shell": "/bin/sh"}
    return Account(**({"switch": False} | plain | changes))


def assignment(**changes: Any) -> Assignment:
    plain: dict[str, Any] = {
        "id": "a1",
        "user_name": "alice",
        "uid": 1000,
        "sudo": False,
        "argv": ("jupyterhub-singleuser",),
        "env": {"JUPYTERHUB_API_TOKEN": "secret-token"},
        "address": "127.0.0.1",
        "port": 8888,
        "certificates": None,
        "gpu": False,
    }
    return Assignment(**(plain | changes))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "js2")


def test_the_hubs_variables_are_passed_whole_and_the_agents_are_not(run: RunDir) -> None:
    given = assignment(env={"A": "1", "B": ""})
    told = launch.environment(given, account(), run, {"SECRET_OF_ROOT": "x", "PATH": "/usr/bin"})
    assert set(told) == {"A", "B", "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "JUPYTER_RUNTIME_DIR"}


@pytest.mark.parametrize(("left", "moved"), [(LEAST_BLOCKS - 1, True), (LEAST_BLOCKS, False)])
def test_kernels_keep_their_profile_in_memory_while_the_home_is_full(
    left: int, moved: bool, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SimpleNamespace(f_bavail=left, f_frsize=4096, f_flag=0)
    monkeypatch.setattr(os, "statvfs", lambda _home: told)
    variables = launch.environment(assignment(), account(home=str(tmp_path)), run, {})
    assert variables.get("IPYTHONDIR", "").startswith(str(run.runtime)) is moved


def test_who_the_user_is_here_is_for_the_instance_to_say(run: RunDir) -> None:
    told = launch.environment(assignment(env={"HOME": "/root", "USER": "root"}), account(), run, {})
    assert (told["HOME"], told["USER"], told["LOGNAME"], told["SHELL"]) == ("/home/alice", "alice", "alice", "/bin/sh")


def test_the_programs_beside_the_agents_python_come_first(run: RunDir) -> None:
    told = launch.environment(assignment(), account(), run, {"PATH": "/usr/bin"})
    assert told["PATH"].split(":") == [str(Path(sys.executable).parent), "/usr/bin"]


def test_an_operators_path_wins(run: RunDir) -> None:
    assert launch.environment(assignment(env={"PATH": "/opt/bin"}), account(), run, {})["PATH"] == "/opt/bin"


@pytest.mark.parametrize("program", ["jupyterhub-singleuser", "/opt/bin/jupyter-labhub"])
def test_a_jupyterlab_learns_where_the_lease_and_its_extension_are(program: str, run: RunDir) -> None:
    argv = launch.arguments(assignment(argv=(program, "--debug")), run)
    assert argv == [
        program,
        "--debug",
        f"--ServerApp.extra_static_paths={run.public}",
        f"--LabApp.extra_labextensions_path={launch.LABEXTENSIONS}",
    ]
    assert (launch.LABEXTENSIONS / "js2-lease" / "package.json").exists()


def test_another_program_gets_its_arguments_untouched(run: RunDir) -> None:
    assert launch.arguments(assignment(argv=("code-server", "--port", "8888")), run) == [
        "code-server",
        "--port",
        "8888",
    ]


def test_certificates_are_files_that_only_root_and_the_user_read(run: RunDir) -> None:
    given = assignment(certificates=Certificates("KEY", "CERTIFICATE", "AUTHORITY"))
    launch.write_certificates(given, account(gid=os.getegid()), run)
    told = launch.environment(given, account(), run, {})
    assert Path(told["JUPYTERHUB_SSL_KEYFILE"]).read_text() == "KEY"
    assert Path(told["JUPYTERHUB_SSL_CERTFILE"]).read_text() == "CERTIFICATE"
    assert Path(told["JUPYTERHUB_SSL_CLIENT_CA"]).read_text() == "AUTHORITY"
    assert run.tls.stat().st_mode & 0o007 == 0
    assert {file.stat().st_mode & 0o777 for file in run.tls.iterdir()} == {0o400}


@pytest.mark.parametrize("root", [{"uid": 0}, {"gid": 0}])
def test_a_server_never_runs_as_root(root: dict[str, int], run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="never runs as root"):
        launch.start(["sh"], {"PATH": "/bin"}, account(**root), tmp_path / "log")


def test_a_missing_program_is_said_by_name(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="jupyterhub-nothing is not on this image's PATH"):
        launch.start(["jupyterhub-nothing"], {"PATH": "/bin"}, account(), tmp_path / "log")
