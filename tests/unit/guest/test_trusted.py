"""What nobody but root (here: and we) can change, or put something else in the place of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from js2spawner.guest.trusted import Changeable, Trusted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "above" / "folder" / "file"
    made.parent.mkdir(parents=True)
    made.touch()
    return made


def test_what_is_ours_all_the_way_up_is_trusted(file: Path) -> None:
    Trusted().check(file, str(file.parent), file.parent / "missing")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_file_and_each_folder_above_it_matter(file: Path, above: int) -> None:
    place = (file, *file.parents)[above]
    place.chmod(0o775)
    with pytest.raises(Changeable) as refused:
        Trusted().check(file)
    assert str(refused.value) == f"{place} can be changed by others than root"


def test_a_link_is_trusted_neither_in_a_folder_of_others_nor_to_one(file: Path, tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    (open_folder / "there").touch()
    (open_folder / "link").symlink_to(file)
    (file.parent / "link").symlink_to(open_folder / "there")
    (tmp_path / "folder").symlink_to(open_folder)
    for place in (open_folder / "link", file.parent / "link", tmp_path / "folder" / "there"):
        with pytest.raises(Changeable, match=r"open can be changed"):
            Trusted().check(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another account")
def test_what_belongs_to_another_account_is_not_trusted(file: Path) -> None:
    os.chown(file, 1000, 1000)
    with pytest.raises(Changeable, match="file can be changed"):
        Trusted().check(file)
