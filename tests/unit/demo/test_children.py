from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.demo.children import ChildFailed, ChildPlan, Children, Patience

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's ties between parent and child are Linux's")
SLEEP = "import time; time.sleep(600)"
GRANDCHILD = "import os, time; open('grand', 'w').write(str(os.getpid())); time.sleep(600)"
Eventually = Callable[..., Awaitable[None]]


def toy(
    folder: Path, program: str, *, name: str = "toy", stop_within_s: float = 10, leaves_work: bool = False
) -> ChildPlan:
    """A child that runs a few lines of Python; it is healthy once it has written its file `ready`."""
    ready = folder / f"{name}.ready"
    first = f"import os, pathlib\nGRANDCHILD = {GRANDCHILD!r}\nready = pathlib.Path({str(ready)!r})"

    async def healthy() -> bool:
        return ready.exists()

    return ChildPlan(
        name=name,
        argv=(sys.executable, "-c", f"{first}\n{textwrap.dedent(program)}"),
        environment=dict(os.environ),
        directory=folder,
        log=folder / "log" / f"{name}.log",
        healthy=healthy,
        healthy_within_s=60,
        stop_within_s=stop_within_s,
        leaves_work=leaves_work,
    )


READY = "ready.write_text(str(os.getpid()))\n"


@asynccontextmanager
async def children(said: list[str] | None = None, patience: Patience | None = None):
    family = Children(say=(said if said is not None else []).append, patience=patience or Patience())
    try:
        yield family
    finally:
        family.hurry()
        await family.stop()


def pid_in(path: Path) -> int:
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_child_counts_as_started_only_when_it_is_healthy(tmp_path: Path):
    async with children() as family:
        await family.start(toy(tmp_path, READY + SLEEP))
        assert alive(pid_in(tmp_path / "toy.ready"))


async def test_a_child_that_ends_at_once_is_named_with_the_end_of_its_log(tmp_path: Path):
    async with children() as family:
        with pytest.raises(ChildFailed) as caught:
            await family.start(toy(tmp_path, "import sys; sys.exit('the sky fell')"))
    assert "The toy ended with exit code 1" in str(caught.value)
    assert "the sky fell" in str(caught.value)
    assert "toy.log" in str(caught.value)


async def test_a_child_that_never_gets_healthy_is_an_error_after_its_deadline(tmp_path: Path):
    plan = toy(tmp_path, SLEEP)
    async with children() as family:
        with pytest.raises(ChildFailed, match="did not get ready within 0 seconds"):
            await family.start(replace(plan, healthy_within_s=0))


async def test_children_end_in_the_opposite_order_of_their_start(tmp_path: Path):
    program = """
        import signal, sys, time
        def end(*_):
            with open("order", "a") as file: file.write(NAME + " ")
            sys.exit()
        signal.signal(signal.SIGTERM, end)
        ready.write_text("")
        time.sleep(600)
    """
    async with children() as family:
        for name in ("cloud", "proxy", "hub"):
            await family.start(toy(tmp_path, f"NAME = {name!r}\n" + textwrap.dedent(program), name=name))
        await family.stop()
    assert (tmp_path / "order").read_text().split() == ["hub", "proxy", "cloud"]


async def test_a_child_deaf_to_sigterm_is_killed_with_its_whole_group(tmp_path: Path):
    program = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", GRANDCHILD])
        while not pathlib.Path("grand").exists() or not pathlib.Path("grand").read_text(): time.sleep(0.01)
        ready.write_text(str(os.getpid()))
        time.sleep(600)
    """
    async with children() as family:
        await family.start(toy(tmp_path, program, stop_within_s=0.1))
        await family.stop()
    assert not alive(pid_in(tmp_path / "toy.ready"))
    assert not alive(pid_in(tmp_path / "grand"))


GRANDCHILD_IN_ITS_OWN_SESSION = """
    import subprocess, sys, time
    subprocess.Popen([sys.executable, "-c", GRANDCHILD], start_new_session=True)
    while not pathlib.Path("grand").exists() or not pathlib.Path("grand").read_text(): time.sleep(0.01)
    ready.write_text(str(os.getpid()))
    time.sleep(600)
