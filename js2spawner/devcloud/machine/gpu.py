"""A pretended GPU: a folder with an `nvidia-smi` and the state it reports, shown to the machine read-only."""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path

from js2spawner.devcloud.machine import nvidia_smi


def memory_mb(name: str) -> int:
    """From the name: "GRID A100X-8C" (a vGPU profile, GiB after the dash), "NVIDIA A100-SXM4-40GB"; else 40 GiB."""
    size = re.search(r"-(\d+)(?:C|GB)\b", name)
    return 1024 * int(size[1] if size else 40)


def make_gpu(folder: Path, name: str) -> None:
    """Put an idle GPU into `folder`."""
    folder.mkdir(mode=0o755, exist_ok=True)
    program = folder / "nvidia-smi"
    source = Path(nvidia_smi.__file__).read_text()
    program.write_text(f"#!{sys.executable} -I\n{source}")
    program.chmod(0o755)
    set_gpu_load(folder, name, utilisation_percent=0, memory_used_mb=0)


def set_gpu_load(folder: Path, name: str, *, utilisation_percent: int, memory_used_mb: int) -> None:
    """What the machine's `nvidia-smi` says from now on."""
    state = {
        "index": "0",
        "name": name,
        "uuid": f"GPU-{uuid.uuid5(uuid.NAMESPACE_URL, str(folder))}",
        "driver_version": "550.127.05",
        "utilization.gpu": str(utilisation_percent),
        "utilization.memory": str(utilisation_percent),
        "memory.used": str(memory_used_mb),
        "memory.total": str(memory_mb(name)),
        "memory.free": str(memory_mb(name) - memory_used_mb),
    }
    # Replaced as a whole, so that a reader never sees half of it; the folder is what the machine sees, not the file.
    fresh = folder / "gpu.json.new"
    fresh.write_text(json.dumps(state))
    fresh.chmod(0o644)
    fresh.replace(folder / "gpu.json")
