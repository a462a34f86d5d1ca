"""`js2 home restore`."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.common import HomeRefused
from js2spawner.home_commands.snapshot import chosen
from js2spawner.homes import (
    COMING,
    CURRENT,
    DELETE_AT,
    OLD,
    ROLE,
    Home,
    meaning,
    restored_metadata,
    text_of,
)


@click.command()
@common.home_options
@click.option("--snapshot", "snapshot_id", metavar="ID", help="This snapshot, or “latest”.")
@common.hub_options
@common.json_option
def restore(
    wanted: common.Wanted,
    snapshot_id: str | None,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Put a snapshot in the place of the home of USER; without --snapshot, take back a deletion or a replacement.

    What was the home until then is kept for its grace time, and can be had back in the same way.
    """
    if snapshot_id is None:
        home = common.ask(hub, lambda regions: _take_back(regions, wanted))
        said = [f"{home.kind} {home.id} is the home of {wanted.user}, and is not going to be deleted."]
    else:
        home = common.ask(hub, lambda regions: from_snapshot(regions, wanted, snapshot_id))
        said = [
            f"Volume {home.id}, made from the snapshot, is the home of {wanted.user} now.",
            "What was the home until then is kept for its grace time, and so are the snapshots taken of it.",
        ]
    common.answer(common.home_as_json(home, None), as_json, said)


async def _take_back(regions: Mapping[str, HomesInCloud], wanted: common.Wanted) -> Home:
    """The home, or the one that `--id` names, as the home that stays."""
    homes = await common.everybodys(regions, wanted.region)
    mine = [home for home in homes if home.user == wanted.user and home.role in (CURRENT, OLD)]
    named = [home for home in mine if home.id == wanted.home_id] if wanted.home_id else []
    chosen = named or ([] if wanted.home_id else [h for h in mine if h.role == CURRENT] or mine)
    if len(chosen) != 1:
        home = await common.the_home(regions, wanted)  # says what is wrong
        chosen = [home]
    home = chosen[0]
    there = regions[home.region]
    if home.role == CURRENT:
        if home.delete_at is None:
            raise HomeRefused(f"the home of {home.user} is not going to be deleted; --snapshot names what to restore.")
        await there.rescue(home)
        return await there.get(home.kind, home.id)
    same = [each for each in mine if each.role == CURRENT and each.user_id == home.user_id and each.kind == home.kind]
    await _replace(there, home, same[0] if same else None)
    return await there.get(home.kind, home.id)


async def from_snapshot(regions: Mapping[str, HomesInCloud], wanted: common.Wanted, snapshot_id: str) -> Home:
    """A volume made from the snapshot, in the home's place. Begun before and broken off, it is finished.

    Raises HomeRefused, CloudError.
    """
    home = await common.the_home(regions, wanted)
    there = regions[home.region]
    if home.kind == "share":
        raise HomeRefused(f"the home of {home.user} is a share; there are no snapshots of it.")
    _refuse_used(home)
    snapshot = chosen(await there.snapshots_of(home), snapshot_id, home)
    begun = [
        each
        for each in await there.of_kind("volume")
        if (each.role, each.user_id, each.snapshot_id) == (COMING, home.user_id, snapshot.id)
    ]
    fresh = begun[0] if begun else await there.create_from(snapshot, home, restored_metadata(home, there.hub_id))
    common.progress(f"Volume {fresh.id} is being made from the snapshot of {common.moment(snapshot.taken_at)}.")
    fresh = await there.until_settled(fresh, common.SETTLE_S)
    if meaning(fresh) != "ready":
        await there.delete(fresh)
        raise HomeRefused(f"the cloud could not make a volume from the snapshot: it showed {fresh.status}.")
    # A server may have been started in the meantime.
    _refuse_used(await there.get("volume", home.id))
    await _replace(there, fresh, home)
    return await there.get("volume", fresh.id)


async def _replace(there: HomesInCloud, fresh: Home, before: Home | None) -> None:
    """Make one the home and keep the other for its grace.

    In this order: between the two steps both claim to be the home and the older one counts, so that no start ever finds
    none and makes an empty one.
    """
    if before is not None:
        _refuse_used(before)
    await there.unmark(fresh, DELETE_AT)
    await there.mark(fresh, {ROLE: CURRENT})
    if before is not None:
        await there.mark(before, {ROLE: OLD, DELETE_AT: text_of(time.time() + before.grace_s)})


def _refuse_used(home: Home) -> None:
    if home.attached_to or meaning(home) == "used":
        raise HomeRefused(f"the home of {home.user} is in use: stop the server first.")
