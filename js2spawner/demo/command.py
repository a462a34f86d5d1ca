"""`js2 demo`, the command."""

from __future__ import annotations

from pathlib import Path

import click

from js2spawner.demo.settings import Asked, DemoError


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="P", help="Port of the hub's address on 127.0.0.1. Default: 8000."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    metavar="DIR",
    help="Where everything is kept, homes and settings included. Default: .demo.",
)
@click.option("--api-token", metavar="TOKEN", help="A REST API token of a hub admin. Default: one is made up.")
@click.option("--users", metavar="A,B", help="Who may sign in; the first is an admin. Default: alice,bob.")
@click.option(
    "--boot-seconds",
    type=click.FloatRange(0, 3600),
    metavar="N",
    help="How long an instance pretends to boot, in seconds. Default: 8.",
)
@click.option(
    "--regions",
    type=click.IntRange(1, 2),
    metavar="N",
    help="How many regions the cloud has, 1 or 2. Default: 2.",
)
def demo(
    *,
    port: int | None,
    directory: Path,
    api_token: str | None,
    users: str | None,
    boot_seconds: float | None,
    regions: int | None,
) -> None:
    """Run a whole hub on the embedded cloud, on this machine.

    What an option does not say is as in the last start with the same directory.
    """
    from js2spawner.demo.run import run

    try:
        run(Asked(port, users, api_token, boot_seconds, regions), directory, _say)
    except DemoError as problem:
        raise click.ClickException(str(problem)) from None


def _say(text: str) -> None:
    click.echo(text)
