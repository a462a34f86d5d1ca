"""`js2 image lock`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from js2spawner.library import locking, locks
from js2spawner.library.commands import common
from js2spawner.library.definition import Definition, Environment
from js2spawner.library.locks import Pin
from js2spawner.library.reading import read_some
from js2spawner.located_yaml import FileError


@click.command("lock")
@common.names
@common.library_option
@click.option("--upgrade", is_flag=True, help="Take the newest versions instead of keeping those of the lock.")
@common.json_option
def lock(names: tuple[str, ...], library: Path, upgrade: bool, as_json: bool) -> None:
    """Resolve the Python environments of images (all unless named) into their lock files.

    Versions stay as the lock has them unless the definition asks for others or --upgrade is given. Wheels are chosen
    for the image's Python; from pip 23.3 on only their metadata is fetched.
    """
    try:
        definitions = read_some(library, names, locks=False)
    except FileError as error:
        raise click.ClickException(str(error)) from error
    done: dict[str, dict[str, object]] = {}
    lines: list[str] = []
    for definition in definitions:
        for environment, replaced in own_environments(definition):
            common.progress(f"Resolving {definition.name}: {environment.name} …")
            before = locking.pins_to_keep(environment, None)
            kept = {} if upgrade else locking.pins_to_keep(environment, replaced)
            try:
                pins = locking.lock(environment, kept)
            except locking.CannotLock as problem:
                raise click.ClickException(f"{definition.name}, environment {environment.name}: {problem}") from problem
            locks.write(environment, pins.values())
            changes = list(changed(before, pins))
            done[str(environment.lock)] = {"packages": len(pins), "changes": changes}
            lines += [f"{environment.lock}: {len(pins)} packages, {len(changes)} changed", *map("  {}".format, changes)]
    common.answer(done, as_json, lines)


def own_environments(definition: Definition) -> Iterator[tuple[Environment, Environment | None]]:
    """The environments an image's own file describes, each with the one of a parent that it replaces."""
    above = {each.name: each for layer in definition.layers[:-1] for each in layer.environments}
    for environment in definition.layers[-1].environments:
        yield environment, above.get(environment.name)


def changed(before: Mapping[str, Pin], after: Mapping[str, Pin]) -> Iterator[str]:
    """What another lock makes different, a line each."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if new is None:
            yield f"- {name}"
        elif old is None:
            yield f"+ {name} {new.version}"
        elif old != new:
            yield f"{name} {old.version} → {new.version}"
