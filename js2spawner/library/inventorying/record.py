"""The list of software beside a build, as a file: one JSON list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from js2spawner.library.software import Package

NAME = "software.json"


def write(packages: Iterable[Package], file: Path) -> None:
    rows = ",\n".join(json.dumps(asdict(package), ensure_ascii=False) for package in sorted(set(packages)))
    file.write_text(f"[\n{rows}\n]\n")


def read(file: Path) -> tuple[Package, ...]:
    """Raises OSError, ValueError for a file that is no such list."""
    try:
        return tuple(Package(**row) for row in json.loads(file.read_text()))
    except TypeError as problem:
        raise ValueError(f"{file} is no list of software: {problem}") from None