"""


@LINUX
async def test_stopping_ends_what_a_child_left_behind_in_a_session_of_its_own(tmp_path: Path):
    async with children() as family:
        await family.start(toy(tmp_path, GRANDCHILD_IN_ITS_OWN_SESSION))
        await family.stop()
    assert not alive(pid_in(tmp_path / "grand"))


async def test_a_child_that_dies_is_started_again_and_that_is_said(tmp_path: Path, eventually: Eventually):
    said: list[str] = []
    async with children(said) as family:
        await family.start(toy(tmp_path, READY + SLEEP))
        first = pid_in(tmp_path / "toy.ready")
        watching = asyncio.create_task(family.watch())
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: pid_in(tmp_path / "toy.ready") != first)
        watching.cancel()
    assert "The toy was ended by SIGKILL" in said[0]
    assert "Starting the toy again" in said[0]


async def test_a_child_that_dies_too_often_ends_the_watch(tmp_path: Path):
    async with children(patience=Patience(restarts=2, within_s=600)) as family:
        await family.start(toy(tmp_path, READY))
        with pytest.raises(ChildFailed, match="death 3 of the toy"):
            await asyncio.wait_for(family.watch(), 30)


def test_old_deaths_are_forgiven():
    assert Patience(restarts=1, within_s=60).lets_restart([0.0, 10.0, 100.0], now=100.0)
    assert not Patience(restarts=1, within_s=60).lets_restart([50.0, 100.0], now=100.0)


@LINUX
async def test_what_a_dead_child_left_behind_ends_before_it_starts_again(tmp_path: Path, eventually: Eventually):
    async with children() as family:
        await family.start(toy(tmp_path, GRANDCHILD_IN_ITS_OWN_SESSION))
        orphan = pid_in(tmp_path / "grand")
        watching = asyncio.create_task(family.watch())
        os.kill(pid_in(tmp_path / "toy.ready"), signal.SIGKILL)
        await eventually(lambda: not alive(orphan))
        watching.cancel()


@LINUX
async def test_the_work_of_a_child_that_leaves_work_outlives_its_crash_but_not_the_stop(
    tmp_path: Path, eventually: Eventually
):
    said: list[str] = []
    async with children(said) as family:
        await family.start(toy(tmp_path, GRANDCHILD_IN_ITS_OWN_SESSION, name="cloud", leaves_work=True))
        await family.start(toy(tmp_path, READY + SLEEP, name="hub"))
        work = pid_in(tmp_path / "grand")
        watching = asyncio.create_task(family.watch())
        os.kill(pid_in(tmp_path / "cloud.ready"), signal.SIGKILL)
        await eventually(lambda: any("Starting the cloud again" in line for line in said))
        os.kill(pid_in(tmp_path / "hub.ready"), signal.SIGKILL)
        await eventually(lambda: any("Starting the hub again" in line for line in said))
        assert alive(work)
        watching.cancel()
        await family.stop()
    assert not alive(work)


@LINUX
def test_children_end_when_their_parent_is_killed(tmp_path: Path, wait_until: Callable[..., None]):
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(f"""
        import asyncio, os, pathlib, sys
        from tests.unit.demo.test_children import READY, SLEEP, toy
        from js2spawner.demo.children import Children, Patience
        async def main():
            family = Children(say=print, patience=Patience())
            await family.start(toy(pathlib.Path({str(tmp_path)!r}), READY + SLEEP))
            await family.watch()
        asyncio.run(main())
        """)
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, parent], env={**os.environ, "PYTHONPATH": str(root)})
    try:
        ready = tmp_path / "toy.ready"
        wait_until(lambda: ready.exists() and ready.read_text())
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not alive(pid_in(ready)))


async def test_a_hurried_stop_waits_for_nobody(tmp_path: Path):
    program = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + SLEEP
    async with children() as family:
        await family.start(toy(tmp_path, program, stop_within_s=3600))
        family.hurry()
        await asyncio.wait_for(family.stop(), 60)
    assert not alive(pid_in(tmp_path / "toy.ready"))


async def test_what_a_child_keeps_is_readable_by_nobody_else(tmp_path: Path):
    plan = toy(tmp_path, "ready.write_text('')\n" + SLEEP)
    async with children() as family:
        await family.start(replace(plan, directory=tmp_path / "hub"))
    assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o700
