"""Groups of commands whose subcommands are imported only when they are used, so that `--help` is quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a subcommand lives, under its own name there (`list` as `list_`), and what it does in a sentence."""

    module: str
    summary: str


class OnDemand(click.Group):
    """A group made with `subcommands`, a mapping of names to Subcommand."""

    def __init__(self, *args: Any, subcommands: Mapping[str, Subcommand], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._subcommands})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = self._subcommands.get(cmd_name)
        if found is None:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(found.module)
        command: click.Command = getattr(module, f"{cmd_name}_", None) or getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._subcommands[name].summary) for name in self.list_commands(ctx)])
