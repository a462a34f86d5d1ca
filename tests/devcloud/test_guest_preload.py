"""The guest with --preload: the real server imported ahead of time, the agent around it, root's identity dropped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest import processes
from js2spawner.guest.standby import READY
from js2spawner.handshake.handlers import HandshakeSettings
from tests.devcloud.guests import ADDRESS, Instance, instance
from tests.devcloud.test_guest_account import ENTER, PREAMBLE, ROOT, _may_enter
from tests.unit.guest import environments

SETTINGS = HandshakeSettings(poll_s=3.0, report_s=0.3, early_retry_s=0.1)
PYTHON = "/usr/bin/python3"
REAL = Path(__file__).parent / "real_server" / "run.py"
# To itself and what it starts, root is an ordinary account that owns what root owns.
ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()


def _may_be_ordinary() -> bool:
    return subprocess.run([*ORDINARY, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def real() -> Iterator[Callable[..., Any]]:
    """A function that starts the real server, cold or ahead, always in the same place, and gives what it mirrored."""
    with tempfile.TemporaryDirectory(prefix="js2-real-") as name:

        def run(kind: str, *options: str) -> Any:
            place = Path(name) / "place"
            command = [*ORDINARY, sys.executable, str(REAL), str(place), kind, *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            shutil.rmtree(place)
            told = json.loads(done.stdout)
            text = json.dumps(told["traits"])
            for at, number in enumerate(told["numbers"]):
                text = text.replace(str(number), f"<{at}>")
            return told | {"traits": json.loads(text)}

        yield run


needs_ordinary = pytest.mark.skipif(
    not _may_be_ordinary(), reason="needs root that may make user namespaces, or no root"
)


@needs_ordinary
def test_a_real_server_imported_ahead_is_configured_as_a_cold_one_and_imports_nothing_late(
    real: Callable[..., Any],
) -> None:
    cold, ahead = real("cold"), real("ahead")
    assert (cold["ahead"], ahead["ahead"]) == (False, True)
    assert ahead["traits"]["ServerApp"].pop("argv") != cold["traits"]["ServerApp"].pop("argv")  # the user's name
    assert ahead["traits"] == cold["traits"]
    assert "/home/.jupyter/lab/user-settings" in ahead["traits"]["LabApp"]["user_settings_dir"]
    assert (ahead["username"], ahead["trash"]) == (cold["username"], cold["trash"])
    assert set(ahead["environment"]) == set(cold["environment"])
    assert ahead["remembered"] == []
    assert ahead["late"] == []
    assert ahead["kernel"] == cold["kernel"] == ahead["environment"]["HOME"]
    # A browser is sent to the hub to sign in; the JupyterHub's own answer is what it would be.
    assert ahead["stranger"] == cold["stranger"] == [302, "/hub/api/oauth2/authorize"]


@needs_ordinary
def test_a_real_server_imported_ahead_serves_internal_ssl(real: Callable[..., Any]) -> None:
    told = real("ahead", "--tls")
    assert told["ahead"]
    assert told["traits"]["HubOAuth"]["certfile"].endswith("/tls/server.crt'")
    assert told["traits"]["ServerApp"]["certfile"] == told["traits"]["HubOAuth"]["certfile"]


@pytest.fixture
async def here(free_port: Callable[[], int]) -> AsyncIterator[Instance]:
    """An instance whose server is the small one that tells what it finds itself to be, and whose agent preloads."""
    async with instance(free_port, SETTINGS) as made:
        environment = environments.make(made.folder / "server", made.python)
        made.python, made.options = str(environment.python), ("--preload",)
        yield made


def wanted(here: Instance) -> Any:
    env = {"JUPYTERHUB_API_TOKEN": "t" * 32, "JUPYTERHUB_SERVICE_URL": f"http://{ADDRESS}:{here.notebook_port}"}
    return here.assignment(argv=("jupyterhub-singleuser",), env=env)


def listening(here: Instance) -> Callable[[], bool]:
    return lambda: bool(here.book.reports) and here.book.reports[-1].stage == "listening"


def standing_by(here: Instance) -> list[int]:
    mark = str(here.program / "preload.py")
    return [p.pid for p in processes.everything() if mark in processes.arguments(p.pid)]


async def test_the_process_that_stood_by_is_the_server(here: Instance) -> None:
    here.boot()
    await here.book.until(lambda: here.book.waiting == 1 and len(standing_by(here)) == 1)
    (pid,) = standing_by(here)
    await here.book.until(lambda: getattr(processes.read(pid), "name", "") == READY)
    await here.book.give(wanted(here))
    await here.book.until(listening(here))
    seen = processes.read(pid)
    assert seen is not None
    assert seen.name == "jupyterhub-sing"
    assert here.stages() == ["account", "notebook", "listening"]
    assert json.loads((here.run_dir / "secret" / "notebook.json").read_text())["pid"] == pid


async def test_a_new_agent_finds_it_and_has_no_other_stand_by(here: Instance) -> None:
    here.book.given = wanted(here)
    here.boot()
    await here.book.until(listening(here))
    before = standing_by(here)
    here.kill_agent()
    here.book.reports.clear()
    here.boot()
    await here.book.until(listening(here))
    assert standing_by(here) == before
    assert here.book.reports[-1].notebook_restarts == 0


async def test_after_its_death_the_server_is_started_cold(here: Instance) -> None:
    here.book.given = wanted(here)
    here.boot()
    await here.book.until(listening(here))
    (pid,) = standing_by(here)
    os.kill(pid, signal.SIGKILL)
    await here.book.until(lambda: here.book.reports[-1].notebook_restarts == 1 and listening(here)())
    assert standing_by(here) == []


async def test_another_program_is_started_cold_and_nothing_stands_by_for_ever(here: Instance) -> None:
    here.book.given = here.assignment()
    here.boot()
    await here.book.until(listening(here))
    assert standing_by(here) == []
    assert len(here.stubs()) == 1
    assert "started without what was imported ahead of time" in here.console


async def test_an_agent_that_is_killed_takes_what_stood_by_along(here: Instance) -> None:
    here.boot()
    await here.book.until(lambda: here.book.waiting == 1 and len(standing_by(here)) == 1)
    here.kill_agent()
    await here.book.until(lambda: standing_by(here) == [])


DROPPED = """
import contextlib, time
from tests.unit.guest import environments
from js2spawner.guest import standby
from js2spawner.guest.notebook import Notebook
made = environments.make(pathlib.Path("/run/server"), "/usr/bin/python3")
subprocess.run(["groupadd", "--gid", "30000", "project"], check=True)
subprocess.run(["useradd", "--uid", "20001", "--groups", "project,users", "--create-home", "alice"], check=True)
given = wanted(argv=["jupyterhub-singleuser"], env={"PATH": "/run/server/bin"})
owner, run = account.ensure(given, made_here), RunDir(pathlib.Path("/run/js2"))
run.keep("assignment", {"token": "hub-token"})
def until(condition):
    limit = time.monotonic() + 20
    while not condition() and time.monotonic() < limit: time.sleep(0.02)
