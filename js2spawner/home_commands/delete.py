"""`js2 home delete`."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_commands.common import HomeRefused
from js2spawner.homes import DELETE_AT, Home, meaning, text_of

_DAY_S = 24 * 3600.0


@click.command()
@common.home_options
@click.option("--confirm", metavar="USER", help="The user's name once more; without it, it is asked for.")
@click.option(
    "--grace-days",
    type=click.FloatRange(min=0),
    help="Days until it is really deleted. Default: the profile's `grace_days`.",
)
@common.hub_options
@common.json_option
def delete(
    wanted: common.Wanted,
    confirm: str | None,
    grace_days: float | None,
    hub: common.Hub,
    as_json: bool,
) -> None:
    """Have the home of USER deleted, with its snapshots, after its grace time.

    The hub deletes it when that is over. Until then a start of its user's, or js2 home restore USER, keeps it.
    """
    typed = confirm if confirm is not None else click.prompt(f"Type {wanted.user} to delete that home", err=True)
    if typed != wanted.user:
        raise click.ClickException(f"{typed!r} is not {wanted.user!r}; nothing is deleted.")
    home = common.ask(hub, lambda regions: mark(regions, wanted, grace_days))
    when = common.moment(home.delete_at)
    said = [
        f"{home.kind} {home.id} of {wanted.user} will be deleted, with its snapshots, after {when} UTC.",
        f"Until then a start by {wanted.user}, or js2 home restore {wanted.user}, keeps it. The hub deletes it.",
    ]
    common.answer(common.home_as_json(home, None), as_json, said)


async def mark(regions: Mapping[str, HomesInCloud], wanted: common.Wanted, grace_days: float | None) -> Home:
    """Write down when the home is to be deleted. Raises HomeRefused, CloudError."""
    home = await common.the_home(regions, wanted)
    if home.attached_to or meaning(home) == "used":
        raise HomeRefused(f"the home of {home.user} is in use: stop the server first.")
    grace_s = home.grace_s if grace_days is None else grace_days * _DAY_S
    await regions[home.region].mark(home, {DELETE_AT: text_of(time.time() + grace_s)})
    return await regions[home.region].get(home.kind, home.id)
