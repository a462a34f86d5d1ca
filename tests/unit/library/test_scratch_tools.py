from __future__ import annotations

import pytest

from js2spawner.library.scratch import tools
from js2spawner.library.scratch.tools import ToolFailed, run


def test_what_a_program_prints_is_given_back_and_it_is_told_what_to_do():
    assert run("sh", "-c", "cat; echo $?", told="asked\n") == "asked\n0\n"
    assert run("cat") == ""


def test_a_program_that_never_stops_talking_fills_no_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tools, "KEPT_BYTES", 200_000)
    told = run("sh", "-c", "yes | head -c 2000000; echo the end")
    assert len(told) < 401_000
    assert told.startswith("[")
    assert told.endswith("y\nthe end\n")


def test_a_program_that_fails_is_told_with_its_status_and_words():
    with pytest.raises(ToolFailed, match="sh failed with status 3: why") as raised:
        run("sh", "-c", "echo why; exit 3")
    assert raised.value.output == "why\n"


@pytest.mark.parametrize("command", ["echo begun; exec sleep 60", "exec sleep 60 >&- 2>&-"])
def test_a_program_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.setattr(tools, "DEADLINE_S", 0.3)
    with pytest.raises(ToolFailed, match="took more than 0 s"):
        run("sh", "-c", command)
