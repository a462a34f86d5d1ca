"""`js2 home list`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from js2spawner.cloud.errors import CloudError
from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_commands import common
from js2spawner.home_copies import Snapshot
from js2spawner.homes import CURRENT, Home

_HEADINGS = ("USER", "REGION", "KIND", "SIZE", "USED", "STATE", "LAST USED (UTC)", "SNAPSHOTS", "ID", "NOTE")


@dataclass(slots=True)
class Seen:
    """What the regions told. `snapshots` are by home; a home of a region in `uncounted` may have more of them.
    `silent` says in a sentence each what could not be read."""

    homes: list[Home] = field(default_factory=list)
    snapshots: dict[str, list[Snapshot]] = field(default_factory=dict)
    uncounted: set[str] = field(default_factory=set)
    silent: list[str] = field(default_factory=list)

    def of(self, home: Home) -> Sequence[Snapshot] | None:
        return None if home.region in self.uncounted else self.snapshots.get(home.id, [])


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
    seen = common.ask(hub, lambda regions: _look(common.chosen(regions, region)))
    shown = [home for home in common.in_order(seen.homes) if everything or home.role == CURRENT]
    rows = [_row(home, seen.of(home)) for home in shown]
    if rows or as_json:
        found = [common.home_as_json(home, seen.of(home)) for home in shown]
        common.answer(found, as_json, common.table(_HEADINGS, rows))
    elif not seen.silent:
        click.echo("This hub has no homes yet.")
    if seen.silent:
        # Half a list is of use to whoever looks for somebody's home, but no program may take it for all.
        raise click.ClickException("\n".join(sorted(seen.silent)))


async def _look(regions: Sequence[HomesInCloud]) -> Seen:
    seen = Seen()
    await asyncio.gather(*(_look_in(there, seen) for there in regions))
    return seen


async def _look_in(there: HomesInCloud, seen: Seen) -> None:
    name = there.region.name
    homes, silent = await there.whatever_answers()
    seen.homes += homes
    seen.silent += [_unread(f"{kind}s", name, problem) for kind, problem in silent.items()]
    if any(home.kind == "volume" for home in homes):
        try:
            for each in await there.snapshots():
                seen.snapshots.setdefault(each.home_id, []).append(each)
        except CloudError as problem:
            seen.uncounted.add(name)
            seen.silent.append(_unread("snapshots", name, problem))


def _unread(what: str, region: str, problem: CloudError) -> str:
    return f"The {what} in {region} could not be read, so this is not all: {common.told(problem)}"


def _row(home: Home, snapshots: Sequence[Snapshot] | None) -> tuple[str, ...]:
    used = f"{home.used_gb:.1f} GB" if home.used_gb is not None else "–"
    return (
        home.user or "?",
        home.region,
        home.kind,
        f"{home.size_gb} GB",
        used,
        home.status,
        common.moment(home.used_at),
        str(len(snapshots)) if snapshots is not None else "?",
        home.id,
        note_of(home),
    )


def note_of(home: Home) -> str:
    """What is to be known of it beyond its figures."""
    notes = {"old": "replaced", "restoring": "being restored"}.get(home.role, "")
    ends = f"to be deleted after {common.moment(home.delete_at)}" if home.delete_at else ""
    return ", ".join(filter(None, (notes, ends)))