"""


@pytest.fixture
def inside(tmp_path: Path) -> Callable[[str], Any]:
    """Runs lines of Python as root with accounts of its own (test_guest_account.py) and gives back their `told`."""

    def run(lines: str) -> Any:
        program = PREAMBLE.format(root=str(ROOT)) + DROPPED + lines + "\nprint(json.dumps(told))"
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENTER, "sh"]
        command += [str(tmp_path), sys.executable, "-I", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.skipif(not _may_enter() or not Path(PYTHON).exists(), reason="needs root that may make mount namespaces")
def test_root_is_dropped_for_good_before_the_first_line_of_the_server(inside: Callable[[str], Any]) -> None:
    made = inside("""
one = standby.Standby(made.python, time.monotonic)
notebook = Notebook(given, owner, run, time.monotonic, one)
notebook.start()
file = pathlib.Path("/home/alice/told.json")
until(file.exists)
told = json.loads(file.read_text())
told |= {"same": notebook.pid == one.child.pid, "log": os.stat(run.log / "server.log").st_uid}
""")
    assert made["same"]
    assert made["status"]["Uid"] == made["status"]["Gid"] == ["20001"] * 4
    assert set(made["status"]["Groups"]) == {"100", "20001", "30000"}
    assert made["status"]["CapPrm"] == made["status"]["CapEff"] == ["0" * 16]
    assert not made["became_root_again"]
    assert not made["reads_the_agents_secrets"]
    assert made["owner"] == 20001  # its own /proc entry: what an exec gives, and tools of the user's own need
    assert (made["cwd"], made["log"]) == ("/home/alice", 0)


@pytest.mark.skipif(not _may_enter() or not Path(PYTHON).exists(), reason="needs root that may make mount namespaces")
def test_what_another_account_owns_is_not_imported_by_root(inside: Callable[[str], Any]) -> None:
    told = inside("""
os.chown(made.packages, owner.uid, owner.gid)
one = standby.Standby(made.python, time.monotonic)
said = []
until(lambda: said.append(one.answer()) or said[-1])
told = said[-1]
""")
    assert told == "/run/server/lib/python3.11/site-packages can be changed by others than root"
