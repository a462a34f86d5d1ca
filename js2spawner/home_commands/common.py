"""What the subcommands of `js2 home` share: which hub, which home, and how they answer."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from js2spawner.catalog import Catalog, CatalogError
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError
from js2spawner.fleet.homes_in_cloud import HomesInCloud
from js2spawner.home_copies import Snapshot
from js2spawner.homes import CURRENT, Home
from js2spawner.instance import Instant

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

SETTLE_S = 900.0
"""Seconds a cloud may take over what a command has asked for."""


class HomeRefused(Exception):
    """What was typed cannot be done. The message is for whoever typed it."""


@dataclass(frozen=True, slots=True)
class Hub:
    """Whose homes: the hub's id, its catalog and its clouds.yaml."""

    hub_id: str
    catalog: Catalog
    clouds_yaml: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which home: of this user, and this one of several."""

    user: str
    home_id: str | None = None
    region: str | None = None


# ---- options --------------------------------------------------------------------------------------------------------


def hub_options(command: F) -> F:
    """`--dir`, `--catalog`, `--clouds`, `--state-dir`, `--hub-id`; the command gets the Hub they mean as `hub`."""

    @wraps(command)
    def with_hub(
        *args: Any,
        directory: Path | None,
        catalog: str | None,
        clouds: str | None,
        state_dir: Path,
        hub_id: str | None,
        **others: Any,
    ) -> Any:
        return command(*args, hub=_hub_of(directory, catalog, clouds, state_dir, hub_id), **others)

    wrapped: Any = with_hub
    for option in _HUB_OPTIONS:
        wrapped = option(wrapped)
    return cast(F, wrapped)


def home_options(command: F) -> F:
    """USER, `--id` and `--region`; the command gets what they name as `wanted`."""

    @wraps(command)
    def with_home(*args: Any, user: str, home_id: str | None, region: str | None, **others: Any) -> Any:
        return command(*args, wanted=Wanted(user, home_id, region), **others)

    wrapped: Any = with_home
    for option in (
        click.option("--region", metavar="NAME", help="The one in this region of the catalog."),
        click.option("--id", "home_id", metavar="ID", help="The one with this id."),
        click.argument("user", metavar="USER"),
    ):
        wrapped = option(wrapped)
    return cast(F, wrapped)


_HUB_OPTIONS = (
    click.option("--hub-id", envvar="JS2_HUB_ID", metavar="ID", help="The hub's id, in place of its directory."),
    click.option(
        "--state-dir",
        envvar="JS2_STATE_DIR",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("js2-state"),
        show_default=True,
        help="The hub's state directory, which holds its id.",
    ),
    click.option("--clouds", envvar="JS2_CLOUDS_YAML", metavar="FILE", help="The clouds.yaml."),
    click.option("--catalog", envvar="JS2_CATALOG", metavar="FILE", help="The catalog. Default: catalog.yaml."),
    click.option(
        "--dir",
        "directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="The homes of the demo in this directory.",
    ),
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")


def _hub_of(
    directory: Path | None, catalog: str | None, clouds: str | None, state_dir: Path, hub_id: str | None
) -> Hub:
    """The hub that the options mean. Raises click.ClickException in one sentence."""
    if directory is not None:
        settings = _of_demo(directory)
        catalog, clouds = settings["JS2_CATALOG"], settings.get("JS2_CLOUDS_YAML")
        state_dir, hub_id = Path(settings["JS2_STATE_DIR"]), settings.get("JS2_HUB_ID")
    try:
        return Hub(hub_id or _id_in(state_dir), Catalog.load(catalog or "catalog.yaml"), clouds or None)
    except CatalogError as problem:
        raise click.ClickException(str(problem)) from None


def _id_in(state_dir: Path) -> str:
    file = state_dir / "hub-id"
    try:
        return file.read_text().strip()
    except OSError as problem:
        raise click.ClickException(
            f"{file} cannot be read ({problem.strerror}): name the hub's state directory with --state-dir "
            "(JS2_STATE_DIR), or its id with --hub-id."
        ) from None


def _of_demo(directory: Path) -> Mapping[str, str]:
    import js2spawner
    from js2spawner.demo.directory import read_settings
    from js2spawner.demo.plan import Files, hub_environment
    from js2spawner.demo.settings import DemoError

    files = Files(directory.resolve())
    try:
        settings = read_settings(files)
    except DemoError as problem:
        raise click.ClickException(str(problem)) from None
    if settings is None:
        raise click.ClickException(f"{directory} holds no demo; js2 demo --dir {directory} makes one.")
    return {**os.environ, **hub_environment(settings, files, Path(js2spawner.__file__).resolve().parent.parent)}


# ---- asking ---------------------------------------------------------------------------------------------------------


def ask(hub: Hub, work: Callable[[Mapping[str, HomesInCloud]], Awaitable[T]]) -> T:
    """Do work in the hub's regions, with every refusal as one sentence for whoever typed the command."""
    # What the rooms log, the errors say.
    logging.getLogger("js2spawner").addHandler(logging.NullHandler())

    async def all_of_it() -> T:
        clouds = [
            (region, Cloud(region.cloud, region=region.region, config_file=hub.clouds_yaml))
            for region in hub.catalog.regions
        ]
        try:
            return await work({region.name: HomesInCloud(region, cloud, hub.hub_id) for region, cloud in clouds})
        finally:
            for _, cloud in clouds:
                await cloud.close()

    try:
        return asyncio.run(all_of_it())
    except HomeRefused as problem:
        raise click.ClickException(str(problem)) from None
    except CloudError as problem:
        raise click.ClickException(told(problem)) from None
    except OSError as problem:
        where = problem.filename or "A file"
        raise click.ClickException(f"{where} cannot be used: {problem.strerror or problem}.") from None


