"""A pretended GPU: a folder with an `nvidia-smi` and the state it reports, shown to the machine read-only."""

from __future__ import annotations

import json
import re
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from js2spawner.devcloud.machine import gpu_proof, nvidia_smi


@dataclass(frozen=True, slots=True)
class Load:
    """What goes on in a GPU; `card` is how it is (hypervisor.CARDS)."""

    utilisation_percent: int = 0
    memory_used_mb: int = 0
    card: str = "sound"


def memory_mb(name: str) -> int:
    """From the name: "GRID A100X-8C" (a vGPU profile, GiB after the dash), "NVIDIA A100-SXM4-40GB"; else 40 GiB."""
    size = re.search(r"-(\d+)(?:C|GB)\b", name)
    return 1024 * int(size[1] if size else 40)


def make_gpu(folder: Path, name: str, card: str = "sound") -> None:
    """Put an idle GPU into `folder`."""
    folder.mkdir(mode=0o755, exist_ok=True)
    _write_program(folder / "nvidia-smi", Path(nvidia_smi.__file__))
    set_gpu_load(folder, name, Load(card=card))


def write_proof(software: Path) -> None:
    """What an image for GPUs has below /opt/js2: a program that computes something there and says whether it worked."""
    software.mkdir(mode=0o755, exist_ok=True)
    (software / "gpu-proof").unlink(missing_ok=True)
    _write_program(software / "gpu-proof", Path(gpu_proof.__file__))


def set_gpu_load(folder: Path, name: str, load: Load) -> None:
    """What the machine's `nvidia-smi` says from now on."""
    total_mb = 0 if load.card == "no-memory" else memory_mb(name)
    state = {
        "index": "0",
        "name": name,
        "uuid": f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, str(folder))}",
        "driver_version": "550.127.05",
        "utilization.gpu": str(load.utilisation_percent),
        "utilization.memory": str(load.utilisation_percent),
        "memory.used": str(min(load.memory_used_mb, total_mb)),
        "memory.total": str(total_mb),
        "memory.free": str(max(0, total_mb - load.memory_used_mb)),
        "card": load.card,
    }
    # Replaced as a whole, so that a reader never sees half of it; the folder is what the machine sees, not the file.
    fresh = folder / "gpu.json.new"
    fresh.write_text(json.dumps(state))
    fresh.chmod(0o644)
    fresh.replace(folder / "gpu.json")


def _write_program(program: Path, source: Path) -> None:
    program.write_text(f"#!{sys.executable} -I\n{source.read_text()}")
    program.chmod(0o755)
