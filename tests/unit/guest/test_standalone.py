"""The guest is copied into images on its own, where there may be no more than an old Python."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from js2spawner import guest

FOLDER = Path(guest.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_python_39(module: Path) -> None:
    ast.parse(module.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_imports_only_its_neighbours_and_the_standard_library(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= sys.stdlib_module_names
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            assert node.module.split(".")[0] in sys.stdlib_module_names
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1


def test_it_runs_from_wherever_it_was_copied_to(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "baked", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-I", str(tmp_path / "baked" / "agent.py"), "--help"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=True)
    for option in ("--metadata-url", "--config-drive", "--source-address", "--run-dir", "--unprivileged"):
        assert option in done.stdout
