"""`js2 home show`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.list import note_of
from js2spawner.home_copies import Snapshot
from js2spawner.homes import Home

_HEADINGS = ("SNAPSHOT", "TAKEN (UTC)", "SIZE", "STATE", "BY", "HOME WAS")


@click.command()
@common.home_options
@common.hub_options
@common.json_option
def show(
    wanted: common.Wanted,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Show the home of USER and its snapshots."""
    home, snapshots = common.ask(hub, lambda regions: _look(regions, wanted))
    common.answer(common.home_as_json(home, snapshots), as_json, _lines(home, snapshots))


async def _look(regions: Mapping[str, HomesInCloud], wanted: common.Wanted) -> tuple[Home, list[Snapshot]]:
    home = await common.the_home(regions, wanted)
    if home.kind == "share":
        return home, []
    return home, await regions[home.region].snapshots_of(home)


def _lines(home: Home, snapshots: list[Snapshot]) -> list[str]:
    used = f"{home.used_gb:.1f} GB used when last looked at" if home.used_gb is not None else "nobody looked yet"
    facts = [
        f"{home.user}: {home.kind} {home.id} in {home.region} ({home.name})",
        f"state      {home.status}" + (f", attached to {', '.join(home.attached_to)}" if home.attached_to else ""),
        f"size       {home.size_gb} GB of at most {home.most_gb or '?'} GB; {used}",
        f"made       {common.moment(home.created)}; last used {common.moment(home.used_at)}",
        f"snapshots  {_schedule(home)}",
    ]
    if note := note_of(home):
        facts.append(f"note       {note}")
    rows = [
        (
            each.id,
            common.moment(each.taken_at),
            f"{each.size_gb} GB",
            each.status,
            each.taken,
            "at rest" if each.clean else "in use",
        )
        for each in snapshots
    ]
    return facts + (["", *common.table(_HEADINGS, rows)] if rows else [])


def _schedule(home: Home) -> str:
    if home.kind == "share":
        return "none: a share is not copied"
    schedule = home.schedule
    return f"every {schedule.every_s / 3600:g} h of use, {schedule.keep} stay" if schedule else "none by themselves"
