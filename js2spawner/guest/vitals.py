"""How the instance is doing: load, memory, disk, GPUs. Figures only; nothing about the user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_GPUS = 16
GIB = 1024**3


@dataclass(frozen=True)
class Gpu:
    """One line of `nvidia-smi`. A figure that the driver does not give (a slice's `[N/A]`) is 0."""

    name: str
    utilisation_percent: float
    memory_used_mb: float
    memory_total_mb: float


def parse_gpus(text: str) -> list[Gpu]:
    """Read `nvidia-smi --format=csv,noheader,nounits`."""
    found = []
    for line in text.splitlines()[:MOST_GPUS]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 4 and cells[0]:
            used, memory_used, memory_total = (_figure(cell) for cell in cells[1:])
            found.append(Gpu(cells[0][:64], used, memory_used, memory_total))
    return found


def usage(place: Path) -> tuple[float, float, float]:
    """GiB used and in all, of the disk that a place is on, and what is left for who is no root."""
    disk = os.statvfs(place if place.exists() else "/")
    # Without an inode to spare there is no room either.
    left = disk.f_bavail if disk.f_favail or not disk.f_files else 0
    block = disk.f_frsize / GIB
    return round((disk.f_blocks - disk.f_bfree) * block, 3), round(disk.f_blocks * block, 3), round(left * block, 3)


def health(disk_gb: tuple[float, float], present_gpus: list[Gpu]) -> Mapping[str, Any]:
    """The `health` object of a report (docs/handshake.md, "POST /v1/report"); `disk_gb` is used, and in all."""
    memory = _meminfo()
    total_mb = memory.get("MemTotal", 0) / 1024
    return {
        "load1": round(os.getloadavg()[0], 2),
        "memory_used_mb": round(total_mb - memory.get("MemAvailable", 0) / 1024),
        "memory_total_mb": round(total_mb),
        "disk_used_gb": round(disk_gb[0], 2),
        "disk_total_gb": round(disk_gb[1], 2),
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
