"""`js2 home list`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_copies import Snapshot
from js2spawner.homes import CURRENT, Home

_HEADINGS = ("USER", "REGION", "KIND", "SIZE", "USED", "STATE", "LAST USED (UTC)", "SNAPSHOTS", "ID", "NOTE")
Snapshots = Mapping[str, Sequence[Snapshot]]


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were replaced or are being restored.")
@click.option("--region", metavar="NAME", help="Only this region of the catalog.")
@common.hub_options
@common.json_option
def list_(
    everything: bool,
    region: str | None,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Show all homes: whose, where, how large, how full, in which state."""
    homes, snapshots = common.ask(hub, lambda regions: _look(regions, region))
    shown = [home for home in homes if everything or home.role == CURRENT]
    rows = [_row(home, snapshots[home.id]) for home in shown]
    lines = common.table(_HEADINGS, rows) if rows else ["This hub has no homes yet."]
    common.answer([common.home_as_json(home, snapshots[home.id]) for home in shown], as_json, lines)


async def _look(regions: Mapping[str, HomesInCloud], only: str | None) -> tuple[list[Home], Snapshots]:
    homes = await common.everybodys(regions, only)
    with_volumes = [regions[name] for name in {home.region for home in homes if home.kind == "volume"}]
    snapshots: defaultdict[str, list[Snapshot]] = defaultdict(list)
    for found in await asyncio.gather(*(there.snapshots() for there in with_volumes)):
        for each in found:
            snapshots[each.home_id].append(each)
    return homes, snapshots


def _row(home: Home, snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    used = f"{home.used_gb:.1f} GB" if home.used_gb is not None else "–"
    return (
        home.user or "?",
        home.region,
        home.kind,
        f"{home.size_gb} GB",
        used,
        home.status,
        common.moment(home.used_at),
        str(len(snapshots)),
        home.id,
        note_of(home),
    )


def note_of(home: Home) -> str:
    """What is to be known of it beyond its figures."""
    notes = {"old": "replaced", "restoring": "being restored"}.get(home.role, "")
    ends = f"to be deleted after {common.moment(home.delete_at)}" if home.delete_at else ""
    return ", ".join(filter(None, (notes, ends)))
