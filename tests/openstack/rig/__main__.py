"""`python -m tests.openstack.rig up|down|prepare`: a real OpenStack on this machine, on and off."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from tests.openstack.place import ROOT
from tests.openstack.rig.layout import Layout, Which
from tests.openstack.rig.processes import RigError
from tests.openstack.rig.rig import Rig

HOME = ROOT / ".openstack"

_home = click.option(
    "--home", type=click.Path(path_type=Path), default=HOME, show_default=False, help="folder (.openstack)"
)
_which = click.option(
    "--rig",
    "which",
    type=click.Choice([each.value for each in Which]),
    default="first",
    show_default=True,
    help="which of two",
)


class Teller:
    """Says what happens, each time with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._start:6.1f} s  {text}")


@click.group()
def main() -> None:
    """A real OpenStack of Keystone, Placement, Glance, Nova, Neutron and Cinder, on 127.0.0.1."""


@main.command()
@_home
@_which
@click.option("--show/--no-show", default=True, show_default=True, help="print clouds.yaml, which has the passwords")
def up(home: Path, which: str, show: bool) -> None:
    """Start everything from a clean state and write clouds.yaml."""
    layout = Layout(home.resolve(), which=Which(which))
    _do(lambda say: Rig(layout, say).up())
    click.echo(f"\n    export OS_CLIENT_CONFIG_FILE={layout.clouds_yaml} OS_CLOUD=openstack\n")
    if show:
        click.echo(layout.clouds_yaml.read_text())


@main.command()
@_home
@_which
def down(home: Path, which: str) -> None:
    """End everything and remove its state; what was installed stays for the next start."""
    _do(lambda say: Rig(Layout(home.resolve(), which=Which(which)), say).down())


@main.command()
@_home
@_which
def prepare(home: Path, which: str) -> None:
    """Make the dump of databases anew that later starts begin with, after a change of versions or of the seed."""
    _do(lambda say: Rig(Layout(home.resolve(), which=Which(which)), say).prepare())


def _do(work: Callable[[Callable[[str], None]], None]) -> None:
    try:
        work(Teller())
    except RigError as problem:
        raise click.ClickException(str(problem)) from None


if __name__ == "__main__":
    main()
