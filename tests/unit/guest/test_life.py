"""How often the agent looks, whatever the pace of its reports; what it does when it is told to leave."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from js2spawner.guest import gpu
from js2spawner.guest.assignment import leave_from_json
from js2spawner.guest.gpu import NoGpu
from js2spawner.guest.identity import Identity
from js2spawner.guest.life import Leave, Life, Stage
from js2spawner.guest.machine import Machine
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.talk import Ended


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
    hub, kernels = Hub(), Kernels()
    saving = SimpleNamespace(word=lambda: "save-1" if hub.order else "", obey=lambda _answer: None)
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


class Leaving:
    """A hub that orders what the test says, and ends the attempt after so many reports of "left"."""

    report_s = 20.0
    poll_s = 5.0

    def __init__(self, order: Mapping[str, Any], reports_left: int = 3) -> None:
        self.order = order
        self.reports: list[Any] = []
        self._reports_left = reports_left

    def report_is_due(self) -> bool:
        return True

    def report(self, message: Any) -> Mapping[str, Any]:
        self.reports.append(message)
        if [each["stage"] for each in self.reports].count("left") >= self._reports_left:
            raise Ended
        return self.order


class Home:
    """A home that is mounted, for as long as it takes."""

    usage_gb = (1.0, 2.0)

    def __init__(self) -> None:
        self.state = "mounted"
        self.until = 0.0

    def let_go(self, until: float) -> None:
        self.until, self.state = self.until or until, "clean"

    def left_before(self, state: str) -> None:
        self.state = state

    def report(self) -> dict[str, Any]:
        return {"state": self.state, "used_gb": 1.0, "total_gb": 2.0}

    def look(self) -> None: ...

    def notices(self) -> list[str]:
        return []


def leave(within_s: Any) -> dict[str, Any]:
    return {"order": "leave", "leave": {"within_s": within_s}}


def lived(run: RunDir, tmp_path: Path, hub: Leaving) -> tuple[Home, list[str]]:
    """A life that had come as far as a running server; its home, and what was said of it in each report."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    saving = SimpleNamespace(word=lambda: "", obey=lambda _answer: None, has_news=lambda: False)
    machine = Machine(lambda: now[0], sleep, privileged=False, disks=cast("Any", None))
    life = Life(cast("Any", hub), run, Identity(tmp_path / "state"), cast("Any", saving), machine)
    home = Home()
    life._home = cast("Any", home)
    if run.kept("left") is None:
        life._notebook, life._stage = cast("Any", Kernels()), Stage("listening", "a")
        life._live = lambda: life._stay(Stage("listening", "a"))  # type: ignore[method-assign]
    life.run()
    return home, [f"{each['stage']} {each['home']['state']}" for each in hub.reports]


def test_told_to_leave_it_lets_go_of_the_home_and_says_so_until_the_end(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    home, told = lived(run, tmp_path, Leaving(leave(60.0)))
    assert told == ["listening mounted", "left clean", "left clean", "left clean"]
    assert home.until == 60.0
    assert run.kept("left") is None  # it was kept, and went with everything else at the end


@pytest.mark.parametrize("order", [{"order": "none"}, leave("soon"), leave(None), {"order": "leave"}, leave(True)])
def test_what_is_no_order_to_leave_is_none(order: dict[str, Any]) -> None:
    assert leave_from_json(order) is None


@pytest.mark.parametrize(("within_s", "bounded_s"), [(0.0, 5.0), (1e9, 600.0), (-3.0, 5.0)])
def test_the_time_to_leave_is_bounded_whatever_the_hub_says(tmp_path: Path, within_s: float, bounded_s: float) -> None:
    home, _ = lived(RunDir(tmp_path / "run"), tmp_path, Leaving(leave(within_s)))
    assert home.until == bounded_s


def test_an_agent_that_is_started_anew_after_it_left_starts_nothing_again(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.keep("assignment", {"id": "a"})
    run.keep("left", {"home": "clean"})
    _, told = lived(run, tmp_path, Leaving(leave(60.0)))
    assert told == ["left clean"] * 3


def test_what_is_ordered_while_the_home_is_made_ready_is_done_after_that(tmp_path: Path) -> None:
    now = [0.0]
    run = RunDir(tmp_path / "run")
    machine = Machine(lambda: now[0], lambda _: None, privileged=False, disks=cast("Any", None))
    saving = SimpleNamespace(word=lambda: "", obey=lambda _answer: None, has_news=lambda: False)
    life = Life(cast("Any", Leaving(leave(60.0))), run, Identity(tmp_path / "state"), cast("Any", saving), machine)
    done = []

    def open_home(owner: Any, _wish: Any, meanwhile: Any) -> Any:
        for step in ("checked", "grown"):
            meanwhile()
            done.append(step)
        return owner

    life._home = cast(
        "Any", SimpleNamespace(open=open_home, look=lambda: None, report=Home().report, usage_gb=(1, 2), notices=list)
    )
    with pytest.raises(Leave):
        life._move_in(cast("Any", SimpleNamespace(home=None, data=())), cast("Any", None), resumed=True)
    assert done == ["checked", "grown"]


@pytest.mark.parametrize("broken", [True, False])
def test_a_gpu_is_proven_once_in_a_boot_and_a_broken_one_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    proofs: list[str] = []

    def prove(_shell: Any, owner: str, until: float) -> str:
        proofs.append(owner)
        assert until == 120.0
        if broken:
            raise NoGpu("The GPU answers but does not compute.")
        return "torch"

    monkeypatch.setattr(gpu, "prove", prove)
    run, hub = RunDir(tmp_path / "run"), Leaving({})
    machine = Machine(lambda: 0.0, lambda _: None, privileged=False, disks=cast("Any", None))
    saving = SimpleNamespace(word=lambda: "", obey=lambda _answer: None, has_news=lambda: False)
    life = Life(cast("Any", hub), run, Identity(tmp_path / "state"), cast("Any", saving), machine)
    life._gpus = cast("Any", SimpleNamespace(now=list, wait_for=lambda *_given: None))
    with pytest.raises(NoGpu) if broken else contextlib.nullcontext():
        life._prove_gpu(cast("Any", "alice"))
    assert hub.reports[-1]["stage"] == "gpu"
    assert proofs == ["alice"]
    assert (run.kept("gpu") is None) is broken
