"""`js2 image list`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.library.builds import Build, Builds
from js2spawner.library.commands import common
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.due import age_of, why_due
from js2spawner.library.reading import read_all
from js2spawner.located_yaml import FileError

_HEADINGS = ("NAME", "TITLE", "BASE", "LAYERS", "NEWEST BUILD", "AGE", "TESTED", "DUE")


@click.command("list")
@common.library_option
@common.builds_option
@common.json_option
def list_(library: Path, builds: Path, as_json: bool) -> None:
    """Show the images of the library: what they are made of, the newest build here, and whether one is due."""
    try:
        definitions = read_all(library)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    now, kept = datetime.now(UTC), Builds(builds)
    found = [(definition, kept.newest(definition.name)) for definition in definitions]
    rows = [_HEADINGS, *(_row(definition, newest, now) for definition, newest in found)]
    images = [_as_json(definition, newest, now) for definition, newest in found]
    common.answer({"images": images}, as_json, in_columns(rows))


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
