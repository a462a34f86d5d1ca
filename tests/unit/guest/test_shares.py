"""Shares are mounted without a program of the image's, and their keys are nobody else's to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest import mount_call, shares
from js2spawner.guest.assignment import Source
from js2spawner.guest.system import CannotRun, Done

CEPH = Source("share", "", "149.165.158.38:6789,149.165.158.22:6789:/volumes/_nogroup/a", "alice", "QUJDREVGR0g=")
NFS = Source("share", "", "127.0.0.1:/exports/alice", "", "")


class System:
    """What was run, and what was given at its standard input."""

    def __init__(self, done: Done) -> None:
        self.done = done
        self.runs: list[tuple[tuple[str, ...], bytes]] = []

    def run(self, *argv: str, given: bytes = b"", timeout_s: float) -> Done:
        assert timeout_s > 0
        self.runs.append((argv, given))
        return self.done

    def must(self, *argv: str, timeout_s: float) -> None:
        self.run(*argv, timeout_s=timeout_s)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    made = System(Done(0, ""))
    monkeypatch.setattr(shares, "system", made)
    monkeypatch.setattr(shares, "SYSTEM_PATH", "/nonexistent")
    return made


def test_the_key_of_a_share_is_in_no_argument(system: System) -> None:
    shares.mount(CEPH, Path("/home/alice"))
    ((argv, given),) = system.runs
    assert CEPH.key not in " ".join(argv)
    order = json.loads(given)
    assert (order["source"], order["place"], order["kind"]) == (CEPH.export, "/home/alice", "ceph")
    assert order["data"] == f"name=alice,secret={CEPH.key}"
    assert order["flags"] == mount_call.NOSUID | mount_call.NODEV
    assert CEPH.key not in repr(CEPH)


def test_class_data_cannot_be_written(system: System) -> None:
    shares.mount(CEPH, Path("/data/course"), read_only=True)
    shares.mount(NFS, Path("/data/course"), read_only=True)
    assert json.loads(system.runs[0][1])["flags"] & mount_call.RDONLY
    assert "ro" in system.runs[1][0][system.runs[1][0].index("-o") + 1].split(",")


def test_nfs_is_mounted_by_the_kernel_which_is_told_the_server_s_address(system: System) -> None:
    shares.mount(NFS, Path("/home/alice"))
    options = "nosuid,nodev,vers=4.1,addr=127.0.0.1"
    assert system.runs[0][0] == ("mount", "-i", "-t", "nfs", "-o", options, NFS.export, "/home/alice")


def test_an_image_with_nfs_common_mounts_by_that(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mount.nfs").touch(mode=0o755)
    monkeypatch.setattr(shares, "SYSTEM_PATH", str(tmp_path))
    shares.mount(NFS, Path("/home/alice"))
    assert system.runs[0][0] == ("mount", "-t", "nfs", "-o", "nosuid,nodev", NFS.export, "/home/alice")


def test_a_refusal_is_said_by_its_name(system: System) -> None:
    system.done = Done(1, "13")
    with pytest.raises(CannotRun, match="EACCES"):
        shares.mount(CEPH, Path("/home/alice"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_the_program_mounts_and_says_the_number_of_what_went_wrong(tmp_path: Path) -> None:
    order: dict[str, Any] = {"source": "js2", "place": str(tmp_path), "kind": "tmpfs", "flags": 7, "data": "size=1m"}
    lines = f"{sys.executable} -I {mount_call.__file__} && findmnt --noheadings --output OPTIONS {tmp_path}"

    def call() -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--mount", "sh", "-c", lines]
        return subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, timeout=60, check=False)

    options = call().stdout.strip().split(",")
    assert {"ro", "nosuid", "nodev"} <= set(options)
    order["kind"] = "nosuchkind"
    assert call().stdout == "19"  # ENODEV
