"""Whether two builds are the same: file by file by what their records say, and the disks byte by byte."""

from __future__ import annotations

from dataclasses import dataclass

from js2spawner.library.builds import Build, Builds
from js2spawner.library.scratch import manifest
from js2spawner.library.scratch.tools import CannotBuild


@dataclass(frozen=True, slots=True)
class Comparison:
    """`files` has a line for each that differs. Disks may differ where files do not: the boot loader comes last."""

    first: str
    second: str
    files: tuple[str, ...]
    same_disk: bool

    def told(self) -> list[str]:
        disks = "the disks are the same, byte by byte" if self.same_disk else "the disks differ"
        if not self.files:
            return [f"{self.first} and {self.second}: no file differs; {disks}"]
        return [f"{self.first} and {self.second}: {len(self.files)} files differ; {disks}", *self.files]


def compare(first: Build, second: Build, builds: Builds) -> Comparison:
    """Two builds made here, of the same definition or not. Raises CannotBuild if one has no list of files."""
    one, other = (_files(build, builds) for build in (first, second))
    same_disk = first.disk_sha512 == second.disk_sha512
    return Comparison(first.id, second.id, tuple(manifest.differences(one, other)), same_disk)


def _files(build: Build, builds: Builds) -> dict[str, manifest.Entry]:
    try:
        return manifest.read(builds.place(build) / manifest.NAME)
    except (OSError, EOFError, ValueError) as problem:
        raise CannotBuild(f"Build {build.id} of {build.image} has no list of its files to compare: {problem}") from None
