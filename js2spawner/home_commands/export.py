"""`js2 home export`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.common import HomeRefused
from js2spawner.home_commands.exporting import Exported, Exporter, Wish
from js2spawner.home_commands.snapshot import chosen


@click.command()
@common.home_options
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--snapshot", "snapshot_id", metavar="ID", help="This snapshot (or “latest”), not the home as it is now.")
@click.option(
    "--format",
    "disk_format",
    type=click.Choice(["qcow2", "raw"]),
    default="qcow2",
    show_default=True,
    help="How the disk is written.",
)
@click.option("--discard", is_flag=True, help="Delete what an export that was broken off has left in the cloud.")
@common.hub_options
@common.json_option
def export(
    wanted: common.Wanted,
    file: Path,
    snapshot_id: str | None,
    disk_format: str,
    discard: bool,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Copy the home of USER to FILE, a disk image with one ext4 file system.

    It needs room in the cloud for a copy of the home, twice for a while. Broken off, the same command goes on.
    """
    wish = Wish(file, disk_format, snapshot_id)
    if discard:
        left = common.ask(hub, lambda regions: _discard(regions, wanted, wish))
        nothing = f"There was nothing to delete: no export of the home of {wanted.user} has left anything."
        common.answer({"deleted": left}, as_json, [f"Deleted {each}." for each in left] or [nothing])
        return
    try:
        done = common.ask(hub, lambda regions: _export(regions, wanted, wish))
    except (KeyboardInterrupt, click.Abort):
        common.progress("Broken off. The same command goes on; with --discard it deletes what is left in the cloud.")
        raise
    common.answer(_as_json(done, disk_format), as_json, _told(done, wanted, disk_format))


async def _export(regions: Mapping[str, HomesInCloud], wanted: common.Wanted, wish: Wish) -> Exported:
    if wish.file.exists():
        raise HomeRefused(f"{wish.file} is there already; name another file.")
    home = await common.the_home(regions, wanted)
    there = regions[home.region]
    if wish.snapshot_id is not None:
        wish = replace(wish, snapshot_id=chosen(await there.snapshots_of(home), wish.snapshot_id, home).id)
    return await Exporter(there, home, wish, common.progress).run()


async def _discard(regions: Mapping[str, HomesInCloud], wanted: common.Wanted, wish: Wish) -> list[str]:
    home = await common.the_home(regions, wanted)
    return await Exporter(regions[home.region], home, wish, common.progress).discard()


def _told(done: Exported, wanted: common.Wanted, disk_format: str) -> list[str]:
    when = f"as it was on {common.moment(done.copied_at)} UTC"
    size = f"{done.size_bytes / 1e6:,.0f} MB, {disk_format}"
    compared = f"compared by {done.hash_algorithm}" if done.hash_algorithm else "compared by size alone"
    return [f"{done.file} holds the home of {wanted.user} {when}: {size}, {compared}."]


def _as_json(done: Exported, disk_format: str) -> dict[str, object]:
    return {
        "file": str(done.file),
        "bytes": done.size_bytes,
        "format": disk_format,
        "copied_at": common.moment(done.copied_at),
        "hash_algorithm": done.hash_algorithm or None,
        "hash": done.hash_value or None,
    }
