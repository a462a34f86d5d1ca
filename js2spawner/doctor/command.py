"""`js2 doctor`, the command."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from js2spawner.doctor.findings import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Examine the demo in this directory.",
)
@click.option(
    "--clouds", metavar="FILE", help="The clouds.yaml. Default: JS2_CLOUDS_YAML, else where OpenStack's tools look."
)
@click.option("--cloud", metavar="NAME", help="Examine only this cloud of clouds.yaml.")
@click.option("--catalog", metavar="FILE", help="The catalog. Default: JS2_CATALOG.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of lines.")
def doctor(directory: Path | None, clouds: str | None, cloud: str | None, catalog: str | None, as_json: bool) -> None:
    """Check a machine, a cloud and a catalog before a hub uses them.

    What no option says is taken from the hub's own settings in the environment. Changes nothing. The exit code is 1
    when something would keep every user from an instance.
    """
    from js2spawner.doctor.examination import examine
    from js2spawner.doctor.findings import any_fails
    from js2spawner.doctor.subject import subject_from

    # What the cloud room logs, the findings say.
    logging.getLogger("js2spawner").addHandler(logging.NullHandler())
    environment = os.environ if directory is None else _demo_settings(directory)
    findings = examine(subject_from(environment, clouds=clouds, cloud=cloud, catalog=catalog))
    if as_json:
        click.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        _show(findings)
    sys.exit(1 if any_fails(findings) else 0)


def _demo_settings(directory: Path) -> Mapping[str, str]:
    import js2spawner
    from js2spawner.demo.directory import read_settings
    from js2spawner.demo.plan import Files, hub_environment
    from js2spawner.demo.settings import DemoError

    files = Files(directory.resolve())
    try:
        settings = read_settings(files)
    except DemoError as problem:
        raise click.ClickException(str(problem)) from None
    if settings is None:
        raise click.ClickException(f"{directory} holds no demo; js2 demo --dir {directory} makes one.")
    return hub_environment(settings, files, Path(js2spawner.__file__).resolve().parent.parent)


def _show(findings: Iterable[Finding]) -> None:
    for finding in findings:
        level = click.style(f"{finding.level:<4}", fg=_COLOURS[finding.level], bold=True)
        click.echo(f"{level}  {finding.about}: {finding.sentence}")
        if finding.remedy:
            click.echo(f"      → {finding.remedy}")
