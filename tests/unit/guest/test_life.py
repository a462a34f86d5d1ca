"""How often the agent looks, whatever the pace of its reports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from js2spawner.guest.identity import Identity
from js2spawner.guest.life import Life, Stage
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.saving import Saving


class Kernels:
    """A server, as much of it as a report tells of."""

    pid, restarts, looks = 1, 0, 0

    def kernel_is_busy(self) -> bool:
        self.looks += 1
        return False

    def users_processes(self) -> list[Any]:
        return []

    def alive(self) -> bool:
        return True


def test_kernels_are_looked_at_once_a_minute_though_reports_come_every_second(tmp_path: Path) -> None:
    now = [0.0]
    run, identity = RunDir(tmp_path / "run"), Identity(tmp_path / "state")
    saving = Saving(identity, run, "attempt-1", lambda: now[0])
    talk = cast("Any", SimpleNamespace())
    life = Life(talk, run, identity, saving, lambda: now[0], lambda _: None, privileged=False)
    kernels = Kernels()
    life._notebook, life._stage = cast("Any", kernels), Stage("listening", "a")
    for now[0] in range(121):
        life._message()
    assert kernels.looks == 3
