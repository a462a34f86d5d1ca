"""`js2 image publish`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from js2spawner.library import properties as named
from js2spawner.library.builds import Builds
from js2spawner.library.commands import common, in_cloud
from js2spawner.library.converting import CannotPublish, DiskFormat
from js2spawner.library.reading import read
from js2spawner.library.releasing import Publisher, Terms, chosen_build
from js2spawner.library.signing import KeyFileError
from js2spawner.located_yaml import FileError

_HOW = {
    "uploaded": "uploaded and signed",
    "finished": "an earlier upload was finished and signed",
    "was there": "was published already",
    "signed": "signed where it lies",
}


@click.command()
@common.name
@click.argument("build", required=False)
@common.library_option
@common.builds_option
@common.cloud_options
@in_cloud.publication_options
@click.option("--promote", is_flag=True, help="Make it the version that starts get, in the same step as the signature.")
@click.option(
    "--untested", is_flag=True, help="Publish a build whose boot test is missing, failed, or not of today's definition."
)
@common.json_option
def publish(
    name: str,
    build: str | None,
    library: Path,
    builds: Path,
    cloud: str,
    region: str | None,
    clouds_yaml: Path | None,
    visibility: str,
    disk_format: DiskFormat,
    key_file: Path | None,
    promote: bool,
    untested: bool,
    as_json: bool,
) -> None:
    """Upload a tested build of NAME (the newest, or BUILD) and sign it.

    Starts get it once it is promoted. An interrupted upload is found by the next call, and finished or removed.
    """
    kept, terms = Builds(builds), Terms(visibility, disk_format, untested, promote)
    try:
        definition = read(library, name)
        chosen = chosen_build(kept, name, build)
        key = in_cloud.signing_key(key_file, builds, common.progress)
    except (FileError, CannotPublish, KeyFileError) as problem:
        raise click.ClickException(str(problem)) from None
    where = in_cloud.Where(cloud, region, clouds_yaml)
    with common.ending_in_order():
        done = where.ask(lambda there: Publisher(there, kept, key, common.progress).release(definition, chosen, terms))
    promoted = promote or named.PROMOTED_AT in done.image.properties
    answer = {
        "image": name,
        "build": chosen.id,
        "cloud_image": done.image.id,
        "how": done.how,
        "promoted": promoted,
        "terms": asdict(terms),
    }
    state = "promoted" if promoted else f"not promoted yet: js2 image promote {name}"
    common.answer(answer, as_json, [f"{name} {chosen.id}: {_HOW[done.how]} ({done.image.id}); {state}."])
