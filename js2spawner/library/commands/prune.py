"""`js2 image prune`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.cloud.cloud import Cloud
from js2spawner.library.builds import Builds
from js2spawner.library.commands import common, in_cloud
from js2spawner.library.pruning import Fate, Pruner
from js2spawner.library.signing import KeyFileError


@click.command()
@common.name
@common.builds_option
@common.cloud_options
@in_cloud.keys_option
@in_cloud.keep_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@common.json_option
def prune(
    name: str,
    builds: Path,
    cloud: str,
    region: str | None,
    clouds_yaml: Path | None,
    keys_file: Path | None,
    keep: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Delete old versions of NAME that no instance uses, uploads that were never finished, and old builds here.

    The current version and those promoted before it stay, as many as --keep says, and so does what is newer.
    """
    try:
        keys = in_cloud.trusted_keys(keys_file, builds)
    except KeyFileError as problem:
        raise click.ClickException(str(problem)) from None
    where, kept = in_cloud.Where(cloud, region, clouds_yaml), Builds(builds)

    async def both(there: Cloud) -> tuple[list[Fate], list[Fate]]:
        pruner = Pruner(there, kept, keys, keep, dry_run)
        with kept.alone(f"publication of {name}"):
            return await pruner.in_cloud(name, datetime.now(UTC)), await pruner.here(name)

    there, here = where.ask(both)
    answer = {
        "image": name,
        "dry_run": dry_run,
        "cloud": [asdict(fate) for fate in there],
        "here": [asdict(fate) for fate in here],
    }
    lines = [_line(name, fate, f"{cloud} ({fate.id})", dry_run) for fate in there]
    lines += [_line(name, fate, "this machine", dry_run) for fate in here]
    common.answer(answer, as_json, lines or [f"There is no version of {name} in {cloud}, and no build here."])


def _line(name: str, fate: Fate, place: str, dry_run: bool) -> str:
    word = ("would go" if dry_run else "deleted") if fate.delete else "stays"
    return f"{word}: {name} {fate.build or '(no build named)'} in {place}: {fate.why}."
