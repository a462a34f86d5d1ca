"""`js2 home snapshot`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.common import HomeRefused
from js2spawner.home_copies import ON_REQUEST, Snapshot
from js2spawner.homes import Home, meaning


@click.command()
@common.home_options
@common.hub_options
@common.json_option
def snapshot(
    wanted: common.Wanted,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Copy the home of USER inside the cloud, now. Such a copy stays until the home is deleted."""
    home, made = common.ask(hub, lambda regions: _take(regions, wanted))
    state = (
        "" if made.clean else " The home was in use: the copy is what a power cut would have left, which mends itself."
    )
    said = f"Snapshot {made.id} of the home of {wanted.user} is made.{state}"
    common.answer(common.home_as_json(home, [made]), as_json, [said])


async def _take(regions: Mapping[str, HomesInCloud], wanted: common.Wanted) -> tuple[Home, Snapshot]:
    home = await common.the_home(regions, wanted)
    there = regions[home.region]
    made = await take(there, home, ON_REQUEST)
    return home, made


async def take(there: HomesInCloud, home: Home, taken: str) -> Snapshot:
    """A finished snapshot of a home. Raises HomeRefused, CloudError."""
    if home.kind == "share":
        raise HomeRefused(f"the home of {home.user} is a share; only volumes are copied.")
    if meaning(home) not in ("ready", "used"):
        raise HomeRefused(f"the home of {home.user} cannot be copied now: the cloud shows it as {home.status}.")
    asked = await there.snapshot(home, taken=taken, clean=meaning(home) == "ready")
    made = await there.snapshot_settled(asked, common.SETTLE_S)
    if made.status != "available":
        raise HomeRefused(f"the cloud did not make the snapshot: it shows {made.id} as {made.status}.")
    return made


def chosen(snapshots: list[Snapshot], snapshot_id: str, home: Home) -> Snapshot:
    """The finished snapshot of that id, or the "latest". Raises HomeRefused."""
    good = [each for each in snapshots if each.status == "available"]
    if snapshot_id == "latest" and good:
        return good[0]
    for each in good:
        if each.id == snapshot_id:
            return each
    known = ", ".join(each.id for each in good) or "none"
    raise HomeRefused(f"there is no snapshot {snapshot_id!r} of the home of {home.user}; there are {known}.")
