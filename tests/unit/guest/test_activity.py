"""Which work counts, and which programs merely wait for a person."""

from __future__ import annotations

import os
from typing import Any

import pytest

from js2spawner.guest.activity import Activity, any_busy
from js2spawner.guest.processes import Process
from js2spawner.guest.vitals import Gpu

SERVER = 100
TICKS = os.sysconf("SC_CLK_TCK")


def process(pid: int, **changes: Any) -> Process:
    plain = {
        "parent": SERVER,
        "session": SERVER,
        "terminal": 0,
        "name": "python3",
        "ticks": 0,
        "started": 1,
        "uid": 1000,
    }
    return Process(pid=pid, **(plain | changes))


def seen(*users: Process, argv: list[str] | None = None, **changes: Any) -> str:
    """What one look at these processes finds."""
    activity = Activity(0.0, arguments=lambda _pid: argv or [])
    plain: dict[str, Any] = {"server_pid": SERVER, "gpus": [], "kernel": False}
    activity.observe(10.0, users, **(plain | changes))
    because: str = activity.to_json(10.0)["because"]
    return because


def in_terminal(name: str, *argv: str) -> str:
    shell = process(200, name="bash", session=200, terminal=34816)
    return seen(shell, process(201, parent=200, session=200, terminal=34816, name=name), argv=list(argv))


def test_a_quiet_server_is_no_work() -> None:
    assert seen(process(SERVER), process(101)) == "none"


def test_a_busy_kernel_is_work() -> None:
    assert seen(kernel=True) == "kernel"


def test_a_working_gpu_is_work() -> None:
    assert seen(gpus=[Gpu("A100", 37.0, 1.0, 2.0)]) == "gpu"


def test_a_gpu_that_only_holds_memory_is_not() -> None:
    assert seen(gpus=[Gpu("A100", 0.0, 9000.0, 10240.0)]) == "none"


@pytest.mark.parametrize(
    "argv",
    [
        ["python3", "train.py"],
        ["/opt/conda/bin/python3.12", "-u", "train.py"],
        ["python", "-m", "http.server"],
        ["sleep", "3600"],
        ["bash", "train.sh"],
        ["./simulate"],
        ["rsync", "-a", "here", "there"],
    ],
)
def test_a_job_in_a_terminal_is_work(argv: list[str]) -> None:
    assert in_terminal(argv[0].rpartition("/")[2][:15], *argv) == "terminal"


@pytest.mark.parametrize(
    "argv",
    [
        ["vim", "notes.txt"],
        ["/usr/bin/less", "log"],
        ["htop"],
        ["python3"],
        ["python3", "-i"],
        ["/opt/conda/bin/python3.12", "/opt/conda/bin/ipython"],
        ["R", "--no-save"],
        ["tail", "-f", "log"],
        ["bash", "-l"],
    ],
)
def test_a_program_that_waits_for_a_person_is_not(argv: list[str]) -> None:
    assert in_terminal(argv[0].rpartition("/")[2][:15], *argv) == "none"


def test_a_shell_at_its_prompt_is_not() -> None:
    assert seen(process(200, name="bash", session=200, terminal=34816), argv=["/bin/bash", "-l"]) == "none"


def test_a_kernel_without_a_terminal_is_no_job() -> None:
    assert seen(process(101, name="python3"), argv=["python3", "-m", "ipykernel_launcher"]) == "none"


def cpu(before: int, after: int, pid: int = 101) -> str:
    activity = Activity(0.0, arguments=lambda _pid: [])
    for now, ticks in ((10.0, before), (20.0, after)):
        activity.observe(now, [process(pid, ticks=ticks)], SERVER, [], kernel=False)
    because: str = activity.to_json(20.0)["because"]
    return because


def test_a_process_that_computes_in_the_background_is_work() -> None:
    assert cpu(5000, 5000 + 5 * TICKS) == "cpu"


def test_a_kernel_that_only_keeps_in_touch_is_not() -> None:
    assert cpu(5000, 5000 + TICKS // 5) == "none"


def test_what_was_used_before_we_looked_does_not_count() -> None:
    assert cpu(10_000_000, 10_000_000) == "none"


def test_the_servers_own_use_of_the_cpu_does_not_count() -> None:
    assert cpu(0, 9 * TICKS, pid=SERVER) == "none"


def test_idle_time_counts_from_the_last_work_seen() -> None:
    activity = Activity(0.0)
    activity.observe(100.0, [], SERVER, [], kernel=True)
    activity.observe(130.0, [], SERVER, [], kernel=False)
    assert activity.to_json(130.0) == {"idle_s": 30.0, "because": "kernel"}


@pytest.mark.parametrize("kernels", [None, {}, "busy", [], [1, None], [{"execution_state": "idle"}]])
def test_an_odd_list_of_kernels_is_not_a_busy_one(kernels: Any) -> None:
    assert not any_busy(kernels)


def test_one_busy_kernel_among_many_is_found() -> None:
    assert any_busy([{"execution_state": "idle"}, {"execution_state": "busy"}])
