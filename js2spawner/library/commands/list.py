"""`js2 image list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.cloud.cloud import Cloud
from js2spawner.library.builds import Build, Builds
from js2spawner.library.commands import common, in_cloud
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.due import age_of, why_due
from js2spawner.library.reading import read_all
from js2spawner.library.signing import KeyFileError
from js2spawner.library.standing import Standing, standing_of
from js2spawner.located_yaml import FileError

_VERSIONS = ("IMAGE", "VERSION", "IN THE CLOUD", "STANDING", "SIGNATURE", "PROMOTED (UTC)", "SIZE", "INSTANCES")
_HEADINGS = ("NAME", "TITLE", "BASE", "LAYERS", "NEWEST BUILD", "AGE", "TESTED", "DUE")


@click.command("list")
@common.library_option
@common.builds_option
@common.cloud_options_with("Show what is published in this entry of clouds.yaml too.", envvar=None)
@in_cloud.keys_option
@common.json_option
def list_(
    library: Path,
    builds: Path,
    cloud: str | None,
    region: str | None,
    clouds_yaml: Path | None,
    keys_file: Path | None,
    as_json: bool,
) -> None:
    """Show the images of the library: what they are made of, the newest build here, and whether one is due.

    With --cloud also the versions that are published there.
    """
    try:
        definitions = read_all(library)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    now, kept = datetime.now(UTC), Builds(builds)
    found = [(definition, kept.newest(definition.name)) for definition in definitions]
    rows = [_HEADINGS, *(_row(definition, newest, now) for definition, newest in found)]
    images = [_as_json(definition, newest, now) for definition, newest in found]
    if cloud is None:
        common.answer({"images": images}, as_json, in_columns(rows))
        return
    where = in_cloud.Where(cloud, region, clouds_yaml)
    versions = _published(where, [definition.name for definition in definitions], keys_file, builds)
    answer = {
        "images": [
            {**image, "versions": [asdict(each) for each in versions[definition.name]]}
            for image, definition in zip(images, definitions, strict=True)
        ]
    }
    there = [_VERSIONS, *(_version_row(name, each) for name, some in versions.items() for each in some)]
    common.answer(answer, as_json, [*in_columns(rows), "", *in_columns(there)])


def _published(
    where: in_cloud.Where, names: Sequence[str], keys_file: Path | None, builds: Path
) -> Mapping[str, list[Standing]]:
    try:
        keys = in_cloud.trusted_keys_if_any(keys_file, builds)
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error

    async def ask(cloud: Cloud) -> dict[str, list[Standing]]:
        return {name: await standing_of(cloud, name, keys) for name in names}

    return where.ask(ask)


def _version_row(name: str, version: Standing) -> tuple[str, ...]:
    return (
        name,
        version.build or "-",
        version.id,
        version.standing or "-",
        f"{version.signature}, untested" if version.untested else version.signature,
        version.promoted_at[:16].replace("T", " ") or "-",
        f"{version.size_bytes / 1e6:.0f} MB",
        str(version.instances),
    )


def _as_json(definition: Definition, newest: Build | None, now: datetime) -> dict[str, object]:
    build = newest and {
        "id": newest.id,
        "at": newest.at,
        "age_s": round((now - newest.began).total_seconds()),
        "disk_bytes": newest.disk_bytes,
        "tested": None if newest.boot is None else newest.boot.passed,
    }
    return {
        "name": definition.name,
        "title": definition.title,
        "owner": definition.owner,
        "base": _base(definition),
        "layers": [layer.name for layer in definition.layers],
        "definition": definition.key,
        "rebuild_after_days": definition.rebuild_after_days,
        "newest_build": build,
        "due": why_due(definition, newest, now),
    }


def _row(definition: Definition, newest: Build | None, now: datetime) -> tuple[str, ...]:
    tested = "-" if newest is None or newest.boot is None else "passed" if newest.boot.passed else "failed"
    return (
        definition.name,
        definition.title,
        _base(definition),
        " + ".join(layer.name for layer in definition.layers),
        newest.id if newest else "-",
        age_of(newest, now) if newest else "-",
        tested,
        why_due(definition, newest, now) or "no",
    )


def _base(definition: Definition) -> str:
    base = definition.base
    return f"cloud: {base.image}" if isinstance(base, Derived) else f"debian: {base.suite}"


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text under each other, each column as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
