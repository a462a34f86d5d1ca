"""`js2 image promote`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from js2spawner.library import promoting
from js2spawner.library.commands import common, in_cloud
from js2spawner.library.signing import KeyFileError


@click.command()
@common.name
@click.argument("build", required=False)
@common.builds_option
@common.cloud_options
@in_cloud.keys_option
@common.json_option
def promote(
    name: str,
    build: str | None,
    builds: Path,
    cloud: str,
    region: str | None,
    clouds_yaml: Path | None,
    keys_file: Path | None,
    as_json: bool,
) -> None:
    """Make a published version of NAME (the newest, or that of BUILD) the one that starts get.

    Instances that run, and starts that are under way, keep the version they have.
    """
    try:
        keys = in_cloud.trusted_keys(keys_file, builds)
    except KeyFileError as problem:
        raise click.ClickException(str(problem)) from None
    where = in_cloud.Where(cloud, region, clouds_yaml)
    version, moved = where.ask(lambda there: promoting.promote(there, name, build, keys, datetime.now(UTC)))
    answer = {"image": name, "build": version.build, "cloud_image": version.image.id, "changed": moved}
    told = "is what starts get from now on" if moved else "was the current version already"
    common.answer(answer, as_json, [f"{name} {version.build} ({version.image.id}) {told}."])