def told(problem: CloudError) -> str:
    """A refusal in one sentence, with the cloud's own words behind its name."""
    sentence = problem.sentence.rstrip(".")
    detail = " ".join(problem.detail.split())[:300].rstrip(".")
    return f"{sentence} ({detail})." if detail and detail != sentence else f"{sentence}."


async def everybodys(regions: Mapping[str, HomesInCloud], only: str | None = None) -> list[Home]:
    """All homes of the hub, sorted by user. Raises CloudError, HomeRefused."""
    found = await asyncio.gather(*(there.all() for there in chosen(regions, only)))
    return in_order(home for homes in found for home in homes)


def chosen(regions: Mapping[str, HomesInCloud], only: str | None) -> list[HomesInCloud]:
    """All regions, or the one that is named. Raises HomeRefused."""
    if only is not None and only not in regions:
        raise HomeRefused(f"there is no region {only!r} in the catalog; known are {', '.join(regions)}.")
    return [regions[only]] if only is not None else list(regions.values())


def in_order(homes: Iterable[Home]) -> list[Home]:
    """By user, and each user's present home first."""
    return sorted(homes, key=lambda home: (home.user, home.region, home.role != CURRENT, home.created, home.id))


async def the_home(regions: Mapping[str, HomesInCloud], wanted: Wanted, *, role: str | None = CURRENT) -> Home:
    """The one home that is meant; with `role` None of any kind. Raises HomeRefused when it is none or several."""
    homes = await everybodys(regions, wanted.region)
    mine = [home for home in homes if home.user == wanted.user and wanted.home_id in (None, home.id)]
    meant = [home for home in mine if role is None or wanted.home_id or home.role == role]
    if len(meant) == 1:
        return meant[0]
    if meant:
        several = "; ".join(f"{home.id} ({home.kind} in {home.region})" for home in meant)
        raise HomeRefused(f"{wanted.user} has {len(meant)} homes: name one with --id. They are {several}.")
    beside = f" Old ones: {', '.join(home.id for home in mine)}; name one with --id." if mine else ""
    raise HomeRefused(f"this hub has no home of {wanted.user!r}.{beside}")


# ---- answering ------------------------------------------------------------------------------------------------------


def answer(result: object, as_json: bool, lines: Sequence[str]) -> None:
    """JSON for a program, lines for a person."""
    # What others on the allocation can write must not steer somebody's terminal.
    plain = ("".join(each if each.isprintable() else "?" for each in line) for line in lines)
    click.echo(json.dumps(result, indent=2) if as_json else "\n".join(plain))


def progress(text: str) -> None:
    """What is being done; never on standard output, which holds the answer."""
    click.echo(text, err=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as what is in them."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]


def moment(instant: Instant | None) -> str:
    """A time as a person reads it, in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M") if instant is not None else "–"


def home_as_json(home: Home, snapshots: Sequence[Snapshot] | None) -> dict[str, object]:
    """`snapshots` None where the cloud did not tell, or was not asked."""
    return {
        "user": home.user,
        "user_id": home.user_id,
        "role": home.role,
        "kind": home.kind,
        "id": home.id,
        "region": home.region,
        "status": home.status,
        "size_gb": home.size_gb,
        "most_gb": home.most_gb,
        "used_gb": home.used_gb,
        "attached_to": list(home.attached_to),
        "created": moment(home.created),
        "used_at": moment(home.used_at) if home.used_at else None,
        "delete_at": moment(home.delete_at) if home.delete_at else None,
        "snapshots": None
        if snapshots is None
        else [{**asdict(each), "taken_at": moment(each.taken_at)} for each in snapshots],
    }
