"""What the agent keeps, and from whom."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from js2spawner.guest import rundir
from js2spawner.guest.rundir import RunDir, UnsafeRunDir


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_secrets_are_for_the_agent_and_the_lease_is_for_everybody(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "js2")
    run.keep("assignment", {"id": "a"})
    run.publish("lease", {"why": "idle"})
    assert (mode(run.path), mode(run.secret), mode(run.public)) == (0o711, 0o700, 0o755)
    assert {mode(file) for file in run.secret.iterdir()} == {0o600}
    assert mode(run.public / "lease.json") == 0o644


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "js2").mkdir()
    (tmp_path / "js2").chmod(0o777)
    with pytest.raises(UnsafeRunDir, match="--run-dir"):
        RunDir(tmp_path / "js2")


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "js2").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeRunDir, match="not a directory"):
        RunDir(tmp_path / "js2")


def test_what_was_kept_is_found_again_and_damage_is_nothing(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "js2")
    run.keep("notebook", {"pid": 7})
    assert run.kept("notebook") == {"pid": 7}
    (run.secret / "notebook.json").write_text("[1")
    assert run.kept("notebook") is None
    assert run.kept("never") is None


def test_when_the_attempt_has_ended_no_secret_stays(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "js2")
    run.keep("assignment", {"id": "a"})
    run.forget()
    assert not run.secret.exists()
    assert not run.tls.exists()


def test_a_full_disk_leaves_the_old_file_and_nothing_half_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "fchmod", no_room)
        with pytest.raises(OSError, match="No space"):
            rundir.write(tmp_path / "file", "after", 0o600)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file", "before")]


def test_a_lease_that_there_is_no_room_for_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir(tmp_path / "js2")
    run.publish("lease", {"why": "idle"})
    monkeypatch.setattr(os, "fchmod", no_room)
    run.publish("lease", {"why": "age"})
    assert (run.public / "lease.json").read_text() == '{"why": "idle"}'
    assert len(list(run.public.iterdir())) == 1


def no_room(*_given: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_and_never_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / "file").symlink_to(victim)
    rundir.write(tmp_path / "file", "new", 0o600)
    assert victim.read_text() == "untouched"
    assert (tmp_path / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "victim"]
