"""Build an image, or find the one that was built before from the same definition."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.openstack.boot.image.definition import GUEST, ROOT, Definition, programs_and_data
from tests.openstack.boot.image.disk import make_disk, missing_tools
from tests.openstack.boot.image.system import compile_python, make_system, run, run_in

CACHE = ROOT / ".openstack" / "images"
GUEST_INSIDE = "opt/js2/guest"

Say = Callable[[str], None]


class CannotBuild(Exception):
    """The text says what this machine lacks, and what to do."""


@dataclass(frozen=True, slots=True)
class Builder:
    """`cache` keeps finished images and archives of their systems; `say` gets a line for each step and its seconds."""

    cache: Path
    say: Say

    def image(self, definition: Definition) -> Path:
        """The qcow2 of a definition; built only if there is none. Raises CannotBuild, CalledProcessError."""
        wanted = self.cache / f"{definition.name}-{definition.image_key}.qcow2"
        with _lock(self.cache):
            if not wanted.exists():
                self._check()
                with tempfile.TemporaryDirectory(prefix="build-", dir=self.cache) as name:
                    self._build(definition, Path(name), wanted)
        return wanted

    def _check(self) -> None:
        if os.geteuid() != 0:
            raise CannotBuild("Building an image takes root.")
        if missing := missing_tools():
            raise CannotBuild(f"Building an image needs more of Debian: apt-get install {' '.join(missing)}")

    def _build(self, definition: Definition, scratch: Path, wanted: Path) -> None:
        root = scratch / "root"
        self._system(definition, root, scratch)
        with self._step("files and initramfs"):
            _add_files(definition, root)
        with self._step("disk"):
            make_disk(root, definition.spare_mb, scratch / "disk.qcow2")
        (scratch / "disk.qcow2").rename(wanted)

    def _system(self, definition: Definition, root: Path, scratch: Path) -> None:
        archive = self.cache / f"{definition.name}-{definition.system_key}.tar.zst"
        if archive.exists():
            with self._step("system from the cache"):
                root.mkdir()
                run(["tar", "--zstd", "--numeric-owner", "-xpf", archive, "-C", root], os.environ)
            return
        with self._step("system"):
            make_system(definition, root, scratch / "wheels")
        with self._step("system into the cache"):
            half_made = scratch / "system.tar.zst"
            run(["tar", "--zstd", "--numeric-owner", "-cpf", half_made, "-C", root, "."], os.environ)
            half_made.rename(archive)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        since = time.monotonic()
        yield
        self.say(f"{name}: {time.monotonic() - since:.0f} s")


def _add_files(definition: Definition, root: Path) -> None:
    _copy(definition.files, root)
    _copy(GUEST, root / GUEST_INSIDE)
    compile_python(root, f"/{GUEST_INSIDE}")
    run_in(root, "systemctl", "mask", *definition.masked)
    own = sorted(file.name for file in (definition.files / "etc" / "systemd" / "system").glob("*.service"))
    run_in(root, "systemctl", "enable", "systemd-networkd.service", *own)
    run_in(root, "update-initramfs", "-u")
    # Every instance makes its own at its first boot.
    (root / "etc" / "machine-id").write_text("")


def _copy(tree: Path, to: Path) -> None:
    """Files and their modes, owned by root whoever owns the tree."""
    for file in programs_and_data(tree):
        target = to / file.relative_to(tree)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One build at a time: another one would make the same thing again."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
