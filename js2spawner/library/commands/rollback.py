"""`js2 image rollback`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.library import promoting
from js2spawner.library.commands import common, in_cloud
from js2spawner.library.signing import KeyFileError


@click.command()
@common.name
@common.builds_option
@common.cloud_options
@in_cloud.keys_option
@common.json_option
def rollback(
    name: str,
    builds: Path,
    cloud: str,
    region: str | None,
    clouds_yaml: Path | None,
    keys_file: Path | None,
    as_json: bool,
) -> None:
    """Withdraw the current version of NAME: starts get the one promoted before it.

    Called again it goes back one more step. `js2 image promote NAME BUILD` brings a withdrawn version back.
    """
    try:
        keys = in_cloud.trusted_keys(keys_file, builds)
    except KeyFileError as problem:
        raise click.ClickException(str(problem)) from None
    where = in_cloud.Where(cloud, region, clouds_yaml)
    left, back = where.ask(lambda there: promoting.rollback(there, name, keys, datetime.now(UTC)))
    answer = {"image": name, "withdrawn": left.build, "build": back.build, "cloud_image": back.image.id}
    line = f"{name} {left.build} is withdrawn; starts get {back.build} ({back.image.id}) from now on."
    common.answer(answer, as_json, [line])
