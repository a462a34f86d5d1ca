"""Definitions from the library's folder: every mistake is one line with file, line, and what to do.

IMAGES/<name>.yaml   files/   locks/   notebooks/   schema.json
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from js2spawner import located_yaml
from js2spawner.library.definition import Definition, Derived, FromScratch, Kernel, Layer
from js2spawner.library.mistakes import DefinitionFile, environment, of_chain, python_of
from js2spawner.library.model import ImageFile
from js2spawner.located_yaml import FileError, Mistake, shown

SPARE_MB = 300
REBUILD_AFTER_DAYS = 30.0


def names(folder: Path) -> list[str]:
    """The images of a library, by name."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


def read(folder: Path, name: str, *, locks: bool = True) -> Definition:
    """One image with everything it inherits. `locks=False` is for whoever is about to make them.

    Raises FileError with all mistakes of its file, of those it extends, and of what they name.
    """
    if name not in names(folder):
        raise FileError([f"{folder}: there is no image {shown(name)}; {_known(name, names(folder))}"])
    chain = _chain(folder, name)
    mistakes = of_chain(folder, chain, with_locks=locks)
    if mistakes:
        raise FileError(mistakes)
    return _definition(folder, chain)


def read_all(folder: Path, *, locks: bool = True) -> list[Definition]:
    """Every image of the library, by name. Raises FileError with all mistakes, each told once."""
    return read_some(folder, names(folder), locks=locks)


def read_some(folder: Path, wanted: Iterable[str], *, locks: bool = True) -> list[Definition]:
    """These images, or all if none is named. Raises FileError with the mistakes of all of them, each told once."""
    definitions: list[Definition] = []
    mistakes: list[str] = []
    for name in list(wanted) or names(folder):
        try:
            definitions.append(read(folder, name, locks=locks))
        except FileError as error:
            mistakes += error.mistakes
    if not definitions and not mistakes:
        mistakes.append(f"{folder}: there is no definition here; a definition is a file NAME.yaml.")
    if mistakes:
        raise FileError(list(dict.fromkeys(mistakes)))
    return definitions


def _chain(folder: Path, name: str) -> list[DefinitionFile]:
    """The file and those it extends, the one that extends nothing first. Raises FileError."""
    chain: list[DefinitionFile] = []
    while True:
        file = _file(folder, name)
        chain.insert(0, file)
        parent = file.settings.extends
        if parent is None:
            return chain
        if parent not in names(folder):
            _refuse(file, f"there is no image {shown(parent)} to extend; {_known(parent, names(folder))}")
        if parent in (one.name for one in chain):
            way = " extends ".join([*(one.name for one in reversed(chain)), parent])
            _refuse(file, f"this goes round in circles ({way}); let one of them extend nothing.")
        name = parent


def _refuse(file: DefinitionFile, sentence: str) -> None:
    raise FileError(file.located.told([(("extends",), sentence)]))


def _known(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean “{close[0]}”?" if close else f"known are {', '.join(known) or 'none'}."


def _file(folder: Path, name: str) -> DefinitionFile:
    located = located_yaml.read(folder / f"{name}.yaml")
    mistakes: list[Mistake] = []
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name):
        sentence = f"{shown(name)} is no name for an image; use small letters, digits and dashes for the file's name."
        mistakes.append(((), sentence))
    try:
        settings = ImageFile.model_validate(located.data)
    except ValidationError as error:
        mistakes += located_yaml.explain(error, ImageFile, f"image {shown(name)}")
    if mistakes:
        raise FileError(located.told(mistakes))
    return DefinitionFile(name, located, settings)


def _definition(folder: Path, chain: Sequence[DefinitionFile]) -> Definition:
    """What `of_chain` found no mistake in, as values."""
    root, own = chain[0].settings, chain[-1].settings
    assert root.base is not None
    base: FromScratch | Derived = Derived(root.base.cloud or "")
    if root.base.debian:
        base = FromScratch(root.base.debian, SPARE_MB if root.base.spare_mb is None else root.base.spare_mb)
    python = python_of(root.base)
    gpus = [file.settings.gpu for file in chain if file.settings.gpu]
    ages = [file.settings.rebuild_after_days for file in chain if file.settings.rebuild_after_days]
    return Definition(
        name=chain[-1].name,
        title=own.title,
        description=" ".join(own.description.split()),
        inside=own.inside,
        owner=[file.settings.owner for file in chain if file.settings.owner][-1],
        base=base,
        layers=tuple(_layer(folder, file, python) for file in chain),
        smoke=tuple(folder / place for file in chain for place in file.settings.smoke),
        smallest=[file.settings.smallest for file in chain if file.settings.smallest][-1],
        gpu=gpus[-1] if gpus else "no",
        rebuild_after_days=ages[-1] if ages else REBUILD_AFTER_DAYS,
    )


def _layer(folder: Path, file: DefinitionFile, python: str) -> Layer:
    settings = file.settings
    return Layer(
        name=file.name,
        packages=settings.packages,
        environments=tuple(
            environment(folder, file.name, name, told, python) for name, told in settings.environments.items()
        ),
        kernels=tuple(
            Kernel(name, told.title, told.language, told.environment or "", told.argv or ())
            for name, told in settings.kernels.items()
        ),
        files=folder / settings.files if settings.files else None,
        commands=settings.commands,
        masked=settings.masked,
    )
