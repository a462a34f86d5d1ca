"""The `js2` command. Each subcommand is imported only when it is used, so that `js2 --help` is quick."""

from __future__ import annotations

import click

import js2spawner
from js2spawner.on_demand import OnDemand, Subcommand

_SUBCOMMANDS = {
    "demo": Subcommand("js2spawner.demo.command", "Run a whole hub on the embedded cloud, on this machine."),
    "devcloud": Subcommand("js2spawner.devcloud.command", "Run the embedded cloud alone."),
    "doctor": Subcommand("js2spawner.doctor.command", "Check a machine, a cloud and a catalog before a hub uses them."),
    "home": Subcommand("js2spawner.home_commands.command", "List, grow, copy, restore, export, delete homes."),
    "image": Subcommand("js2spawner.library.command", "Build, try and publish the images of the library."),
}


@click.group(cls=OnDemand, subcommands=_SUBCOMMANDS)
@click.version_option(js2spawner.__version__, prog_name="js2")
def main() -> None:
    """js2spawner: a JupyterHub whose every user gets an OpenStack instance of their own."""
