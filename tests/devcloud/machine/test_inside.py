"""The first process's own parts, as values: its plan, its console, its boot log, its nvidia-smi."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.devcloud import machine
from js2spawner.devcloud.machine.gpu import make_gpu, memory_mb
from js2spawner.devcloud.machine.inside.boot_log import boot_lines
from js2spawner.devcloud.machine.inside.console import LIMIT_BYTES, Console
from js2spawner.devcloud.machine.inside.plan import Plan


def test_a_plan_arrives_as_it_was_sent():
    plan = Plan("id", "host", "/d", True, ("/a", "/b"), "/d", ("python",), {"HOME": "/"}, 1.5, False)
    plan = replace(plan, disks=(("v", 7),), folders=(("f", "/v/f"),), exports=(("s", "/s", True),), stand_ins="/p")
    assert Plan.from_json(plan.to_json()) == plan


def test_the_first_process_imports_nothing_but_the_standard_library():
    folder = Path(machine.__file__).parent
    program = "import sys, inside.__main__; print([n for n in sys.modules if n.startswith(('js2spawner', 'aiohttp'))])"
    command = [sys.executable, "-E", "-s", "-S", "-c", program]
    assert subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_console_keeps_the_end_of_a_long_log(tmp_path: Path):
    console = Console(tmp_path / "log")
    for number in range(40_000):
        console.line(f"line {number} {'x' * 40}")
    kept = (tmp_path / "log").read_text().splitlines()
    assert (tmp_path / "log").stat().st_size <= LIMIT_BYTES
    assert kept[-1].startswith("line 39999 ")
    numbers = [int(line.split()[1]) for line in kept]
    assert numbers == list(range(numbers[0], 40_000))


def test_one_flood_is_cut_to_its_end(tmp_path: Path):
    Console(tmp_path / "log").write(b"x" * 3 * LIMIT_BYTES + b"end\n")
    assert (tmp_path / "log").stat().st_size <= LIMIT_BYTES
    assert (tmp_path / "log").read_bytes().endswith(b"end\n")


def test_the_boot_takes_its_seconds_and_ends_with_the_guest():
    lines = list(boot_lines("host", 20.0))
    assert [at for at, _ in lines] == sorted(at for at, _ in lines)
    assert (lines[0][0], lines[-1][0]) == (0.0, 20.0)
    assert lines[-1][1].endswith("Started js2-guest.service.")


@pytest.mark.parametrize(
    ("name", "mb"),
    [("GRID A100X-8C", 8192), ("GRID A100X-40C", 40960), ("NVIDIA A100-SXM4-80GB", 81920), ("GPU", 40960)],
)
def test_a_gpus_memory_follows_from_its_name(name: str, mb: int):
    assert memory_mb(name) == mb


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], "GRID A100X-8C, 8192\n"),
        (["--query-gpu=utilization.gpu", "--format=csv,noheader"], "0 %\n"),
        (["--query-gpu=index", "--format=csv,nounits"], "index\n0\n"),
        ([], "GRID A100X-8C, 0MiB / 8192MiB, 0% (pretended)\n"),
    ],
)
def test_nvidia_smi_answers_as_asked(tmp_path: Path, arguments: list[str], answer: str):
    make_gpu(tmp_path, "GRID A100X-8C")
    done = subprocess.run([tmp_path / "nvidia-smi", *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == answer


@pytest.mark.parametrize("arguments", [["--query-gpu=nonsense", "--format=csv"], ["--query-gpu=name"]])
def test_nvidia_smi_refuses_in_one_sentence(tmp_path: Path, arguments: list[str]):
    make_gpu(tmp_path, "GRID A100X-8C")
    done = subprocess.run([tmp_path / "nvidia-smi", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("card", "status", "said"),
    [("silent", 9, "couldn't communicate"), ("no-memory", 0, "GRID A100X-8C, 0\n"), ("no-compute", 0, ", 8192\n")],
)
def test_a_card_that_is_not_sound_shows_it(tmp_path: Path, card: str, status: int, said: str):
    make_gpu(tmp_path, "GRID A100X-8C", card)
    query = [tmp_path / "nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout) == (status, True)
