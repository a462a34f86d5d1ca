"""How the instance is doing: load, memory, disk, GPUs. Figures only; nothing about the user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GPU_QUERY = "name,utilization.gpu,memory.used,memory.total"
GPU_TIMEOUT_S = 10.0
MOST_GPUS = 16
GIB = 1024**3


@dataclass(frozen=True)
class Gpu:
    """One line of `nvidia-smi`. A figure that the driver does not give (a slice's `[N/A]`) is 0."""

    name: str
    utilisation_percent: float
    memory_used_mb: float
    memory_total_mb: float


def gpus() -> list[Gpu]:
    """The GPUs that answer; none when there is no `nvidia-smi` or its driver does not answer in time."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GPU_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode != 0:
        return []
    return parse_gpus(done.stdout[:16384].decode(errors="replace"))


def parse_gpus(text: str) -> list[Gpu]:
    """Read `nvidia-smi --format=csv,noheader,nounits`."""
    found = []
    for line in text.splitlines()[:MOST_GPUS]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 4 and cells[0]:
            used, memory_used, memory_total = (_figure(cell) for cell in cells[1:])
            found.append(Gpu(cells[0][:64], used, memory_used, memory_total))
    return found


def health(home: str, present_gpus: list[Gpu]) -> Mapping[str, Any]:
    """The `health` object of a report (docs/handshake.md, "POST /v1/report"); `home` names the disk that counts."""
    memory = _meminfo()
    total_mb = memory.get("MemTotal", 0) / 1024
    disk = os.statvfs(home if Path(home).exists() else "/")
    return {
        "load1": round(os.getloadavg()[0], 2),
        "memory_used_mb": round(total_mb - memory.get("MemAvailable", 0) / 1024),
        "memory_total_mb": round(total_mb),
        "disk_used_gb": round((disk.f_blocks - disk.f_bfree) * disk.f_frsize / GIB, 2),
        "disk_total_gb": round(disk.f_blocks * disk.f_frsize / GIB, 2),
        "uptime_s": round(float(Path("/proc/uptime").read_text().split()[0])),
        "gpus": [vars(gpu) for gpu in present_gpus],
    }


def _figure(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return 0.0
    return value if 0.0 <= value < 1e9 else 0.0


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in KiB (proc(5))."""
    figures = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            figures[name] = int(words[0])
    return figures
