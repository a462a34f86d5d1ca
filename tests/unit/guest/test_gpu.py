"""A GPU is nobody's before it has answered and computed, and no driver that hangs takes the guest program along."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from js2spawner.guest import gpu, system
from js2spawner.guest.account import Account
from js2spawner.guest.gpu import Gpus, NoGpu, prove
from js2spawner.guest.machine import Machine
from js2spawner.guest.shell import Shell

OWNER = Account("alice", 54321, 54321, (), "/", "/bin/sh", switch=os.geteuid() == 0)


def program(place: Path, lines: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n{lines}\n")
    place.chmod(0o755)
    return place


def shell(meanwhile: Callable[[str], None] = lambda _line: None) -> Shell:
    return Shell(time.monotonic, time.sleep, meanwhile)


class Wait:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def machine(self) -> Machine:
        return Machine(lambda: self.now, self.sleep, True, cast("Any", None))


def waited(folder: Path) -> str:
    with pytest.raises(NoGpu) as problem:
        Gpus(str(folder)).wait_for(Wait().machine(), lambda: None, 180.0)
    return str(problem.value)


def test_a_gpu_with_a_name_and_memory_is_there(tmp_path: Path) -> None:
    program(tmp_path / "nvidia-smi", "echo 'GRID A100X-20C, [N/A], 0, 20480'")
    Gpus(str(tmp_path)).wait_for(Wait().machine(), lambda: None, 180.0)


def test_one_without_memory_and_one_that_does_not_answer_are_told_apart(tmp_path: Path) -> None:
    assert waited(tmp_path) == "No GPU answered nvidia-smi in time."
    program(tmp_path / "nvidia-smi", "echo 'GRID A100X-20C, 0, 0, 0'")
    assert waited(tmp_path) == "The GPU has no memory."


def test_a_driver_that_is_up_and_shows_no_memory_is_not_waited_for_as_long_as_one_that_may_still_come(
    tmp_path: Path,
) -> None:
    for lines, longest_s in (("exit 9", 180.0), ("echo 'GRID A100X-20C, 0, 0, 0'", 20.0)):
        program(tmp_path / "nvidia-smi", lines)
        wait = Wait()
        with pytest.raises(NoGpu):
            Gpus(str(tmp_path)).wait_for(wait.machine(), lambda: None, 180.0)
        assert wait.now == longest_s


def test_it_is_reported_while_a_gpu_is_waited_for(tmp_path: Path) -> None:
    reports: list[int] = []
    with pytest.raises(NoGpu):
        Gpus(str(tmp_path)).wait_for(Wait().machine(), lambda: reports.append(1), 20.0)
    assert len(reports) == 20


def test_a_driver_that_hangs_is_asked_by_one_program_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    # A process in the kernel's hands does not even hear SIGKILL.
    monkeypatch.setattr(system, "give_up", lambda _process: None)
    program(tmp_path / "nvidia-smi", f"echo x >> {tmp_path}/asked; exec sleep 600")
    gpus = Gpus(str(tmp_path))
    try:
        assert gpus.now(patience_s=0.1) == []
        wait_until((tmp_path / "asked").exists)
        assert gpus.now(patience_s=0.1) == []
        assert (tmp_path / "asked").read_text() == "x\n"
        with pytest.raises(NoGpu, match="hangs"):
            gpus.wait_for(Wait().machine(), lambda: None, 20.0)
    finally:
        assert gpus._stuck is not None
        gpus._stuck.kill()
        gpus._stuck.wait(20)


def test_an_image_without_an_environment_for_gpus_is_believed_its_nvidia_smi(tmp_path: Path) -> None:
    program(tmp_path / "server/bin/python", "exit 1")
    assert prove(shell(), OWNER, time.monotonic() + 20, tmp_path) == ""


def environment(root: Path, name: str, package: str, lines: str) -> None:
    program(root / name / "bin/python", lines)
    (root / name / "lib/python3.11/site-packages" / package).mkdir(parents=True)


@pytest.fixture
def image() -> Any:
    # Not pytest's own directory: that one is closed to everybody but root.
    with tempfile.TemporaryDirectory(prefix="js2-gpu-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_something_is_computed_by_the_image_s_own_environment_as_the_user(image: Path) -> None:
    environment(image, "torch", "torch", 'test "$(id -u)" != 0 && test "$HOME" = /nonexistent')
    assert prove(shell(), OWNER, time.monotonic() + 20, image) == "torch"


def test_an_environment_that_is_not_for_gpus_proves_nothing_and_the_next_is_asked(image: Path) -> None:
    environment(image, "a-cpu", "torch", "exit 77")
    environment(image, "jax", "jax", "exit 0")
    assert prove(shell(), OWNER, time.monotonic() + 20, image) == "jax"


def test_a_gpu_that_does_not_compute_is_said_in_the_environments_last_words(image: Path) -> None:
    environment(image, "torch", "torch", "echo loading; echo 'CUDA error: uncorrectable ECC error' >&2; exit 1")
    with pytest.raises(NoGpu) as problem:
        prove(shell(), OWNER, time.monotonic() + 20, image)
    assert str(problem.value) == "The GPU answers but does not compute (torch): CUDA error: uncorrectable ECC error."


def test_a_proof_that_hangs_ends_at_its_deadline(image: Path) -> None:
    environment(image, "torch", "torch", "sleep 600 & wait")
    with pytest.raises(NoGpu, match="did not end in time"):
        prove(shell(), OWNER, time.monotonic() + 0.5, image)


def test_the_image_s_own_proof_stands_for_all_others(image: Path) -> None:
    environment(image, "torch", "torch", "exit 1")
    program(image / "gpu-proof", "exit 0")
    assert prove(shell(), OWNER, time.monotonic() + 20, image) == "gpu-proof"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must be careful whose programs it starts")
def test_a_program_that_others_can_change_is_not_run(image: Path) -> None:
    environment(image, "torch", "torch", "exit 1")
    os.chown(image / "torch/bin/python", 54321, 54321)
    assert prove(shell(), OWNER, time.monotonic() + 20, image) == ""


@pytest.mark.parametrize("name", sorted(gpu._PROOFS))
def test_a_proof_is_a_program(name: str) -> None:
    compile(gpu._PROOFS[name], name, "exec")
