from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools import bench, install

ROOT = Path(__file__).parents[2]


def test_the_lock_pins_one_version_of_everything_and_names_no_server():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)]


def test_the_proxy_s_lock_names_no_server():
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert "node_modules/configurable-http-proxy" in packages
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_without_root_what_is_missing_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    with pytest.raises(install.CannotInstall, match="do this"):
        install.apt_install(["something"], otherwise="do this")


def test_a_stamp_is_current_only_for_the_files_it_was_made_from(tmp_path: Path):
    lock, stamp = tmp_path / "lock", tmp_path / "installed"
    lock.write_text("a==1")
    stamp.write_text(install.digest([lock]))
    assert install.is_current(stamp, install.digest([lock]))
    lock.write_text("a==2")
    assert not install.is_current(stamp, install.digest([lock]))


@pytest.mark.parametrize(("line", "good"), [('{"starts": 30}\n', True), ("[1]", False), ("done", False), ("", False)])
def test_a_benchmark_ends_with_one_json_object(line: str, good: bool):
    assert bench.is_figures(line) is good


@pytest.mark.parametrize(("code", "good"), [("print('{}')", True), ("print('{}'); exit(1)", False), ("", False)])
def test_a_benchmark_that_fails_or_ends_otherwise_is_told(tmp_path: Path, code: str, good: bool):
    benchmark = tmp_path / "bench_toy.py"
    benchmark.write_text(code)
    assert bench.passes(benchmark) is good


def test_images_are_built_here_and_in_no_cloud_that_happens_to_be_named(monkeypatch: pytest.MonkeyPatch):
    # It is a program, which finds its neighbours by itself.
    monkeypatch.syspath_prepend(ROOT / "tools")
    images = importlib.import_module("tools.images")
    ran: list[tuple[list[str], dict[str, Any]]] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        ran.append(([str(word) for word in command], options))
        return SimpleNamespace(stdout='{"builds": [{"image": "minimal"}]}')

    monkeypatch.setenv("OS_CLOUD", "openstack")
    monkeypatch.setattr(images, "install_tools", lambda: None)
    monkeypatch.setattr(images.subprocess, "run", run)
    images.main([])
    (build, options), (test, _) = ran
    assert (build[1:], test[1:]) == (["image", "build", "--json"], ["image", "test", "minimal"])
    assert "PATH" in options["env"]
    assert "OS_CLOUD" not in options["env"]
