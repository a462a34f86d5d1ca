"""What the agent's exit status tells a service manager: whether it is worth another try."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from js2spawner.guest import command
from js2spawner.guest.system import Done


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(signal, "signal", lambda *_handler: None)
    monkeypatch.setattr(os, "umask", lambda _mask: 0)
    alone = [] if os.geteuid() == 0 else ["--unprivileged"]
    return [*alone, "--run-dir", str(tmp_path / "run"), "--state-dir", str(tmp_path / "state")]


def test_what_may_pass_is_tried_again(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def live(*_given: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/run/js2/public/lease.json")

    monkeypatch.setattr(command, "_live", live)
    assert command.main(options) == command.FAILED
    assert capsys.readouterr().err == "js2: No space left on device: /run/js2/public/lease.json\n"


def test_a_place_that_cannot_be_its_own_would_be_none_the_next_time_either(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("")
    assert command.main(options) == command.MISUSED
    assert capsys.readouterr().err.startswith("js2: ")


@pytest.mark.parametrize(("state", "ended"), [("stopping", True), ("running", False), ("degraded", False)])
def test_a_users_server_ends_with_the_system_and_not_with_the_agent_alone(
    state: str, *, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Left to systemd, it was asked to end when the network was gone, and each reboot waited 80 s for it.
    life = Mock()
    life.run.side_effect = command.Terminated
    for name in ("Channel", "Saving", "Talk", "Word", "_machine", "_read_seed"):
        monkeypatch.setattr(command, name, Mock())
    monkeypatch.setattr(command, "Life", lambda *_: life)
    monkeypatch.setattr(command, "run", lambda *_, **_more: Done(0, f"{state}\n"))
    monkeypatch.setattr(signal, "signal", lambda *_handler: None)
    with pytest.raises(command.Terminated):
        command._serve(SimpleNamespace(unprivileged=False, source_address=""), Mock(), Mock(), None)
    assert life.end_processes.called == ended
