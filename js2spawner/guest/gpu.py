"""The GPU: what nvidia-smi says of it now, and the proof that it computes, before anybody is given it.

A driver that hangs cannot be killed. So there is one nvidia-smi at a time, it is given a moment, and while a stuck one
is there no other is started.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from . import system
from .account import Account
from .machine import Machine
from .shell import Program, Shell, StepFailed
from .trusted import Changeable, Trusted
from .vitals import Gpu, parse_gpus

QUERY = "name,utilization.gpu,memory.used,memory.total"
PATIENCE_S = 10.0
PROOF_S = 120.0
# Its driver is up once it answers: memory that is not there by then will not come.
MEMORY_PATIENCE_S = 20.0
LOOK_EVERY_S = 1.0
MOST_SAID = 16 * 1024
ENVIRONMENTS = Path("/opt/js2")
OWN_PROOF = "gpu-proof"
# Exit status of a proof by which an environment says that it is not for a GPU.
NOT_FOR_GPUS = 77
# A product of matrices, computed there and compared: a card that answers questions may still compute nothing.
_PROOFS = {
    "torch": """
import sys, torch
if torch.version.cuda is None:
    sys.exit(77)
if not torch.cuda.is_available():
    sys.exit("PyTorch finds no GPU")
a = torch.ones((512, 512), device="cuda")
got = float((a @ a).sum().cpu())
if got != 512.0 ** 3:
    sys.exit(f"PyTorch computed {got}")
""",
    "jax": """
import importlib.util, sys
if not any(importlib.util.find_spec(f"jax_cuda{n}_plugin") for n in (11, 12, 13, 14)):
    sys.exit(77)
import jax
try:
    card = jax.devices("cuda")[0]
except RuntimeError:
    sys.exit("JAX finds no GPU")
a = jax.device_put(jax.numpy.ones((512, 512)), card)
got = float((a @ a).sum())
if got != 512.0 ** 3:
    sys.exit(f"JAX computed {got}")
""",
}


class NoGpu(Exception):
    """The GPU does not do what it is there for; the message is one sentence."""


class Gpus:
    """The GPUs of this machine, asked about again and again."""

    def __init__(self, search_path: str | None = None) -> None:
        self._search_path = search_path
        self._stuck: subprocess.Popen[bytes] | None = None

    def now(self, patience_s: float = PATIENCE_S) -> list[Gpu]:
        """Those that answer; none when there is no `nvidia-smi` or its driver does not answer in time."""
        if self._stuck is not None and self._stuck.poll() is None:
            return []
        self._stuck = None
        program = shutil.which("nvidia-smi", path=self._search_path)
        if program is None:
            return []
        answer = os.memfd_create("js2-gpus", os.MFD_CLOEXEC)
        try:
            return self._ask(program, answer, patience_s)
        finally:
            os.close(answer)

    def _ask(self, program: str, answer: int, patience_s: float) -> list[Gpu]:
        try:
            child = subprocess.Popen(
                [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return []
        try:
            status = child.wait(patience_s)
        except subprocess.TimeoutExpired:
            system.give_up(child)
            self._stuck = child
            return []
        return parse_gpus(os.pread(answer, MOST_SAID, 0).decode(errors="replace")) if status == 0 else []

    def wait_for(self, machine: Machine, meanwhile: Callable[[], None], patience_s: float) -> None:
        """Wait until one answers with its name and some memory. Raises NoGpu.

        One that does not answer may still be coming up, and has `patience_s`.
        """
        until, answers = machine.clock() + patience_s, False
        while True:
            found = self.now()
            if any(gpu.memory_total_mb > 0 for gpu in found):
                return
            if found and not answers:
                until, answers = min(until, machine.clock() + MEMORY_PATIENCE_S), True
            if machine.clock() >= until:
                if self._stuck is not None:
                    raise NoGpu("nvidia-smi hangs, and so does the GPU's driver.")
                raise NoGpu("The GPU has no memory." if found else "No GPU answered nvidia-smi in time.")
            meanwhile()
            machine.sleep(LOOK_EVERY_S)


def prove(shell: Shell, owner: Account, until: float, environments: Path = ENVIRONMENTS) -> str:
    """Have something computed by an environment of the image, as the user: which one did; "" where none can.

    Raises NoGpu.
    """
    own = environments / OWN_PROOF
    candidates: list[tuple[str, tuple[str, ...]]] = [(OWN_PROOF, (str(own),))] if os.access(own, os.X_OK) else []
    for python in sorted(environments.glob("*/bin/python")) if not candidates else ():
        packages = [each for each in python.parents[1].glob("lib/python3*/site-packages/*") if each.name in _PROOFS]
        candidates += [(each.name, (str(python), "-I", "-c", _PROOFS[each.name])) for each in packages]
    for name, argv in sorted(candidates, key=lambda each: each[0] != "torch"):
        with contextlib.suppress(Changeable):
            if os.geteuid() == 0:
                Trusted().check(argv[0])
            if _computes(name, argv, shell, owner, until):
                return name
    return ""


def _computes(name: str, argv: tuple[str, ...], shell: Shell, owner: Account, until: float) -> bool:
    """False when this environment is not meant for GPUs. Raises NoGpu."""
    program = Program(
        argv,
        _environment(),
        uid=owner.uid if owner.switch else 0,
        gid=owner.gid if owner.switch else 0,
        groups=owner.groups,
    )
    try:
        status, said = shell.finish(program, until, name)
    except StepFailed as problem:
        raise NoGpu(f"The GPU answers but does not compute: {problem}.") from problem
    if status == NOT_FOR_GPUS:
        return False
    if status != 0:
        last = (said.splitlines() or [f"status {status}"])[-1].strip()[:300].rstrip(".")
        raise NoGpu(f"The GPU answers but does not compute ({name}): {last}.")
    return True


def _environment() -> Mapping[str, str]:
    """Nothing is kept of it, and no slice of a card is filled by it."""
    return {
        "HOME": "/nonexistent",
        "CUDA_CACHE_DISABLE": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_PLATFORMS": "cuda,cpu",
    }
