"""What makes an image another one, and where its machines run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.openstack.boot.emulator import accelerator
from tests.openstack.boot.image.definition import LAB, Definition


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LAB, tmp_path / "lab"))


def test_the_same_definition_elsewhere_is_the_same_image(folder: Path):
    assert Definition.load(folder).image_key == Definition.load(LAB).image_key


def test_another_file_makes_another_image_of_the_same_system(folder: Path):
    (folder / "files" / "etc" / "motd").write_text("hello")
    assert Definition.load(folder).image_key != Definition.load(LAB).image_key
    assert Definition.load(folder).system_key == Definition.load(LAB).system_key


def test_another_package_makes_another_system(folder: Path):
    told = folder / "image.yaml"
    told.write_text(told.read_text().replace("- sudo", "- sudo\n  - less"))
    assert Definition.load(folder).system_key != Definition.load(LAB).system_key
    assert Definition.load(folder).image_key != Definition.load(LAB).image_key


def test_what_python_leaves_behind_makes_no_other_image(folder: Path):
    before = Definition.load(folder).image_key
    (folder / "files" / "opt" / "__pycache__").mkdir()
    (folder / "files" / "opt" / "__pycache__" / "agent.pyc").write_bytes(b"bytecode")
    assert Definition.load(folder).image_key == before


@pytest.mark.parametrize(
    ("flags", "device", "runs_on"),
    [("fpu vmx", True, "kvm"), ("svm fpu", True, "kvm"), ("fpu hypervisor", True, "tcg"), ("fpu vmx", False, "tcg")],
)
def test_kvm_is_used_where_the_processor_helps(tmp_path: Path, flags: str, device: bool, runs_on: str):
    cpuinfo, kvm = tmp_path / "cpuinfo", tmp_path / "kvm"
    cpuinfo.write_text(f"processor: 0\nflags\t\t: {flags}\n")
    if device:
        kvm.touch()
    assert accelerator(cpuinfo, kvm) == runs_on
