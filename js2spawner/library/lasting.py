"""Files that are there whole or not at all, whatever ends us: a kill, or a power failure a moment later."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def put(half_made: Path, place: Path) -> None:
    """Rename a file to its place once the disk has all of it."""
    _flush(half_made)
    half_made.rename(place)
    _flush(place.parent)


def write(place: Path, content: bytes) -> None:
    """Write a file, in place of one that is there."""
    half_made = _beside(place, content, 0o644)
    try:
        put(half_made, place)
    finally:
        half_made.unlink(missing_ok=True)


def write_new(place: Path, content: bytes, mode: int) -> None:
    """Write a file where none is. Raises FileExistsError."""
    half_made = _beside(place, content, mode)
    try:
        place.hardlink_to(half_made)
    finally:
        half_made.unlink(missing_ok=True)
    _flush(place.parent)


def _beside(place: Path, content: bytes, mode: int) -> Path:
    half_made = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    handle = os.open(half_made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    _flush(half_made)
    return half_made


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
