"""`js2 devcloud`: run the embedded OpenStack until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from pathlib import Path

import click

from js2spawner.devcloud.addresses import RangeError
from js2spawner.devcloud.machine import MachineError, Machines
from js2spawner.devcloud.script import Script, ScriptError, read_script
from js2spawner.devcloud.server import CannotStart, Options, no_machines, running

_REGION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}")


def _region_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """They name folders and parts of addresses, too."""
    for name in names:
        if not _REGION.fullmatch(name):
            raise click.BadParameter(f"{name!r}: at most 31 letters, digits, - and _, beginning with a letter.")
    if len(set(names)) < len(names):
        raise click.BadParameter("each region needs a name of its own.")
    return names


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5000,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".devcloud"),
    show_default=True,
    help="Where state, clouds.yaml and the instances' files are kept.",
)
@click.option(
    "--boot-seconds",
    type=click.FloatRange(0, 3600),
    default=8.0,
    show_default=True,
    help="How long an instance boots after ACTIVE.",
)
@click.option("--faults", type=click.Path(path_type=Path, dir_okay=False), help="A fault script (YAML or JSON).")
@click.option(
    "--quota-instances",
    type=click.IntRange(-1),
    default=25,
    show_default=True,
    help="Instances a project may have; -1 is unlimited.",
)
@click.option(
    "--token-seconds",
    type=click.FloatRange(1),
    default=3600.0,
    show_default=True,
    help="How long a Keystone token lasts.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of all chance: latencies, faults, addresses."
)
@click.option(
    "--cidr", default="", help="Addresses of the instances, within 127.0.0.0/8.  [default: a /22 made from DIR]"
)
@click.option(
    "--region",
    "regions",
    multiple=True,
    default=("RegionOne",),
    show_default=True,
    callback=lambda _, __, names: _region_names(names),
    help="A region; several make a cloud of several, with one Keystone.",
)
@click.option(
    "--machines/--no-machines", default=True, show_default=True, help="Run instances as processes, or only pretend."
)
@click.option(
    "--show/--no-show", default=True, show_default=True, help="Print clouds.yaml; a log should not have its secrets."
)
def devcloud(
    *,
    port: int,
    directory: Path,
    boot_seconds: float,
    faults: Path | None,
    quota_instances: int,
    token_seconds: float,
    seed: int,
    cidr: str,
    regions: tuple[str, ...],
    machines: bool,
    show: bool,
) -> None:
    """An OpenStack on loopback: Keystone, Nova, Glance, Neutron, Cinder, Manila, and instances that are processes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        options = Options(
            directory.absolute(),
            port,
            boot_seconds,
            token_seconds,
            quota_instances,
            seed,
            cidr,
            read_script(faults) if faults else Script(),
            Machines if machines else no_machines,
            regions=regions,
        )
        asyncio.run(_serve(options, show=show))
    except (CannotStart, MachineError, ScriptError, RangeError) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as problem:
        raise click.ClickException(f"{problem.filename or directory}: {problem.strerror}") from None


async def _serve(options: Options, *, show: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(options) as cloud:
        click.echo(f"# {cloud.clouds_yaml}")
        if show:
            click.echo(cloud.clouds_yaml.read_text(encoding="utf-8"))
        for name, region in cloud.regions.items():
            settings = region.cloud.settings
            click.echo(f"{name} answers at {settings.url}, its instances get addresses of {settings.addresses}.")
        click.echo(f"Keystone and the control API answer at {cloud.url}.")
        click.echo(
            f"Use it:  export OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml} OS_CLOUD=devcloud; openstack server list"
        )
        click.echo(
            "Ctrl-C or SIGTERM powers the instances off and ends it; the next start goes on where this one ended."
        )
        await stop.wait()
        click.echo("Powering the instances off.")
