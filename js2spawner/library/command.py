"""`js2 image …`: the image library from the command line. Each subcommand is a module of `commands`."""

from __future__ import annotations

import click

from js2spawner.on_demand import OnDemand, Subcommand

_HERE = "js2spawner.library.commands"

_SUBCOMMANDS = {
    "list": Subcommand(f"{_HERE}.list", "Show the images of the library, their builds and what is published."),
    "check": Subcommand(f"{_HERE}.check", "Check definitions; every mistake is a line with file, line and remedy."),
    "lock": Subcommand(f"{_HERE}.lock", "Resolve the Python environments of definitions into their lock files."),
    "build": Subcommand(f"{_HERE}.build", "Build images from their definitions."),
    "test": Subcommand(f"{_HERE}.test", "Boot a build, run its smoke notebooks, look for what must not be in it."),
    "publish": Subcommand(f"{_HERE}.publish", "Upload a tested build to a cloud."),
    "promote": Subcommand(f"{_HERE}.promote", "Make a published version the one that starts get."),
    "rollback": Subcommand(f"{_HERE}.rollback", "Go back to the version before the current one."),
    "rebuild": Subcommand(f"{_HERE}.rebuild", "Do whatever is due: build, test, publish, promote. For a timer."),
    "prune": Subcommand(f"{_HERE}.prune", "Delete old versions that no instance uses."),
}


@click.group(cls=OnDemand, subcommands=_SUBCOMMANDS)
def image() -> None:
    """The image library: from a definition in a file to what users choose."""
