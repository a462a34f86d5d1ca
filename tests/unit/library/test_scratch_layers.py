"""Which archive a layer's software lies in, and what makes it another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.library.definition import FromScratch, Layer
from js2spawner.library.scratch import layers
from js2spawner.library.scratch.layers import SERVES_S, Archives, software_keys
from tests.unit.library.definitions import environment

BASE = FromScratch("bookworm", 300)


@pytest.fixture
def two(tmp_path: Path) -> list[Layer]:
    files = tmp_path / "files"
    (files / "etc").mkdir(parents=True)
    (files / "etc" / "motd").write_text("hello")
    first = Layer("minimal", ("sudo",), (environment(tmp_path),), files=files, masked=("fstrim.timer",))
    return [first, Layer("more", ("git",), (environment(tmp_path, "science", "numpy==2.0"),))]


def test_images_that_extend_the_same_one_begin_with_the_same_archive(two: list[Layer]):
    other = replace(two[1], packages=("mercurial",))
    one, another = software_keys(BASE, two), software_keys(BASE, [two[0], other])
    assert one[0] == another[0] == software_keys(BASE, two[:1])[0]
    assert one[1] != another[1]


def test_what_is_quick_to_add_makes_no_other_archive_of_its_own_layer_but_of_those_on_it(two: list[Layer]):
    before = software_keys(BASE, two)
    assert two[0].files
    (two[0].files / "etc" / "motd").write_text("good day")
    after = software_keys(BASE, two)
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("change", ["packages", "lock", "suite", "builder"])
def test_other_software_makes_another_archive(
    two: list[Layer], change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = software_keys(BASE, two)
    base = BASE
    match change:
        case "packages":
            two[0] = replace(two[0], packages=("sudo", "less"))
        case "lock":
            two[0].environments[0].lock.write_text("another==1\n")
        case "suite":
            base = FromScratch("trixie", 300)
        case "builder":
            for name in layers._CODE:
                (tmp_path / name).write_text("changed")
            monkeypatch.setattr(layers, "_HERE", tmp_path)
    assert not set(before) & set(software_keys(base, two))


def test_more_room_on_the_disk_needs_no_other_archive(two: list[Layer]):
    assert software_keys(BASE, two) == software_keys(FromScratch("bookworm", 999), two)


def test_an_archive_serves_for_a_day(tmp_path: Path):
    archive = tmp_path / "key.tar.zst"
    archive.touch()
    made = archive.stat().st_mtime
    Archives(tmp_path).forget_old(made + SERVES_S - 1)
    assert Archives(tmp_path).find("key") == archive
    Archives(tmp_path).forget_old(made + SERVES_S + 1)
    assert Archives(tmp_path).find("key") is None


def test_a_fresh_build_uses_no_archive(tmp_path: Path):
    (tmp_path / "key.tar.zst").touch()
    assert Archives(tmp_path, fresh=True).find("key") is None


def test_the_code_that_counts_is_there():
    assert all((layers._HERE / name).is_file() for name in layers._CODE)
    assert Path(layers.__file__).name in layers._CODE
