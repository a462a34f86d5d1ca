"""`js2 image check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from js2spawner.library.commands import common
from js2spawner.library.reading import read_some
from js2spawner.located_yaml import FileError


@click.command("check")
@common.names
@common.library_option
@common.json_option
def check(names: tuple[str, ...], library: Path, as_json: bool) -> None:
    """Check definitions (all unless named) and everything they name: locks, notebooks, files.

    Every mistake is one line: file, line, what is wrong, what to do. Ends with 1 if there is any.
    """
    try:
        found = [definition.name for definition in read_some(library, names)]
    except FileError as error:
        if as_json:
            click.echo(json.dumps({"images": [], "mistakes": list(error.mistakes)}))
        else:
            click.echo("\n".join(error.mistakes), err=True)
        sys.exit(1)
    common.answer({"images": found, "mistakes": []}, as_json, [f"No mistake in {', '.join(found)}."])
