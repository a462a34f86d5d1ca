"""What `build` and `rebuild` share: derived builds, and the options that say how their instances reach this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from js2spawner.library.builds import Build, Builds
from js2spawner.library.commands.in_cloud import Where
from js2spawner.library.definition import Definition


@dataclass(frozen=True, slots=True)
class Handshake:
    """How the instance of a derived build reaches this machine, and on what it runs."""

    bind: str
    url: str
    network: str
    flavor: str


def handshake_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Four options, which the command gets as one argument, `handshake`."""

    @wraps(command)
    def with_handshake(*, handshake_bind: str, handshake_url: str, network: str, flavor: str, **others: Any) -> Any:
        return command(handshake=Handshake(handshake_bind, handshake_url, network, flavor), **others)

    taken: Callable[..., Any] = with_handshake
    for option in (
        click.option(
            "--flavor", default="", help="The flavor of a derived build (default: the definition's smallest)."
        ),
        click.option("--network", default="", help="The network of a derived build (default: auto_allocated_network)."),
        click.option("--handshake-url", default="", help="How its instance reaches that (default: just there)."),
        click.option("--handshake-bind", default="127.0.0.1", show_default=True, help="Where a derived build listens."),
    ):
        taken = option(taken)
    return taken


def build(definition: Definition, builds: Builds, where: Where, hand: Handshake, say: Callable[[str], None]) -> Build:
    """Build a derived image. Raises CannotBuild, Interrupted, Busy, OSError."""
    from js2spawner.library import derived

    settings = derived.Settings.of(hand.bind, hand.url, hand.network, hand.flavor)
    return derived.build(definition, builds, where.open(), settings, say)
