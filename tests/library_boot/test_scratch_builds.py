"""Builds from nothing with Debian's and PyPI's packages: what is in them, that two are the same, and what is left."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import js2spawner.guest
from js2spawner.library import scratch
from js2spawner.library.builds import DISK, Build, Builds
from js2spawner.library.definition import Definition, Environment, Layer
from js2spawner.library.inventorying import record
from js2spawner.library.locks import Pin
from js2spawner.library.scratch import disk, manifest
from js2spawner.library.scratch.comparing import compare
from js2spawner.library.scratch.finishing import stamp
from js2spawner.library.scratch.tools import NEEDED, CannotBuild, System
from tests.unit.library.definitions import definition

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="building images takes root"),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="building images takes tools that are not here"),
]

LOADER = "DEFAULT linux\nLABEL linux\n  LINUX /vmlinuz\n  INITRD /initrd.img\n  APPEND root=LABEL=js2-root\n"
FILES = {
    "boot/extlinux.conf": LOADER,
    "etc/fstab": "LABEL=js2-root / ext4 defaults 0 1\n",
    "etc/systemd/system/mine.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
}
PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "systemd-sysv", "python3-venv", "cron")
SEES_A_NETWORK = (
    "if ip -brief link 2>/dev/null | grep -q UP || grep -v lo: /proc/net/dev | grep -q ': '; then exit 1; fi"
)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Not pytest's own folder, which it keeps: here are disks."""
    folder = Path(__file__).parents[2] / ".images" / f".test-{os.getpid()}"
    folder.mkdir(parents=True)
    # Who edits the guest program while this goes on builds another image.
    guest = Path(shutil.copytree(Path(js2spawner.guest.__file__).parent, folder / "guest"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(js2spawner.guest, "__file__", str(guest / "__init__.py"))
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def small(place: Path) -> Definition:
    """The least that has everything a layer can have."""
    for name, text in FILES.items():
        file = place / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    environments = tuple(Environment(name, ("click",), _lock(place)) for name in ("server", "python"))
    layer = Layer(
        "small", PACKAGES, environments, (), place / "files", (SEES_A_NETWORK, "touch /root/ran"), ("cron.service",)
    )
    return definition(layer, Layer("more", ("less",)), name="small")


def _lock(place: Path) -> Path:
    """Of one small package, as it is in the project's own environment."""
    lock = place / "lock.txt"
    if not lock.exists():
        wheels = place / "wheels"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, "click==8.1.8"]
        subprocess.run(pip, check=True)
        hashed = subprocess.run(["sha256sum", *wheels.iterdir()], check=True, capture_output=True, text=True).stdout
        pin = Pin("click", "8.1.8", (hashed.split()[0],))
        lock.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.hashes[0]}\n")
    return lock


@pytest.fixture(scope="module")
def builds(place: Path) -> Builds:
    """As the command line names it: from where one stands."""
    return Builds(Path(os.path.relpath(place / "builds")))


@pytest.fixture(scope="module")
def built(small: Definition, builds: Builds) -> Build:
    return scratch.build(small, builds, say=print)


def test_the_same_files_make_the_same_disk(place: Path):
    digests, epoch = [], 1_795_478_400
    for number in (1, 2):
        root = place / f"tree{number}"
        for name in (
            "boot/extlinux.conf",
            "etc/fstab",
            "vmlinuz",
            "initrd.img",
            *(f"usr/lib/{n % 7}/{n}" for n in range(99)),
        ):
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
        for name in disk.LOADER:
            (root / name).touch()
        stamp(root, epoch)
        raw = place / f"{number}.raw"
        disk.make(System(root, epoch), disk.Shape(0, uuid.UUID(int=7)), raw)
        with raw.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").hexdigest())
        checked = ["e2fsck", "-fn", f"{raw}?offset={disk.START_MB * disk.MIB}"]
        assert subprocess.run(checked, capture_output=True, check=False).returncode == 0
    assert digests[0] == digests[1]


