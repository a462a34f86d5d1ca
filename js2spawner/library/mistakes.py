"""What can be wrong with definitions whose settings are right one by one: with what they name, and with each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from js2spawner.library import locks
from js2spawner.library.definition import SERVER, Environment, files_below
from js2spawner.library.model import SUITES, Base, ImageFile
from js2spawner.library.model import Environment as EnvironmentSettings
from js2spawner.located_yaml import Located, Mistake, shown

NATIVE_KERNEL = "python3"
"""The kernel of the server's own environment, which is there without being described."""

_RESERVED = ("guest",)
_LARGEST_NOTEBOOK_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """One file of the library that is right by itself."""

    name: str
    located: Located
    settings: ImageFile


Chain = Sequence[DefinitionFile]
"""A file after all those it extends."""


def of_chain(folder: Path, chain: Chain, *, with_locks: bool) -> list[str]:
    """All mistakes of an image's files, those of the first it extends first; each a line with file and line."""
    checks: list[Callable[[Path, Chain], Iterator[Mistake]]] = [_of_base, _of_environments, _of_kernels, _of_places]
    checks.append(_of_notebooks)
    found: list[str] = []
    for length in range(1, len(chain) + 1):
        part = chain[:length]
        found += part[-1].located.told(mistake for check in checks for mistake in check(folder, part))
        if with_locks:
            found += _of_locks(folder, part)
    return found


def environment(folder: Path, image: str, name: str, told: EnvironmentSettings, python: str) -> Environment:
    """An environment that the file of `image` describes; its lock lies where every lock of the library does."""
    return Environment(name, told.packages, folder / "locks" / f"{image}-{name}.txt", told.left_out, python)


def python_of(base: Base | None) -> str:
    """The version of the Python that environments are made with; empty while the base does not say."""
    if base is None:
        return ""
    return SUITES[base.debian] if base.debian else base.python or ""


def _of_base(_: Path, chain: Chain) -> Iterator[Mistake]:
    settings, base = chain[-1].settings, chain[-1].settings.base
    if settings.extends:
        if base:
            yield ("base",), f"an image that extends {settings.extends} has its base; remove “base”."
        return
    if base is None:
        yield (), "“extends” and “base” are missing; give one: what the image adds to, or what it begins with."
    elif (base.debian is None) == (base.cloud is None):
        yield ("base",), "“base” must have either “debian” or “cloud”: built here, or launched in the cloud and saved."
    elif base.debian and base.python:
        yield ("base", "python"), f"Debian {base.debian} has Python {SUITES[base.debian]}; remove “python”."
    elif base.cloud and base.python is None:
        yield ("base",), "“python” is missing; add the version of the base's /usr/bin/python3, such as “3.12.3”."
    elif base.cloud and base.spare_mb is not None:
        yield ("base", "spare_mb"), "the disk of an image from the cloud is its flavor's; remove “spare_mb”."
    for setting in ("owner", "smallest"):
        if getattr(settings, setting) is None:
            yield (), f"“{setting}” is missing; add it, as this image extends none that has it."


def _of_environments(_: Path, chain: Chain) -> Iterator[Mistake]:
    own, above = chain[-1], chain[:-1]
    for name, told in own.settings.environments.items():
        here = ("environments", name)
        if name in _RESERVED:
            yield here, f"an environment cannot be called {name}, as /opt/js2/{name} is something else; rename it."
        replaced = next((file for file in reversed(above) if name in file.settings.environments), None)
        if replaced is None:
            continue
        held = {canonicalize_name(Requirement(each).name) for each in told.packages}
        before = replaced.settings.environments[name].packages
        for lost in (each for each in before if canonicalize_name(Requirement(each).name) not in held):
            sentence = (
                f"this replaces the environment {name} of {replaced.name} and lacks {lost}; add it to “packages”."
            )
            yield here, sentence
    if not own.settings.extends and SERVER not in own.settings.environments:
        yield ("environments",), f"the environment “{SERVER}” is missing; add it: it runs JupyterLab."


