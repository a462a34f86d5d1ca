"""`js2 image build`: images from their definitions, on this machine or, for derived ones, in a cloud."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from js2spawner.library import reading
from js2spawner.library.builds import Build, Builds, Busy
from js2spawner.library.commands import common, deriving, in_cloud
from js2spawner.library.definition import Definition, Derived
from js2spawner.located_yaml import FileError

if TYPE_CHECKING:
    from js2spawner.library.scratch.comparing import Comparison


@click.command()
@common.names
@common.library_option
@common.builds_option
@click.option("--fresh", is_flag=True, help="Use no archive of layers that an earlier build left.")
@click.option("--compare", is_flag=True, help="Tell in which files the new build differs from the one before it.")
@common.cloud_options_with("The entry in clouds.yaml where derived images are built.")
@deriving.handshake_options
@common.json_option
def build(
    names: tuple[str, ...],
    library: Path,
    builds: Path,
    fresh: bool,
    compare: bool,
    cloud: str | None,
    region: str | None,
    clouds_yaml: Path | None,
    handshake: deriving.Handshake,
    as_json: bool,
) -> None:
    """Build images from their definitions, and keep them below --builds.

    Without a NAME all are built, those derived from an image of a cloud only if --cloud is given. One that fails is
    the last, and those before it are told.
    """
    shop = Shop(Builds(builds), in_cloud.Where(cloud, region, clouds_yaml) if cloud else None, handshake)
    try:
        wanted = shop.wanted(names, library)
    except (FileError, OSError) as problem:
        raise click.ClickException(_told(problem)) from None
    with common.ending_in_order():
        made, failures = _all(shop, wanted, fresh=fresh, compare=compare)
    answer: dict[str, object] = {"builds": [each.as_json() for each in made]}
    if failures:
        answer["failures"] = [{"image": name, "why": why} for name, why in failures.items()]
    if made or as_json:
        common.answer(answer, as_json, [line for each in made for line in each.told()])
    for why in failures.values():
        raise click.ClickException(why)


def _all(shop: Shop, wanted: list[Definition], *, fresh: bool, compare: bool) -> tuple[list[Made], dict[str, str]]:
    """What was made before one failed, and why that did, by its name."""
    from js2spawner.library.scratch import CannotBuild

    made: list[Made] = []
    for definition in wanted:
        try:
            made.append(shop.build(definition, fresh=fresh, compare=compare))
        except (CannotBuild, Busy, OSError) as problem:
            return made, {definition.name: _told(problem)}
    return made, {}


def _told(problem: Exception) -> str:
    return common.of_file(problem) if isinstance(problem, OSError) else str(problem)


@dataclass(frozen=True, slots=True)
class Made:
    """One build, where it lies, and how it differs from the one before it, if that was asked."""

    build: Build
    folder: Path
    compared: Comparison | None

    def as_json(self) -> dict[str, object]:
        answer = {**asdict(self.build), "folder": str(self.folder)}
        return answer if self.compared is None else {**answer, "compared": asdict(self.compared)}

    def told(self) -> list[str]:
        build = self.build
        where = f"in {self.folder}" if build.kind == "scratch" else f"in {build.cloud} as {build.cloud_image}"
        size = f"{build.disk_bytes / 1e6:.0f} MB, " if build.disk_bytes else ""
        line = (
            f"{build.image} {build.id}: {size}{build.packages} packages, {sum(build.seconds.values()):.0f} s, {where}"
        )
        return [line, *(self.compared.told() if self.compared else ())]


@dataclass(frozen=True, slots=True)
class Shop:
    """Where builds are made: here, and derived ones in a cloud; without one they are not."""

    builds: Builds
    where: in_cloud.Where | None
    handshake: deriving.Handshake

    def wanted(self, names: tuple[str, ...], library: Path) -> list[Definition]:
        found = reading.read_some(library, names)
        derived = [each.name for each in found if isinstance(each.base, Derived)]
        if names and derived and not self.where:
            raise click.UsageError(f"{', '.join(derived)} is derived from an image of a cloud; name that with --cloud.")
        return [each for each in found if self.where or each.name not in derived]

    def build(self, definition: Definition, *, fresh: bool, compare: bool) -> Made:
        def say(line: str) -> None:
            common.progress(f"{definition.name}: {line}")

        if self.where is not None and isinstance(definition.base, Derived):
            made = deriving.build(definition, self.builds, self.where, self.handshake, say)
            return Made(made, self.builds.place(made), None)
        from js2spawner.library import scratch
        from js2spawner.library.scratch.comparing import compare as compared

        before = self.builds.newest(definition.name)
        made = scratch.build(definition, self.builds, say, fresh=fresh)
        differing = compared(before, made, self.builds) if compare and before else None
        return Made(made, self.builds.place(made), differing)
