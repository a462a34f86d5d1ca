"""`js2 image rebuild`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError
from js2spawner.library import promoting, reading, rebuilding
from js2spawner.library.builds import DISK, Build, Builds, Busy
from js2spawner.library.commands import common, deriving, in_cloud
from js2spawner.library.converting import CannotPublish, DiskFormat
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.pruning import Pruner
from js2spawner.library.published import Version
from js2spawner.library.rebuilding import Outcome
from js2spawner.library.releasing import Publisher, Terms
from js2spawner.library.signing import NO_KEYS, KeyFileError, SigningKey
from js2spawner.located_yaml import FileError


@dataclass(frozen=True, slots=True)
class Tools:
    """The steps of a rebuild with this machine's builders and one cloud."""

    builds: Builds
    where: in_cloud.Where
    key: SigningKey | None
    terms: Terms
    keep: int
    handshake: deriving.Handshake

    def versions(self, name: str) -> Sequence[Version]:
        keys = self.key.keys if self.key else NO_KEYS
        return self.where.run(lambda cloud: promoting.own_versions(cloud, name, keys))

    def build(self, definition: Definition) -> Build:
        if not isinstance(definition.base, Derived):
            from js2spawner.library import scratch

            return scratch.build(definition, self.builds, common.progress)
        from js2spawner.library import derived

        try:
            return deriving.build(definition, self.builds, self.where, self.handshake, common.progress)
        except derived.Interrupted as end:
            # Whoever ends the rebuild means all of it, and not this image alone.
            common.progress(str(end))
            raise KeyboardInterrupt from None

    def test(self, definition: Definition, build: Build) -> Build:
        if build.kind == "derived":
            # It boots only where it lies, and was tried there when it was built.
            return build
        from js2spawner.library import boot

        with self.builds.alone(f"test of {build.image}"):
            report = boot.test(definition, self.builds.place(build) / DISK, say=common.progress, times=1)
            tested = replace(build, boot=report)
            self.builds.save(tested)
        return tested

    def publish(self, definition: Definition, build: Build) -> str:
        terms, key = replace(self.terms, promote=True), self._key()
        done = self.where.run(
            lambda cloud: Publisher(cloud, self.builds, key, common.progress).release(definition, build, terms)
        )
        return done.image.id

    def prune(self, name: str) -> int:
        keys = self._key().keys

        async def both(cloud: Cloud) -> int:
            pruner = Pruner(cloud, self.builds, keys, self.keep)
            with self.builds.alone(f"publication of {name}"):
                fates = [*await pruner.in_cloud(name, datetime.now(UTC)), *await pruner.here(name)]
            return sum(fate.delete for fate in fates)

        return self.where.run(both)

    def _key(self) -> SigningKey:
        assert self.key is not None  # only a dry run has none, and it takes no step
        return self.key


@click.command()
@common.names
@common.library_option
@common.builds_option
@common.cloud_options
@in_cloud.publication_options
@in_cloud.keep_option
@deriving.handshake_options
@click.option("--dry-run", is_flag=True, help="Only say what is due.")
@common.json_option
def rebuild(
    names: tuple[str, ...],
    library: Path,
    builds: Path,
    cloud: str,
    region: str | None,
    clouds_yaml: Path | None,
    visibility: str,
    disk_format: DiskFormat,
    key_file: Path | None,
    keep: int,
    handshake: deriving.Handshake,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build, boot, publish and promote every image that is due (all unless named), and prune what is old.

    Due is what was never published, whose definition changed, or whose newest version is older than its definition
    lets it become. An image that fails is told, and the others go on; then it ends with 1. Fit for a timer.
    """
    try:
        definitions, outcomes = _definitions(library, names)
        key = _key(key_file, builds, dry_run)
    except KeyFileError as problem:
        raise click.ClickException(str(problem)) from None
    tools = Tools(
        Builds(builds),
        in_cloud.Where(cloud, region, clouds_yaml),
        key,
        Terms(visibility, disk_format),
        keep,
        handshake,
    )
    with common.ending_in_order():
        outcomes += rebuilding.rebuild(
            definitions,
            tools.builds,
            tools,
            lambda: datetime.now(UTC),
            say=common.progress,
            problems=_problems(),
            told=in_cloud.told,
            dry_run=dry_run,
        )
    answer = {"dry_run": dry_run, "images": [asdict(outcome) for outcome in outcomes]}
    common.answer(answer, as_json, [_line(outcome, dry_run) for outcome in outcomes])
    if any(outcome.failure for outcome in outcomes):
        raise click.exceptions.Exit(1)


def _definitions(library: Path, names: Sequence[str]) -> tuple[list[Definition], list[Outcome]]:
    """The definitions, and what is wrong with those that cannot be read: the others have their turn."""
    definitions: list[Definition] = []
    broken: list[Outcome] = []
    for name in names or reading.names(library):
        try:
            definitions.append(reading.read(library, name))
        except FileError as error:
            broken.append(Outcome(name, failure=" ".join(error.mistakes)))
    return definitions, broken


def _key(key_file: Path | None, builds: Path, dry_run: bool) -> SigningKey | None:
    """The key that signs; a dry run makes none."""
    if dry_run and key_file is None and not (builds / in_cloud.KEY_FILE).exists():
        return None
    return in_cloud.signing_key(key_file, builds, common.progress)


def _problems() -> tuple[type[Exception], ...]:
    """What ends the work on one image and not on the others."""
    from js2spawner.library.boot import CannotTest
    from js2spawner.library.scratch import CannotBuild

    return CannotBuild, CannotTest, CannotPublish, CloudError, Busy, OSError


def _line(outcome: Outcome, dry_run: bool) -> str:
    if outcome.failure:
        return f"{outcome.image}: FAILED: {outcome.failure}"
    if not outcome.due:
        return f"{outcome.image}: not due{f' ({outcome.note})' if outcome.note else ''}."
    if dry_run:
        return f"{outcome.image}: due: {outcome.due}."
    there = f"{outcome.build} ({outcome.cloud_image})"
    return f"{outcome.image}: {there} is what starts get; old versions and builds deleted: {outcome.pruned}."
