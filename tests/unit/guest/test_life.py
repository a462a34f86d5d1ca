"""How often the agent looks, whatever the pace of its reports."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from js2spawner.guest.identity import Identity
from js2spawner.guest.life import Life, Stage
from js2spawner.guest.machine import Machine
from js2spawner.guest.rundir import RunDir


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


class Hub:
    """What the hub says of the pace of reports, and whether it is saving the instance."""

    report_s = 2.0
    order: str | None = None

    def report(self, _message: Any) -> dict[str, Any]:
        return {}


def test_kernels_are_looked_at_with_every_third_report_and_no_more_often_while_a_save_has_them_come_faster(
    tmp_path: Path,
) -> None:
    now = [0.0]
    run, identity = RunDir(tmp_path / "run"), Identity(tmp_path / "state")
    saving = SimpleNamespace(word=lambda: "save-1" if hub.order else "", obey=lambda _answer: None)
    hub, kernels = Hub(), Kernels()
    machine = Machine(lambda: now[0], lambda _: None, privileged=False, disks=cast("Any", None))
    life = Life(cast("Any", hub), run, identity, cast("Any", saving), machine)
    life._notebook, life._stage = cast("Any", kernels), Stage("listening", "a")

    def reports(at: range) -> int:
        before = kernels.looks
        for now[0] in at:
            life._report()
        return kernels.looks - before

    reports(range(0, 4, 2))
    assert reports(range(4, 64, 2)) == 10
    hub.order, hub.report_s = "save", 1.0
    assert reports(range(64, 124)) == 10
