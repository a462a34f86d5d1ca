from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.library import lasting
from js2spawner.library.builds import Build, Builds
from js2spawner.library.scratch import layers
from js2spawner.library.scratch.layers import Archives
from js2spawner.library.scratch.tools import System


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """What the disk was told to have, by inode, and which names its folder had then."""
    seen: list[tuple[int, list[str]]] = []

    def fsync(handle: int) -> None:
        told = Path(f"/proc/self/fd/{handle}").readlink()
        folder = told if told.is_dir() else told.parent
        seen.append((os.fstat(handle).st_ino, [file.name for file in folder.iterdir()]))

    monkeypatch.setattr(lasting.os, "fsync", fsync)
    return seen


def an_archive(folder: Path) -> Path:
    Archives(folder).keep("key", System(folder / "root", 0), folder.parent)
    return folder / "key.tar.zst"


def a_record(folder: Path) -> Path:
    builds = Builds(folder)
    build = Build("minimal", "b1", "key", "scratch", "2026-11-24T00:00:00+00:00")
    builds.save(build)
    return builds.place(build) / "build.json"


def new(folder: Path) -> Path:
    lasting.write_new(folder / "new", b"all of it", 0o600)
    return folder / "new"


def replaced(folder: Path) -> Path:
    (folder / "old").write_bytes(b"old")
    lasting.write(folder / "old", b"all of it")
    assert (folder / "old").read_bytes() == b"all of it"
    return folder / "old"


@pytest.mark.parametrize("make", [an_archive, a_record, new, replaced])
def test_a_file_gets_its_name_once_the_disk_has_all_of_it(
    make: Callable[[Path], Path],
    tmp_path: Path,
    flushed: list[tuple[int, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(layers, "run", lambda *words, **_: (tmp_path / "system.tar.zst").write_bytes(b"archive"))
    (tmp_path / "there").mkdir()
    place = make(tmp_path / "there")
    whole = [number for number, (inode, _) in enumerate(flushed) if inode == place.stat().st_ino]
    named = [number for number, (inode, _) in enumerate(flushed) if inode == place.parent.stat().st_ino]
    assert whole[0] < named[-1]
    assert make is replaced or place.name not in flushed[whole[0]][1]
    assert [file for file in place.parent.iterdir() if file.name.startswith(".")] == []


def test_what_cannot_be_finished_leaves_nothing(tmp_path: Path):
    (tmp_path / "key").write_bytes(b"there")
    with pytest.raises(FileExistsError):
        lasting.write_new(tmp_path / "key", b"another", 0o600)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("key", b"there")]
