"""An instance that becomes an image: each step once, every end told until it is heard, no secret left behind."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest import build_end, build_steps, smoke
from js2spawner.guest.build_site import Site
from js2spawner.guest.identity import Identity
from js2spawner.guest.provision import Provision, is_step
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.shell import KEPT_BYTES, Program, Shell, StepFailed
from js2spawner.guest.talk import Ended
from js2spawner.library.software import unpacked


class Builder:
    """Gives its steps one after another; ends the attempt when it has none left. Reports may get lost on the way."""

    def __init__(self, *steps: Mapping[str, Any], lost: int = 0) -> None:
        self.steps = [*steps]
        self.lost = lost
        self.heard: list[Mapping[str, Any]] = []

    def await_assignment(self) -> Mapping[str, Any]:
        if not self.steps:
            raise Ended
        return self.steps.pop(0)

    def report_is_due(self) -> bool:
        return True

    def report(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self.lost:
            self.lost -= 1
            return None
        self.heard.append(message)
        if message["stage"] in ("built", "failed") and not message["assignment"]:
            raise Ended
        return {}

    @property
    def ends(self) -> list[tuple[str, str]]:
        return [(each["stage"], each["assignment"]) for each in self.heard if each["assignment"]]


class Orders(Shell):
    """Notes what it was to run; `fails` tells which fail, and with which words; `prints` what a listing says."""

    def __init__(self, **prints: str) -> None:
        super().__init__(time.monotonic, lambda _s: None, lambda _line: None)
        self.ran: list[str] = []
        self.fails: Callable[[str], str] = lambda _command: ""
        self.prints = prints

    def run(self, program: Program, until: float, what: str) -> str:
        command = " ".join(program.argv)
        self.ran.append(command)
        if words := self.fails(command):
            raise StepFailed(f"{what} ended with status 100", words)
        return "3.11.2\n" if "platform" in command else ""

    def listing(self, argv: Sequence[str], environment: Mapping[str, str] = {}) -> str:
        return self.prints.get(argv[0].replace("-", "_"), "")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "root").mkdir()
    return Site(tmp_path / "root", Orders(), time.monotonic, lambda: None)


def step(number: int, kind: str, **of: Any) -> dict[str, Any]:
    return {"id": f"step-{number}", "provision": {"number": number, "of": 9, "deadline_s": 60, "kind": kind, **of}}


def piece(number: int, name: str, data: bytes, offset: int = 0) -> dict[str, Any]:
    return step(number, "piece", name=name, offset=offset, data=base64.b64encode(data).decode())


def blob(name: str, data: bytes) -> dict[str, str]:
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest()}


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:xz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname = kind, mode, link
    return made


def provision(tmp_path: Path, builder: Builder) -> Provision:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    identity = Identity(tmp_path / "state")
    return Provision(builder, RunDir(tmp_path / "run"), identity, time.monotonic, lambda _s: None, root)


def carry_out(tmp_path: Path, *steps: Mapping[str, Any], lost: int = 0) -> Builder:
    builder = Builder(*steps[1:], lost=lost)
    with pytest.raises(Ended):
        provision(tmp_path, builder).run(steps[0])
    return builder


def test_only_an_assignment_with_an_order_is_a_step() -> None:
    assert is_step(step(1, "command", text="true"))
    assert not is_step({"id": "a", "user": {}, "server": {}, "provision": True})


def test_a_file_sent_in_pieces_is_laid_over_the_root_and_each_step_is_acknowledged_once(tmp_path: Path) -> None:
    sent = archive(
        (member("opt/js2/tool", mode=0o755), b"#!/bin/sh\n"),
        (member("etc/systemd/system/noise.timer", tarfile.SYMTYPE, link="/dev/null"), b""),
    )
    half = len(sent) // 2
    builder = carry_out(
        tmp_path,
        piece(1, "files", sent[:half]),
        piece(2, "files", sent[half:], offset=half),
        step(3, "unpack", blob=blob("files", sent)),
    )
    assert builder.ends == [("building", "step-1"), ("building", "step-2"), ("building", "step-3")]
    tool = tmp_path / "root/opt/js2/tool"
    assert (tool.read_bytes(), tool.stat().st_mode & 0o777) == (b"#!/bin/sh\n", 0o755)
    assert (tmp_path / "root/etc/systemd/system/noise.timer").readlink() == Path("/dev/null")


def test_an_end_that_is_not_heard_is_told_again_and_the_step_is_not_done_again(tmp_path: Path) -> None:
    count = f"echo done >> {tmp_path}/count"
    builder = carry_out(tmp_path, step(1, "command", text=count), step(1, "command", text=count), lost=3)
    assert builder.ends == [("building", "step-1"), ("building", "step-1")]
    assert (tmp_path / "count").read_text() == "done\n"


def test_a_step_in_whose_middle_the_agent_died_is_never_begun_again(tmp_path: Path) -> None:
    RunDir(tmp_path / "run").keep("build", {"id": "step-1"})
    builder = carry_out(tmp_path, step(1, "command", text=f"echo done >> {tmp_path}/count"))
    assert builder.ends == [("failed", "step-1")]
    assert not (tmp_path / "count").exists()


def test_a_failing_step_is_told_with_the_end_of_its_own_words_and_nothing_follows(tmp_path: Path) -> None:
    words = "for i in $(seq 1 5000); do echo noise $i; done; echo no such thing >&2; exit 3"
    builder = carry_out(tmp_path, step(1, "command", text=words), step(2, "command", text="true"))
    assert builder.ends == [("failed", "step-1")]
    told = next(each for each in builder.heard if each["assignment"])
    assert (told["problem"], told["detail"]) == ("build", "the command ended with status 3.")
    assert told["result"].endswith("no such thing")
    assert len(told["result"]) <= KEPT_BYTES


def test_a_step_that_takes_too_long_ends_with_all_it_started(tmp_path: Path) -> None:
    slow = {**step(1, "command", text="sleep 9871 & echo started; sleep 9872")}
    slow["provision"]["deadline_s"] = 0.5
    builder = carry_out(tmp_path, slow)
    assert builder.ends == [("failed", "step-1")]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 987" not in left


def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    carry_out(tmp_path, step(1, "command", text="sleep 9873 &"))
    assert "sleep 9873" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "order",
    [
        step(1, "surprise"),
        step(1, "command"),
        step(1, "piece", name="../x", offset=0, data=""),
        step(1, "piece", name="x", offset=5, data=""),
        step(1, "piece", name="x", offset=0, data="?"),
        step(1, "packages", names="jq"),
        step(1, "packages", names=["--allow-downgrades"]),
        step(1, "environment", name="../etc", python="3.11", blob=blob("x", b"")),
        step(1, "unpack", blob=blob("never-sent", b"")),
        step(1, "software", part=-1),
        {"id": "step-1", "provision": {"kind": "clean"}},
    ],
    ids=lambda order: json.dumps(order["provision"])[:60],
)
def test_an_order_of_another_shape_does_nothing_and_fails(tmp_path: Path, order: Mapping[str, Any]) -> None:
    assert carry_out(tmp_path, order).ends == [("failed", "step-1")]


@pytest.mark.parametrize(
    "odd",
    [member("../outside"), member("/etc/passwd"), member("dev/sda", tarfile.BLKTYPE), member("hard", tarfile.LNKTYPE)],
    ids=lambda odd: odd.name,
)
def test_an_archive_with_anything_odd_is_refused(site: Site, odd: tarfile.TarInfo) -> None:
    sent = archive((odd, b""))
    build_steps.piece(site, piece(1, "files", sent)["provision"], 0)
    with pytest.raises(StepFailed):
        build_steps.unpack(site, {"blob": blob("files", sent)}, 0)
    assert not (site.root.parent / "outside").exists()


def test_a_file_that_arrived_changed_is_not_used(site: Site) -> None:
    build_steps.piece(site, piece(1, "files", b"changed")["provision"], 0)
    with pytest.raises(StepFailed, match="did not arrive"):
        build_steps.unpack(site, {"blob": blob("files", b"sent")}, 0)


def test_a_folder_of_the_base_keeps_its_mode_and_its_link(site: Site) -> None:
    (site.root / "usr/lib").mkdir(parents=True, mode=0o711)
    (site.root / "usr/lib").chmod(0o711)
    (site.root / "lib").symlink_to("usr/lib")
    sent = archive((member("lib", tarfile.DIRTYPE, 0o777), b""), (member("lib/x.conf"), b"x"))
    build_steps.piece(site, piece(1, "files", sent)["provision"], 0)
    build_steps.unpack(site, {"blob": blob("files", sent)}, 0)
    assert (site.root / "lib").is_symlink()
    assert (site.root / "usr/lib").stat().st_mode & 0o777 == 0o711
    assert (site.root / "usr/lib/x.conf").read_bytes() == b"x"


def test_packages_wait_for_whoever_holds_the_lock(site: Site) -> None:
    site.shell = shell = Orders()
    shell.wait = lambda seconds: shell.ran.append("waited")  # type: ignore[method-assign]
    locked = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)"
    shell.fails = lambda _command: locked if shell.ran.count("waited") < 2 else ""
    build_steps.packages(site, {"names": ["jq"]}, time.monotonic() + 60)
    assert shell.ran.count("waited") == 2
    assert shell.ran[-1].endswith(" install jq")


def test_a_lock_that_nobody_lets_go_of_is_named_when_the_time_is_over(site: Site) -> None:
    site.shell = shell = Orders()
    shell.fails = lambda _command: "E: Unable to acquire the dpkg frontend lock"
    with pytest.raises(StepFailed, match="another process holds apt's lock"):
        build_steps.packages(site, {"names": ["jq"]}, time.monotonic() + 1)


def test_packages_start_no_service_while_they_are_installed(site: Site) -> None:
    policy = site.root / "usr/sbin/policy-rc.d"
    policy.parent.mkdir(parents=True)
    site.shell = shell = Orders()
    there: dict[str, bool] = {}
    shell.fails = lambda command: there.update({command: policy.exists()}) or ""
    build_steps.packages(site, {"names": ["jq"]}, time.monotonic() + 60)
    assert [command.split()[-1] for command, forbidden in there.items() if forbidden] == ["jq"]
    assert not policy.exists()


def test_the_kernel_and_the_driver_are_held_while_packages_are_installed_and_only_then(site: Site) -> None:
    installed = "ii linux-image-6.8\nii linux-libc-dev\nhi nvidia-driver-550\nii grub-efi\nrc linux-image-6.1\n"
    site.shell = shell = Orders(dpkg_query=installed)
    build_steps.packages(site, {"names": ["jq"]}, time.monotonic() + 60)
    marks = [command for command in shell.ran if command.startswith("apt-mark")]
    assert marks == ["apt-mark hold grub-efi linux-image-6.8", "apt-mark unhold grub-efi linux-image-6.8"]
    install = next(command for command in shell.ran if command.endswith("install jq"))
    assert shell.ran.index(marks[0]) < shell.ran.index(install) < shell.ran.index(marks[1])
    assert "--no-remove" in install


def test_packages_that_would_change_the_kernel_or_the_driver_are_refused_before_anything_is_installed(
    site: Site,
) -> None:
    site.shell = shell = Orders(apt_get="Inst fancy (1)\nInst linux-headers-generic (2)\n")
    with pytest.raises(StepFailed, match="linux-headers-generic"):
        build_steps.packages(site, {"names": ["fancy"]}, time.monotonic() + 60)
    with pytest.raises(StepFailed, match="nvidia-driver-550"):
        build_steps.packages(site, {"names": ["nvidia-driver-550"]}, time.monotonic() + 60)
    assert not [command for command in shell.ran if "install" in command]


def test_an_environment_of_another_python_is_refused_with_the_remedy(site: Site) -> None:
    build_steps.piece(site, piece(1, "lock", b"")["provision"], 0)
    with pytest.raises(StepFailed, match=r"3\.11\.2 and the lock is for 3\.12\.3; set base\.python"):
        build_steps.environment(site, {"name": "science", "python": "3.12.3", "blob": blob("lock", b"")}, 0)


def test_an_environment_is_installed_by_hashes_from_wheels_only(site: Site) -> None:
    (site.root / "usr/share/python-wheels").mkdir(parents=True)
    (site.root / "usr/share/python-wheels/pip-24.0-py3-none-any.whl").touch()
    lock = b"six==1.17.0 --hash=sha256:" + b"0" * 64 + b"\n"
    build_steps.piece(site, piece(1, "lock", lock)["provision"], 0)
    build_steps.environment(site, {"name": "server", "python": "3.11.9", "blob": blob("lock", lock)}, 0)
    assert isinstance(site.shell, Orders)
    (install,) = [command for command in site.shell.ran if " install " in command]
    for option in ("--require-hashes", "--only-binary=:all:", "--no-deps"):
        assert option in install


def test_software_is_told_in_parts_that_the_builder_can_read(site: Site) -> None:
    (site.root / "var/lib/dpkg").mkdir(parents=True)
    (site.root / "var/lib/dpkg/status").touch()
    rows = "".join(f"ii \tpackage-{number}\t1.{number * 7919 % 10007}\n" for number in range(3000))
    site.shell = Orders(dpkg_query=rows)
    parts = [build_end.software(site, {"part": number}, 0) for number in range(4)]
    assert all(len(part) <= build_end.PART for part in parts)
    assert len(unpacked("".join(parts))) == 3000
    assert build_end.software(site, {"part": 40}, 0) == ""


def test_nothing_of_this_machine_is_left_when_it_is_saved(tmp_path: Path, site: Site) -> None:
    mine = [
        "etc/ssh/ssh_host_rsa_key", "root/.ssh/authorized_keys", "root/.bash_history", "home/u/.python_history",
        "var/lib/cloud/instance/x", "var/tmp/js2-build/lock", "var/log/journal/1/system.journal", "var/log/x.1.gz",
        "tmp/y", "var/lib/apt/lists/z",
    ]  # fmt: skip
    theirs = ["etc/ssh/sshd_config", "home/u/notes", "var/lib/dpkg/status"]
    for name in (*mine, *theirs, "var/log/syslog", "etc/machine-id"):
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        (site.root / name).write_text("text")
    identity = Identity(tmp_path / "state")
    identity.credential("attempt")
    site.forget = identity.forget
    build_end.clean(site, {}, time.monotonic() + 60)
    assert [name for name in mine if (site.root / name).exists()] == []
    assert [name for name in theirs if not (site.root / name).exists()] == []
    assert (site.root / "var/log/syslog").read_text() == (site.root / "etc/machine-id").read_text() == ""
    assert list((tmp_path / "state").iterdir()) == []


def test_the_last_step_is_told_as_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shell, "run", lambda *_: "")
    builder = carry_out(tmp_path, step(9, "clean"))
    assert builder.ends == [("built", "step-9")]


def test_the_cells_of_a_notebook_that_are_run_are_those_of_code() -> None:
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title"]},
            {"cell_type": "code", "source": ["import os\n", "os.getcwd()"]},
            {"cell_type": "code", "source": " \n"},
            {"cell_type": "code", "source": "1/0", "metadata": {"tags": ["raises-exception"]}},
        ]
    }
    assert smoke.cells(notebook) == [(2, "import os\nos.getcwd()", False), (4, "1/0", True)]


def test_nobody_gets_the_notebook_s_folder_before_root_has_done_with_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Path, bool]] = []
    monkeypatch.setattr(os, "chown", lambda place, _u, _g, follow_symlinks: given.append((place, follow_symlinks)))
    site = Site(tmp_path, Orders(), time.monotonic, lambda: None)
    site.work.mkdir(parents=True)
    (site.work / "try.ipynb").write_text("{}")
    blob = {"name": "try.ipynb", "sha256": hashlib.sha256(b"{}").hexdigest()}
    build_steps.smoke(site, {"blob": blob}, time.monotonic() + 60)
    folder = given[-1][0]
    assert {place for place, _ in given[:-1]} == {folder / "try.ipynb", folder / "runner.py"}
    assert not any(follows for _, follows in given)


def test_a_notebook_that_fails_says_in_which_cell(tmp_path: Path) -> None:
    for name, code, ended in (("good", "x = 2\nassert x == 2", 0), ("bad", "open('/no/such/file')", 1)):
        cells = [{"cell_type": "code", "source": code, "metadata": {}, "outputs": []}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}}))
        command = [sys.executable, smoke.__file__, str(tmp_path / f"{name}.ipynb")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == ended, done.stdout + done.stderr
    assert "cell 1 failed" in done.stdout
    assert "No such file" in done.stdout
