"""What of this js2spawner itself is in an image, so that an upgrade makes images due."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import js2spawner.guest
from js2spawner.library import baked
from js2spawner.library.definition import Derived

from .definitions import definition

TINY = definition()
FROM_CLOUD = definition(base=Derived("Featured-Ubuntu24"))


def test_another_guest_program_makes_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = baked.digest(TINY), baked.digest(FROM_CLOUD)
    guest = Path(shutil.copytree(Path(js2spawner.guest.__file__).parent, tmp_path / "guest"))
    monkeypatch.setattr(js2spawner.guest, "__file__", str(guest / "__init__.py"))
    assert (baked.digest(TINY), baked.digest(FROM_CLOUD)) == before
    (guest / "life.py").write_text("changed = True\n")
    assert not {baked.digest(TINY), baked.digest(FROM_CLOUD)} & set(before)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("scratch/disk.py", (True, False)),
        ("scratch/settling.py", (True, True)),
        ("derived/plan.py", (False, True)),
    ],
)
def test_a_builders_own_code_makes_other_images_of_its_kind(
    name: str, others: tuple[bool, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = baked.digest(TINY), baked.digest(FROM_CLOUD)
    for each in {*baked.FROM_SCRATCH, *baked.DERIVED}:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(baked._HERE / each, tmp_path / each)
    (tmp_path / name).write_text("changed = True\n")
    monkeypatch.setattr(baked, "_HERE", tmp_path)
    assert (baked.digest(TINY) != before[0], baked.digest(FROM_CLOUD) != before[1]) == others


def test_whether_images_follow_from_a_module_is_said_of_each_module_of_the_builders():
    # One that is new stands nowhere yet: it belongs into a list of `baked`, or into this one.
    others = {
        *(f"scratch/{name}.py" for name in ("__init__", "comparing", "making", "manifest", "space")),
        *(f"derived/{name}.py" for name in ("__init__", "book", "booting", "instance", "launching", "leftovers")),
        *(f"derived/{name}.py" for name in ("making", "papers", "saving", "settings", "waiting")),
    }
    files = (file for kind in ("scratch", "derived") for file in (baked._HERE / kind).rglob("*") if file.is_file())
    there = {str(file.relative_to(baked._HERE)) for file in files if "__pycache__" not in file.parts}
    assert there == others | set(baked.FROM_SCRATCH) | set(baked.DERIVED)
