"""The disk of a build as it goes to a cloud: checked against the build's record, and converted. Everything blocks."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from js2spawner.library.builds import DISK, Build, Builds, OfNoUse

DiskFormat = Literal["raw", "qcow2"]
Convert = Callable[[Path, Path], None]

_WORK = ".upload"
_LONGEST_S = 3600.0
_GB = 1000**3


class CannotPublish(RuntimeError):
    """What stands in the way of publishing, promoting or going back, and what to do, in one sentence."""


class BuildLost(CannotPublish, OfNoUse):
    """The same, and there is nothing to do but to build it again."""


def to_raw(disk: Path, raw: Path) -> None:
    """Convert with qemu-img. Raises CannotPublish."""
    program = shutil.which("qemu-img")
    if program is None:
        raise CannotPublish("qemu-img is missing: apt-get install qemu-utils, or upload as it is with --format qcow2.")
    try:
        done = subprocess.run(  # noqa: S603 - paths of ours
            [program, "convert", "-f", "qcow2", "-O", "raw", str(disk), str(raw)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotPublish(f"qemu-img did not convert {disk} within {_LONGEST_S:.0f} s.") from None
    if done.returncode != 0:
        words = " ".join(done.stderr.split())[-300:]
        raise CannotPublish(f"{disk} cannot be converted: {words or f'qemu-img ended with {done.returncode}'}.")


@contextmanager
def prepared(build: Build, builds: Builds, disk_format: DiskFormat, convert: Convert = to_raw) -> Iterator[Path]:
    """The file to upload; what is made for it is gone afterwards. Raises CannotPublish, BuildLost."""
    place = builds.place(build)
    disk, work = place / DISK, place / _WORK
    # A publisher that was killed leaves it.
    shutil.rmtree(work, ignore_errors=True)
    _check(build, disk)
    if disk_format == "qcow2":
        yield disk
        return
    _check_room(build, place)
    try:
        yield _converted(disk, work, convert)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _converted(disk: Path, work: Path, convert: Convert) -> Path:
    try:
        work.mkdir(mode=0o700)
        convert(disk, work / "disk.raw")
    except OSError as error:
        raise CannotPublish(f"{disk} cannot be converted in {work}: {error.strerror or error}.") from None
    return work / "disk.raw"


def hashed(file: Path, algorithm: str) -> str:
    """The hash of a file's bytes, in hexadecimal."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()


def _check(build: Build, disk: Path) -> None:
    try:
        found = hashed(disk, "sha512")
    except PermissionError as error:
        raise CannotPublish(f"{disk} cannot be read: {error.strerror}; publish as whoever built it.") from None
    except OSError as error:
        raise BuildLost(f"The disk of build {build.id} cannot be read: {error.strerror}; build it again.") from None
    if found != build.disk_sha512:
        raise BuildLost(f"{disk} is not the disk that was built: its sha512 is another; build it again.")


def _check_room(build: Build, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < build.virtual_bytes:
        raise CannotPublish(
            f"Too little room in {place}: the raw disk takes up to {build.virtual_bytes / _GB:.1f} GB and "
            f"{free / _GB:.1f} GB are free; make room, or upload it compressed with --format qcow2."
        )
