"""The machine that a build changes, and how its orders are read: held to narrow shapes, like every assignment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .shell import Shell, StepFailed

NAME = r"[a-z0-9][a-z0-9.-]{0,63}"


@dataclass
class Site:
    """The machine that is built on. `forget` takes the channel's credential from its disk."""

    root: Path
    shell: Shell
    clock: Callable[[], float]
    forget: Callable[[], None]

    @property
    def work(self) -> Path:
        """Where pieces are put together: root's alone, and gone when the image is saved."""
        return self.root / "var/tmp/js2-build"

    def blob(self, step: Mapping[str, Any], name: str) -> Path:
        """The file that was sent in pieces under the name the step gives. Raises StepFailed if it is not whole."""
        blob = mapping(step, name)
        file = self.work / word(blob, "name", NAME)
        digest = word(blob, "sha256", r"[0-9a-f]{64}")
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise StepFailed(f"the file {file.name} did not arrive as it was sent")
        return file


def word(told: Mapping[str, Any], name: str, pattern: str) -> str:
    """A text of a narrow shape. Raises StepFailed."""
    value = told.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise StepFailed(f"the order's {name!r} is missing or malformed")
    return value


def words(told: Mapping[str, Any], name: str, pattern: str, most: int) -> list[str]:
    """A list of them. Raises StepFailed."""
    value = told.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise StepFailed(f"the order's {name!r} is not a list of at most {most}")
    return [word({name: each}, name, pattern) for each in value]


def mapping(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in the order. Raises StepFailed."""
    value = told.get(name)
    if not isinstance(value, dict):
        raise StepFailed(f"the order's {name!r} is missing")
    return value
