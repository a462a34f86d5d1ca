"""The library's first image in a machine of its own, from power-on to a reboot. Minutes, as root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from js2spawner.library import reading
from js2spawner.library.boot import test as boot_test
from js2spawner.library.boot.machine import Hardware
from js2spawner.library.boot.stages import STAGES
from js2spawner.library.boot.testing import boot_once
from js2spawner.library.boot.trial import Patience
from tests.openstack.boot import images
from tests.openstack.place import ROOT

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="builds an image, which takes root"),
]


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="module")
def disk() -> Path:
    return images.minimal(say)


def test_minimal_passes_its_boot_test(disk: Path) -> None:
    report = boot_test(reading.read(ROOT / "images", images.IMAGE), disk, say=say, times=1)
    assert report.failures == ()
    assert [stage for stage in STAGES if stage not in report.seconds] == []
    # In the order in which they must have come.
    told = [report.seconds[stage] for stage in ("kernel", "userspace", "agent", "hello", "account", "listening")]
    assert told == sorted(told)


def test_a_disk_that_does_not_boot_is_told_within_its_deadline(tmp_path: Path) -> None:
    empty = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", empty, "1G"], check=True)
    tested = boot_once(empty, say, Hardware(cpus=1, memory_mb=512, disk_gb=1), Patience(listening_s=15.0))
    (failure,) = tested.report.failures
    assert failure.startswith("the machine has not said hello within 15 s; the console ends with")


def test_a_file_that_is_no_disk_is_told_at_once(tmp_path: Path) -> None:
    no_disk = tmp_path / "disk.qcow2"
    no_disk.write_bytes(b"no image")
    tested = boot_once(no_disk, say)
    (failure,) = tested.report.failures
    assert failure.startswith("qemu-img failed")
