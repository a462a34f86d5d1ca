"""`js2 image build`: images from their definitions, on this machine or, for derived ones, in a cloud."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from js2spawner.library import reading
from js2spawner.library.builds import Build, Builds, Busy
from js2spawner.library.commands import common
from js2spawner.library.definition import Definition, Derived
from js2spawner.located_yaml import FileError

if TYPE_CHECKING:
    from js2spawner.library.scratch.comparing import Comparison


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where derived images are built, and how their instances reach us; without a name they are not built."""

    name: str | None
    region: str | None
    clouds_yaml: Path | None
    bind: str
    url: str
    network: str
    flavor: str


@click.command()
@common.names
@common.library_option
@common.builds_option
@click.option("--fresh", is_flag=True, help="Use no archive of layers that an earlier build left.")
@click.option("--compare", is_flag=True, help="Tell in which files the new build differs from the one before it.")
@click.option("--cloud", envvar="OS_CLOUD", help="The entry in clouds.yaml where derived images are built.")
@click.option("--region", help="A region of that cloud (default: the entry's own).")
@click.option("--clouds-yaml", type=click.Path(path_type=Path, dir_okay=False), help="Another clouds.yaml.")
@click.option("--handshake-bind", default="127.0.0.1", show_default=True, help="Where a derived build listens.")
@click.option("--handshake-url", default="", help="How its instance reaches that (default: just there).")
@click.option("--network", default="", help="The network of a derived build (default: auto_allocated_network).")
@click.option("--flavor", default="", help="The flavor of a derived build (default: the definition's smallest).")
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
    handshake_bind: str,
    handshake_url: str,
    network: str,
    flavor: str,
    as_json: bool,
) -> None:
    """Build images from their definitions, and keep them below --builds.

    Without a NAME all are built, those derived from an image of a cloud only if --cloud is given.
    """
    from js2spawner.library.scratch import CannotBuild

    kept = Builds(builds)
    there = Cloud(cloud, region, clouds_yaml, handshake_bind, handshake_url, network, flavor)
    made: list[Made] = []
    try:
        with common.ending_in_order():
            for definition in _wanted(names, library, there):
                made.append(_build(definition, kept, there, fresh=fresh, compare=compare))
    except (FileError, CannotBuild, Busy) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(common.of_file(problem)) from None
    common.answer(
        {"builds": [each.as_json() for each in made]}, as_json, [line for each in made for line in each.told()]
    )


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


def _wanted(names: tuple[str, ...], library: Path, cloud: Cloud) -> list[Definition]:
    found = reading.read_some(library, names)
    derived = [each.name for each in found if isinstance(each.base, Derived)]
    if names and derived and not cloud.name:
        raise click.UsageError(f"{', '.join(derived)} is derived from an image of a cloud; name that with --cloud.")
    return [each for each in found if cloud.name or each.name not in derived]


def _build(definition: Definition, builds: Builds, cloud: Cloud, *, fresh: bool, compare: bool) -> Made:
    def say(line: str) -> None:
        common.progress(f"{definition.name}: {line}")

    if isinstance(definition.base, Derived):
        from js2spawner.cloud.cloud import Cloud as Client
        from js2spawner.library import derived

        # What the cloud room logs, the errors say.
        logging.getLogger("js2spawner").addHandler(logging.NullHandler())
        settings = derived.Settings.of(cloud.bind, cloud.url, cloud.network, cloud.flavor)
        config = str(cloud.clouds_yaml) if cloud.clouds_yaml else None
        client = Client(cloud.name or "", region=cloud.region, config_file=config)
        made = derived.build(definition, builds, client, settings, say)
        return Made(made, builds.place(made), None)
    from js2spawner.library import scratch
    from js2spawner.library.scratch.comparing import compare as compared

    before = builds.newest(definition.name)
    made = scratch.build(definition, builds, say, fresh=fresh)
    return Made(made, builds.place(made), compared(before, made, builds) if compare and before else None)
