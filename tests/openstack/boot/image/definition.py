"""What an image is made of: one folder with `image.yaml` and, below `files/`, what lies there as in the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[4]
HERE = Path(__file__).parent
LAB = HERE / "lab"
GUEST = ROOT / "js2spawner" / "guest"
VERSIONS = ROOT / "constraints.txt"


@dataclass(frozen=True, slots=True)
class Definition:
    """One image: Debian's packages, PyPI's and which of their dependencies stay out, masked units, files of its own."""

    name: str
    suite: str
    packages: tuple[str, ...]
    python: tuple[str, ...]
    left_out: tuple[str, ...]
    masked: tuple[str, ...]
    spare_mb: int
    files: Path

    @staticmethod
    def load(folder: Path) -> Definition:
        """Raises KeyError for what `image.yaml` leaves out."""
        told: Mapping[str, Any] = yaml.safe_load((folder / "image.yaml").read_text())
        return Definition(
            name=folder.name,
            suite=told["suite"],
            packages=tuple(told["packages"]),
            python=tuple(told["python"]),
            left_out=tuple(told["left_out"]),
            masked=tuple(told["masked"]),
            spare_mb=told["spare_mb"],
            files=folder / "files",
        )

    @property
    def system_key(self) -> str:
        """Changes with whatever the slow part, the installed packages, is made from."""
        wanted = (
            self.suite,
            self.packages,
            self.python,
            self.left_out,
            VERSIONS.read_text(),
            (HERE / "system.py").read_text(),
        )
        return _short(repr(wanted).encode())

    @property
    def image_key(self) -> str:
        """Changes with anything that could make another disk."""
        digest = sha256(repr((self.system_key, self.masked, self.spare_mb)).encode())
        for name in ("build.py", "disk.py"):
            digest.update((HERE / name).read_bytes())
        for tree in (self.files, GUEST):
            for file in programs_and_data(tree):
                digest.update(f"{file.relative_to(tree)} {file.stat().st_mode:o}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:12]


def programs_and_data(tree: Path) -> Iterator[Path]:
    """The files of a tree in a fixed order, without what Python leaves behind when it runs from there."""
    return (file for file in sorted(tree.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)


def _short(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]