def _of_kernels(_: Path, chain: Chain) -> Iterator[Mistake]:
    known = {name for file in chain for name in file.settings.environments}
    for name, kernel in chain[-1].settings.kernels.items():
        here = ("kernels", name)
        if (kernel.environment is None) == (kernel.argv is None):
            yield here, f"the kernel {name} must have either “environment” or “argv”."
        elif kernel.environment and kernel.environment not in known:
            sentence = f"there is no environment {shown(kernel.environment)}; known are {', '.join(sorted(known))}."
            yield (*here, "environment"), sentence


def _of_places(folder: Path, chain: Chain) -> Iterator[Mistake]:
    settings = chain[-1].settings
    if settings.files and not (folder / settings.files).is_dir():
        yield ("files",), f"there is no folder {folder / settings.files}; make it or remove “files”."
    elif settings.files and next(files_below(folder / settings.files), None) is None:
        yield ("files",), f"the folder {folder / settings.files} holds no file; remove “files”."
    if not any(file.settings.smoke for file in chain):
        yield ("smoke",), "“smoke” is missing; add a notebook that uses what the image promises."


def _of_notebooks(folder: Path, chain: Chain) -> Iterator[Mistake]:
    kernels = {NATIVE_KERNEL, *(name for file in chain for name in file.settings.kernels)}
    for position, place in enumerate(chain[-1].settings.smoke):
        sentence = _notebook_fault(folder / place, kernels)
        if sentence:
            yield ("smoke", position), sentence


def _notebook_fault(notebook: Path, kernels: set[str]) -> str:
    """What keeps a file from being run as a notebook; empty when nothing does."""
    try:
        if notebook.stat().st_size > _LARGEST_NOTEBOOK_BYTES:
            return f"{notebook} is larger than a megabyte; clear its outputs."
        content = json.loads(notebook.read_text(encoding="utf-8"))
    except OSError as error:
        return f"{notebook} cannot be read ({error.strerror}); add it or remove it from “smoke”."
    except (ValueError, RecursionError):
        return f"{notebook} is no notebook (not JSON); save it with Jupyter."
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or content.get("nbformat") != 4:
        return f"{notebook} is no notebook of format 4; save it with Jupyter."
    if not any(isinstance(cell, dict) and cell.get("cell_type") == "code" and _filled(cell) for cell in cells):
        return f"{notebook} has no cell of code; add what is to be tried."
    metadata = content.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    kernel = spec.get("name") if isinstance(spec, dict) else None
    if kernel not in kernels:
        return f"{notebook} asks for the kernel {shown(kernel)}; known in this image are {', '.join(sorted(kernels))}."
    return ""


def _filled(cell: dict[str, object]) -> bool:
    source = cell.get("source")
    return bool("".join(map(str, source)).strip() if isinstance(source, list) else str(source or "").strip())


def _of_locks(folder: Path, chain: Chain) -> Iterator[str]:
    own, python = chain[-1], python_of(chain[0].settings.base)
    for name, told in own.settings.environments.items():
        if not python:
            continue
        made = environment(folder, own.name, name, told, python)
        remedy = f"run: js2 image lock {own.name}"
        here = ("environments", name)
        try:
            pins = locks.read(made.lock)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            yield from own.located.told([(here, f"{made.lock} cannot be read ({why}); {remedy}.")])
            continue
        except locks.BadLock as error:
            yield f"{made.lock}:{error.line}: {error} ({remedy})."
            continue
        yield from own.located.told(((*here, "packages"), f"{why}; {remedy}.") for why in locks.behind(made, pins))
        for position, left in enumerate(told.left_out):
            if canonicalize_name(left) not in pins:
                sentence = f"{left} is not in the lock of {name}, so it cannot be left out; remove it from “left_out”."
                yield from own.located.told([((*here, "left_out", position), sentence)])
