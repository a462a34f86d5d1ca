from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.demo import node
from js2spawner.demo.node import find_node, find_proxy


def fake_node(folder: Path, version: str) -> str:
    folder.mkdir()
    program = folder / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(program)


def candidates(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr(node, "_candidates", lambda: list(programs))


def test_the_first_node_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = fake_node(tmp_path / "a", "v18.19.0"), fake_node(tmp_path / "b", "v22.1.0")
    candidates(monkeypatch, old, new)
    found = find_node()
    assert found is not None
    assert (found.program, found.version, found.new_enough) == (new, (22, 1, 0), True)


def test_an_old_node_is_told_when_there_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    candidates(monkeypatch, fake_node(tmp_path / "a", "v18.19.0"))
    found = find_node()
    assert found is not None
    assert not found.new_enough


@pytest.mark.parametrize("answer", ["", "hello", "v20", "20.1.1"])
def test_a_program_that_does_not_answer_like_node_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str):
    candidates(monkeypatch, fake_node(tmp_path / "a", answer), str(tmp_path / "missing"))
    assert find_node() is None


def test_the_proxy_of_the_tree_is_preferred(tmp_path: Path):
    script = tmp_path / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
    script.parent.mkdir(parents=True)
    script.write_text("")
    assert find_proxy(tmp_path) == script
