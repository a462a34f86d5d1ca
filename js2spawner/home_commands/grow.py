"""`js2 home grow`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import BadRequest, Conflict, QuotaExceeded
from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.common import HomeRefused
from js2spawner.homes import Home, meaning


@click.command()
@common.home_options
@click.argument("size_gb", metavar="GB", type=click.IntRange(min=1))
@common.hub_options
@common.json_option
def grow(
    wanted: common.Wanted,
    size_gb: int,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Make the home of USER as large as GB, up to what its profile allows (`most_gb`)."""
    before, after = common.ask(hub, lambda regions: _grow(regions, wanted, size_gb, hub.catalog))
    said = f"The home of {wanted.user} has grown from {before.size_gb} to {after.size_gb} GB. {_when(before)}"
    common.answer(common.home_as_json(after, None), as_json, [said])


async def _grow(
    regions: Mapping[str, HomesInCloud], wanted: common.Wanted, size_gb: int, catalog: Catalog
) -> tuple[Home, Home]:
    home = await common.the_home(regions, wanted)
    there = regions[home.region]
    most_gb = max(home.most_gb, *(p.home.most_gb for p in catalog.profiles if p.home.kind == home.kind), 0)
    if size_gb <= home.size_gb:
        raise HomeRefused(f"the home of {home.user} has {home.size_gb} GB already; homes only grow.")
    if size_gb > most_gb:
        raise HomeRefused(f"homes may have {most_gb} GB at most; change most_gb in the catalog first.")
    if meaning(home) not in ("ready", "used"):
        raise HomeRefused(f"the home of {home.user} cannot grow now: the cloud shows it as {home.status}.")
    try:
        await there.grow(home, size_gb)
    except QuotaExceeded as problem:
        raise HomeRefused(f"the allocation has no room for that: {problem.detail}") from None
    except (BadRequest, Conflict) as problem:
        if meaning(home) != "used":
            raise
        stop = "this cloud does not grow a home that is attached: stop the server first, then try again"
        raise HomeRefused(f"{stop} ({problem.detail}).") from None
    after = await there.until_settled(await there.get(home.kind, home.id), common.SETTLE_S)
    if after.size_gb < size_gb or meaning(after) == "broken":
        raise HomeRefused(f"the cloud did not grow the home: it shows {after.status}, {after.size_gb} GB.")
    return home, after


def _when(home: Home) -> str:
    if home.kind == "share":
        return "There is more room at once."
    return "Its file system follows when the server starts the next time."
