"""The group of commands; each subcommand is a module beside this one."""

from __future__ import annotations

import click

from js2spawner.on_demand import OnDemand, Subcommand

_HERE = "js2spawner.home_commands"

_SUBCOMMANDS = {
    "list": Subcommand(f"{_HERE}.list", "Show all homes: whose, where, how large, how full, in which state."),
    "show": Subcommand(f"{_HERE}.show", "Show one home and its snapshots."),
    "grow": Subcommand(f"{_HERE}.grow", "Make a home larger."),
    "snapshot": Subcommand(f"{_HERE}.snapshot", "Copy a home inside the cloud, now."),
    "restore": Subcommand(f"{_HERE}.restore", "Put a snapshot in a home's place, or take a deletion back."),
    "export": Subcommand(f"{_HERE}.export", "Copy a home to a file on this machine."),
    "delete": Subcommand(f"{_HERE}.delete", "Have a home deleted after its grace time."),
}


@click.group(cls=OnDemand, subcommands=_SUBCOMMANDS)
def home() -> None:
    """The homes of users: where their files stay."""
