"""The credential outlives a reboot, belongs to one attempt, and is for root only."""

from __future__ import annotations

from pathlib import Path

import pytest

from js2spawner.guest.identity import Identity
from js2spawner.guest.rundir import UnsafeRunDir
from js2spawner.handshake import tickets


def test_the_credential_is_made_once_for_an_attempt(tmp_path: Path) -> None:
    made = Identity(tmp_path / "js2").credential("attempt-1")
    assert tickets.SHAPE.fullmatch(made)
    assert Identity(tmp_path / "js2").credential("attempt-1") == made


def test_a_clone_of_the_disk_in_another_attempt_makes_its_own(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "js2")
    assert identity.credential("attempt-2") != identity.credential("attempt-1")


@pytest.mark.parametrize("damage", ["", "half of", "[]", "{}", '{"attempt": "attempt-1", "credential": 7}'])
def test_a_damaged_credential_is_made_anew(tmp_path: Path, damage: str) -> None:
    identity = Identity(tmp_path / "js2")
    (tmp_path / "js2" / "credential.json").write_text(damage)
    assert tickets.SHAPE.fullmatch(identity.credential("attempt-1"))


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    Identity(tmp_path / "js2").credential("attempt-1")
    assert (tmp_path / "js2").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "js2" / "credential.json").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "js2").mkdir()
    (tmp_path / "js2").chmod(0o777)
    with pytest.raises(UnsafeRunDir):
        Identity(tmp_path / "js2")


def test_it_goes_with_the_attempt(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "js2")
    identity.credential("attempt-1")
    identity.forget()
    assert list((tmp_path / "js2").iterdir()) == []


def test_what_is_forgotten_is_not_left_in_the_blocks_of_the_disk(tmp_path: Path) -> None:
    identity = Identity(tmp_path / "state")
    made = identity.credential("attempt-1")
    # The same blocks under a second name, which outlives the first one as deleted blocks do.
    kept = tmp_path / "blocks"
    kept.hardlink_to(tmp_path / "state" / "credential.json")
    identity.forget()
    assert made not in kept.read_text()
    assert list((tmp_path / "state").iterdir()) == []
