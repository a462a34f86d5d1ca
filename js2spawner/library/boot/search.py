"""Whether a file holds a text anywhere: what a machine wrote to its disk lies there as it wrote it."""

from __future__ import annotations

from pathlib import Path

CHUNK_BYTES = 4 * 1024 * 1024


def holds(file: Path, wanted: bytes) -> bool:
    overlap = b""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            if wanted in overlap + chunk:
                return True
            overlap = chunk[-len(wanted) :]
    return False
