"""The `js2` command. Each subcommand is imported only when it is used, so that `js2 --help` is quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click

import js2spawner


@dataclass(frozen=True, slots=True)
class _Subcommand:
    module: str
    summary: str


_SUBCOMMANDS = {
    "demo": _Subcommand("js2spawner.demo.command", "Run a whole hub on the embedded cloud, on this machine."),
    "devcloud": _Subcommand("js2spawner.devcloud.command", "Run the embedded cloud alone."),
    "doctor": _Subcommand(
        "js2spawner.doctor.command", "Check a machine, a cloud and a catalog before a hub uses them."
    ),
}


class _OnDemand(click.Group):
    """A group whose subcommands live in modules of their own, each under its own name there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_SUBCOMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = _SUBCOMMANDS.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(found.module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUBCOMMANDS[name].summary) for name in self.list_commands(ctx)])


@click.group(cls=_OnDemand)
@click.version_option(js2spawner.__version__, prog_name="js2")
def main() -> None:
    """js2spawner: a JupyterHub whose every user gets an OpenStack instance of their own."""