def test_two_builds_of_one_day_are_the_same_byte_by_byte(built: Build, small: Definition, builds: Builds):
    again = scratch.build(replace(small), builds, say=print, fresh=True)
    compared = compare(built, again, builds)
    assert compared.files == ()
    assert compared.same_disk


def test_the_image_holds_what_was_asked_for_and_says_so(built: Build, builds: Builds):
    files = manifest.read(builds.place(built) / manifest.NAME)
    assert (
        files["/etc/systemd/system/multi-user.target.wants/mine.service"].content == "/etc/systemd/system/mine.service"
    )
    assert files["/etc/systemd/system/cron.service"].content == "/dev/null"
    assert files["/opt/js2/guest/agent.py"].owner == "0:0"
    assert "/root/ran" in files
    assert "/usr/bin/less" in files
    assert "/opt/js2/python/bin/pip" in files
    assert "/opt/js2/server/bin/pip" not in files
    found = {(each.kind, each.name) for each in record.read(builds.place(built) / record.NAME)}
    assert {("deb", "cron"), ("pypi", "click")} <= found


def test_nothing_in_the_image_tells_where_it_was_built(built: Build, builds: Builds):
    files = manifest.read(builds.place(built) / manifest.NAME)
    empty = ("-", "0")
    caches = ("/etc/ssh/ssh_host", "/var/lib/apt/lists/", "/var/cache/apt/")
    assert not [name for name, file in files.items() if name.startswith(caches) and file.size not in empty]
    assert not [name for name, file in files.items() if name.startswith("/var/log/") and file.size != "-"]
    assert files["/etc/machine-id"].size == "0"
    assert "/etc/apt/apt.conf.d/99mmdebstrap" not in files
    assert [name for name in files if name.startswith("/etc/apt/sources.list.d/")] == []


def test_a_command_that_fails_is_told_in_its_own_words_and_leaves_nothing(
    built: Build, small: Definition, builds: Builds
):
    broken = replace(small, layers=(*small.layers, Layer("broken", commands=("echo no such luck >&2; false",))))
    with pytest.raises(CannotBuild, match=r"command “echo no such luck.*” of broken failed: no such luck"):
        scratch.build(broken, builds, say=print)
    assert all((builds.place(each) / DISK).exists() for each in builds.of("small"))
    assert not (builds.folder / ".making" / "small").exists()


def test_a_package_that_does_not_exist_is_told_in_apts_words(small: Definition, builds: Builds, built: Build):
    more = replace(small, layers=(*small.layers, Layer("broken", ("no-such-package-anywhere",))))
    with pytest.raises(CannotBuild, match="Unable to locate package no-such-package-anywhere"):
        scratch.build(more, builds, say=print)


def test_a_build_that_is_killed_leaves_no_mount_no_loop_device_and_no_process(
    small: Definition, builds: Builds, wait_until: Callable[..., None]
):
    work = (builds.folder / ".making" / "killed").resolve()
    slow = replace(small.layers[0], commands=("echo up > /root/up; exec sleep 1000",))
    killed = replace(small, name="killed", layers=(slow,))
    process = multiprocessing.get_context("spawn").Process(target=_build, args=(killed, builds.folder))
    process.start()
    try:
        wait_until((work / "root/root/up").exists, within_s=600)
    finally:
        process.kill()
        process.join()
    wait_until(lambda: not _processes_in(work), within_s=30)
    assert str(work) not in Path("/proc/self/mountinfo").read_text()
    assert str(work) not in subprocess.run(["losetup", "--list"], capture_output=True, text=True, check=True).stdout
    assert work.exists()
    with pytest.raises(CannotBuild):
        scratch.build(definition(Layer("killed", ("no-such-package-anywhere",)), name="killed"), builds, say=print)
    assert not work.exists()


def _build(wanted: Definition, folder: Path) -> None:
    scratch.build(wanted, Builds(folder), say=lambda line: None)


def _processes_in(folder: Path) -> list[str]:
    """Processes whose root or working folder is below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for link in ("root", "cwd"):
            try:
                if str((process / link).readlink()).startswith(str(folder)):
                    found.append(process.name)
            except OSError:
                continue
    return found
