"""What of this very js2spawner is in an image: the guest program, and the code that says how an image is put together.

Neither belongs to a definition, and archives of layers keep by keys of their own: an upgrade of js2spawner makes every
image due and no archive cold that it does not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import js2spawner.guest
from js2spawner.library.definition import Definition, FromScratch, files_below

_HERE = Path(__file__).parent
FROM_SCRATCH = (
    "scratch/debian.py",
    "scratch/disk.py",
    "scratch/environments.py",
    "scratch/ext4.py",
    "scratch/finishing.py",
    "scratch/layers.py",
    "scratch/settling.py",
    "scratch/tools.py",
)
DERIVED = (
    "derived/base/js2-guest.service",
    "derived/base/start-guest",
    "derived/bundle.py",
    "derived/plan.py",
    "scratch/environments.py",
    "scratch/settling.py",
)
"""Builders' files that an image follows from. The others start, watch, record and remove what is built."""


def digest(definition: Definition) -> str:
    """Names what an image is made with: another digest, another image of the same definition."""
    total = sha256()
    for name, content in sorted(_files(definition)):
        total.update(f"{name}\0{sha256(content).hexdigest()}\0".encode())
    return total.hexdigest()


def _files(definition: Definition) -> Iterator[tuple[str, bytes]]:
    guest = Path(js2spawner.guest.__file__).parent
    for file in files_below(guest):
        yield f"guest/{file.relative_to(guest)}", file.read_bytes()
    for name in FROM_SCRATCH if isinstance(definition.base, FromScratch) else DERIVED:
        yield name, (_HERE / name).read_bytes()
