"""A definition as the steps that make it on a running instance: for each layer packages, environments, files, commands.

The order within a layer and what each part means are those of images built from nothing (`scratch`), and so is the code
that lays files, kernels and units out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import js2spawner.guest
from js2spawner.library.definition import SERVER, Definition, Environment, Layer, files_below
from js2spawner.library.derived import bundle
from js2spawner.library.derived.bundle import Blob, Do
from js2spawner.library.derived.settings import Patience
from js2spawner.library.scratch import environments, settling
from js2spawner.library.scratch.tools import CannotBuild

_UNITS = Path("etc/systemd/system")
_BASE = Path(__file__).with_name("base")
_GUEST = "/opt/js2/guest"
_SERVER_IS_THERE = f"/opt/js2/{SERVER}/bin/jupyterhub-singleuser --version"
_COMPILE_GUEST = f"python3 -m compileall -q --invalidation-mode=unchecked-hash {_GUEST} || true"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to be done, as a person would say it; on the wire it is one step or several, with seconds for each."""

    name: str
    steps: Sequence[Do] = field(repr=False)
    deadline_s: float


def making(definition: Definition, patience: Patience) -> list[Task]:
    """Everything but the list of software and the cleaning, which come last. Raises CannotBuild."""
    layers = definition.layers
    found = [task for number in range(len(layers)) for task in _layer(layers[: number + 1], patience)]
    return [*found, *_finish(definition, patience)]


def trying(definition: Definition, patience: Patience) -> list[Task]:
    """What must work on an instance that was started from the image."""
    found = [_smoke(notebook, patience) for notebook in definition.smoke]
    if any(each.name == SERVER for each in definition.environments):
        order = {"kind": "command", "text": _SERVER_IS_THERE}
        found.insert(0, Task("notebook server", [order], patience.command_s))
    return found


def _layer(layers: Sequence[Layer], patience: Patience) -> Iterator[Task]:
    layer = layers[-1]
    if layer.packages:
        order = {"kind": "packages", "names": list(layer.packages)}
        yield Task(f"{layer.name}: Debian packages", [order], patience.packages_s)
    for environment in layer.environments:
        yield Task(f"{layer.name}: environment {environment.name}", _make(environment), patience.environment_s)
    with TemporaryDirectory(prefix="js2-layer-") as folder:
        stage = Path(folder)
        _lay_out(stage, layers)
        files = list(_laid(f"{layer.name}.tar.xz", stage))
    if files:
        yield Task(f"{layer.name}: files", files, patience.files_s)
    for number, command in enumerate(layer.commands, 1):
        name = f"{layer.name}: command {number}"
        yield Task(name, [{"kind": "command", "text": command}], patience.command_s)


def _make(environment: Environment) -> list[Do]:
    lock = Blob(f"{environment.name}.lock.txt", environments.wanted_of(environment).encode())
    order = {
        "kind": "environment",
        "name": environment.name,
        "python": environment.python,
        "pip": environment.name != SERVER,
        "blob": lock.reference,
    }
    return [*lock.pieces(), order]


def _lay_out(stage: Path, layers: Sequence[Layer]) -> None:
    """The last layer's files, kernels and units as they are to lie in the image."""
    layer = layers[-1]
    for earlier in layers[:-1]:
        # An environment that this layer made anew had files of earlier layers in it.
        for environment in layer.environments:
            below = environment.place.lstrip("/")
            if earlier.files and (earlier.files / below).is_dir():
                settling.copy_files(earlier.files / below, stage / below)
    settling.copy_files(layer.files, stage)
    if layer.kernels or any(each.name == SERVER for each in layer.environments):
        environments.write_kernels(stage, {k.name: k for each in layers for k in each.kernels}.values())
    _enable(stage)
    for unit in layer.masked:
        link = stage / _UNITS / unit
        if link.exists():
            raise CannotBuild(f"Unit {unit} is masked and is among the files of the image; keep one of the two.")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/dev/null")


def _enable(stage: Path) -> None:
    """What `systemctl enable` would do for the units among the files, without a systemd to ask."""
    for file in sorted((stage / _UNITS).glob("*.*")):
        if file.is_symlink() or not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            name, _, wanting = line.partition("=")
            suffix = {"WantedBy": "wants", "RequiredBy": "requires"}.get(name.strip())
            for target in wanting.split() if suffix else ():
                link = stage / _UNITS / f"{target}.{suffix}" / file.name
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(f"/{_UNITS / file.name}")


def _laid(name: str, stage: Path) -> Iterator[Do]:
    if any(place.is_symlink() or place.is_file() for place in stage.rglob("*")):
        yield from _unpacked(Blob(name, bundle.archive(stage)))


def _unpacked(blob: Blob) -> Iterator[Do]:
    yield from blob.pieces()
    yield {"kind": "unpack", "blob": blob.reference}


def _finish(definition: Definition, patience: Patience) -> Iterator[Task]:
    """The guest program and what starts it, unless the definition brings a starter of its own."""
    with TemporaryDirectory(prefix="js2-guest-") as folder:
        stage = Path(folder)
        settling.copy_files(Path(js2spawner.guest.__file__).parent, stage / _GUEST.lstrip("/"))
        own = {str(file.relative_to(layer.files)) for layer in definition.layers if layer.files
               for file in files_below(layer.files)}  # fmt: skip
        for name, place in (
            ("start-guest", "opt/js2/start-guest"),
            ("js2-guest.service", f"{_UNITS}/js2-guest.service"),
        ):
            if place not in own:
                (stage / place).parent.mkdir(parents=True, exist_ok=True)
                (stage / place).write_bytes((_BASE / name).read_bytes())
                (stage / place).chmod(0o755 if name == "start-guest" else 0o644)
        (stage / environments.PROFILE).parent.mkdir(parents=True, exist_ok=True)
        environments.write_profile(stage, environments.users_of(definition))
        _enable(stage)
        steps = [*_laid("guest.tar.xz", stage), {"kind": "command", "text": _COMPILE_GUEST}]
    yield Task("guest program", steps, patience.files_s)


def _smoke(notebook: Path, patience: Patience) -> Task:
    blob = Blob("notebook.ipynb", notebook.read_bytes())
    order = {"kind": "smoke", "blob": blob.reference}
    return Task(f"smoke notebook {notebook.name}", [*blob.pieces(), order], patience.smoke_s)
