"""A command of the system's never keeps the guest program waiting for ever, and mounts are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.guest import mounts, system
from js2spawner.guest.mounts import Mount
from js2spawner.guest.system import CannotRun, Done


def test_a_command_is_given_its_input_and_says_its_output() -> None:
    assert system.run("cat", given=b"a word") == Done(0, "a word")


def test_a_command_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"sleep did not finish within 0 s\."):
        system.run("sleep", "600", timeout_s=0.2)


def test_one_that_is_missing_and_one_that_fails_are_a_sentence_without_their_arguments() -> None:
    with pytest.raises(CannotRun, match=r"This image has no js2-no-such\."):
        system.run("js2-no-such")
    with pytest.raises(CannotRun) as problem:
        system.must("ls", "/home/alice-of-no-name")
    assert str(problem.value) == "ls failed with status 2."


def test_a_mount_is_read_with_its_blanks_and_whatever_optional_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTED", tmp_path / "mountinfo")
    mounts.MOUNTED.write_text(
        "36 35 98:0 / /home/a\\040b rw,nosuid - ext4 /dev/vdb rw\n"
        "37 35 0:51 / /home/a\\040b rw shared:5 master:1 - nfs4 10.0.0.3:/x rw\n"
    )
    assert mounts.at(Path("/home/a b")) == Mount(Path("/home/a b"), "0:51", "nfs4", "10.0.0.3:/x")
    assert mounts.at(Path("/home")) is None
    assert [mount.is_share for mount in mounts.everything()] == [False, True]
