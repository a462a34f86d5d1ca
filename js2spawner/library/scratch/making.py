"""A build from beginning to end: all of it, or nothing that is left.

Work happens in a folder beside the finished builds. A build that is killed leaves that folder; the next one of the same
image takes it away. Only a whole build is renamed to where builds are looked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from js2spawner.library import baked, bill, inventorying
from js2spawner.library.builds import BILL, DISK, LICENCES, Build, Builds, new_id
from js2spawner.library.definition import Definition, FromScratch
from js2spawner.library.inventorying import debs, record
from js2spawner.library.scratch import disk, finishing, layers, manifest, space
from js2spawner.library.scratch.tools import CannotBuild, System, ToolFailed, check_machine
from js2spawner.library.steps import Say, Steps

_WORK = ".making"

Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def build(definition: Definition, builds: Builds, say: Say, *, fresh: bool = False, now: Now = _now) -> Build:
    """Build an image and keep it in `builds`. `say` gets a line for each step; `fresh` uses no archive of layers.

    Raises CannotBuild, builds.Busy. Blocks for minutes; needs root.
    """
    if not isinstance(definition.base, FromScratch):
        raise CannotBuild(f"{definition.name} is derived from an image of a cloud; it is not built on this machine.")
    check_machine()
    with builds.alone(f"build of {definition.name}"):
        _forget_half_made(definition.name, builds)
        space.check(builds.folder, builds.newest(definition.name))
        with _plain_modes(), _work_folder(definition.name, builds) as work, _explained(definition.name, builds):
            # Files and locks are read while it goes on: which ones those were is settled now.
            identity = definition.key, baked.digest(definition)
            making = _Making(definition, definition.base, *identity, builds, work, Steps(say), now())
            return making.all(fresh)


@dataclass(frozen=True, slots=True)
class _Making:
    definition: Definition
    base: FromScratch
    key: str
    made_with: str
    builds: Builds
    work: Path
    steps: Steps
    began: datetime

    def all(self, fresh: bool) -> Build:
        # Midnight, so that what is stamped with it is the same in every build of a day.
        epoch = int(self.began.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
        system = System(self.work / "root", epoch)
        layers.make(system, self.base, self.definition.layers, layers.Archives(self.builds.cache, fresh), self.steps)
        with self.steps.step("guest program, initramfs, identities"):
            finishing.finish(system, self.definition)
        result = self.work / "result"
        result.mkdir()
        raw = self.work / "disk.raw"
        with self.steps.step("disk"):
            shape = disk.Shape(self.base.spare_mb, disk.identity_of(self.key))
            disk.make(system, shape, raw)
        with self.steps.step("lists of files, software and licences"):
            identity = new_id(self.began, self.key)
            packages = self._lists(system, identity, epoch, result)
        # Its room is wanted for the compressed disk.
        shutil.rmtree(system.root)
        with self.steps.step("compression"):
            disk.compress(raw, result / DISK)
        made = Build(
            image=self.definition.name,
            id=identity,
            definition=self.key,
            kind="scratch",
            at=self.began.astimezone(UTC).isoformat(timespec="seconds"),
            seconds=dict(self.steps.seconds),
            disk_sha512=_sha512(result / DISK),
            disk_bytes=(result / DISK).stat().st_size,
            virtual_bytes=raw.stat().st_size,
            packages=packages,
            made_with=self.made_with,
        )
        if self.definition.key != self.key:
            raise CannotBuild(f"The definition of {made.image} was changed while it was built; build it again.")
        self._put_in_place(made, result)
        return made

    def _lists(self, system: System, identity: str, epoch: int, result: Path) -> int:
        packages = inventorying.software(system.root)
        at = datetime.fromtimestamp(epoch, UTC)
        distribution = (self.base.suite, debs.architecture(system.root))
        name = self.definition.name
        (result / BILL).write_text(bill.cyclonedx(name, identity, at, packages, distribution))
        (result / LICENCES).write_text(bill.licences(self.definition.title, name, identity, packages))
        record.write(packages, result / record.NAME)
        manifest.write(system.root, result / manifest.NAME)
        return len(packages)

    def _put_in_place(self, made: Build, result: Path) -> None:
        place = self.builds.place(made)
        place.parent.mkdir(exist_ok=True)
        # Two builds within one second: the later one is the one that is wanted.
        shutil.rmtree(place, ignore_errors=True)
        result.rename(place)
        self.builds.save(made)


def _forget_half_made(image: str, builds: Builds) -> None:
    """What a build left that was killed: its work, and a result without a record."""
    shutil.rmtree(builds.folder / _WORK / image, ignore_errors=True)
    finished = {each.id for each in builds.of(image)}
    for folder in (builds.folder / image).glob("*/"):
        if folder.name not in finished:
            shutil.rmtree(folder)


@contextmanager
def _work_folder(image: str, builds: Builds) -> Iterator[Path]:
    # apt takes what is relative for relative to places of its own.
    work = (builds.folder / _WORK / image).resolve()
    work.mkdir(parents=True)
    # Its tree has programs that run as root for whoever may reach them.
    work.chmod(0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _plain_modes() -> Iterator[None]:
    """Whatever this process creates anybody may read, whoever's umask it was started with: it ends up in images."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _explained(image: str, builds: Builds) -> Iterator[None]:
    """Say whose build failed, and keep all that the failed program said."""
    try:
        yield
    except ToolFailed as problem:
        kept = builds.keep_output(image, problem.output)
        raise CannotBuild(f"Building {image} failed at {problem} (all it said: {kept})") from None
    except OSError as problem:
        where = f" ({problem.filename})" if problem.filename else ""
        raise CannotBuild(f"Building {image} failed: {problem.strerror or problem}{where}") from None
    builds.forget_output(image)


def _sha512(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, hashlib.sha512).hexdigest()
