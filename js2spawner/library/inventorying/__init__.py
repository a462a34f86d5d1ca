"""What a tree of files has installed, read from what the package managers of it wrote down; nothing in it is run."""

from __future__ import annotations

from pathlib import Path

from js2spawner.library.inventorying import debs, libraries, wheels
from js2spawner.library.software import Package


def software(root: Path) -> tuple[Package, ...]:
    """Everything below `root`, sorted. A package in two environments is named once if its version is the same."""
    return tuple(sorted({*debs.packages(root), *wheels.packages(root), *libraries.packages(root)}))
