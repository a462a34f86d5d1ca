"""What an image is made of, as values. `reading` makes them of the YAML files that people edit.

A definition is a stack of layers, since images share what they have in common by `extends`: the first layer belongs to
the definition that extends nothing, the last is the image's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

Gpu = Literal["no", "possible", "required"]

SERVER = "server"
"""The environment that runs the notebook server; every image has one."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment at `/opt/js2/<name>`: `lock` pins all of it, with hashes.

    `packages` are what was asked for, `lock` what that was resolved to for the image's `python`. `left_out` are
    dependencies taken out again.
    """

    name: str
    packages: tuple[str, ...]
    lock: Path
    left_out: tuple[str, ...] = ()
    python: str = "3.11.2"

    @property
    def place(self) -> str:
        """Where it lies in the image."""
        return f"/opt/js2/{self.name}"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A Jupyter kernel beside the server's own: of an environment, or (`argv`) of a program in the image."""

    name: str
    title: str
    language: str
    environment: str = ""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """What one definition adds. `files` is a folder that lies in the image as it lies there.

    `commands` run in the image as root once packages, environments and files are there, without a network.
    `masked` are systemd units that never start.
    """

    name: str
    packages: tuple[str, ...] = ()
    environments: tuple[Environment, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    files: Path | None = None
    commands: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()

    def digest(self) -> str:
        """Changes with whatever this layer makes: its settings, its locks, its files with their modes."""
        total = sha256(repr((self.packages, self.kernels, self.commands, self.masked)).encode())
        for environment in self.environments:
            asked = (environment.name, environment.packages, environment.left_out, environment.python)
            total.update(repr(asked).encode())
            total.update(environment.lock.read_bytes())
        for file in files_below(self.files) if self.files else ():
            total.update(f"{file.relative_to(self.files or file)} {file.stat().st_mode & 0o111:o}\0".encode())
            total.update(file.read_bytes())
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class FromScratch:
    """Built on this machine from Debian's packages of one suite; `spare_mb` is free room on the disk as published."""

    suite: str
    spare_mb: int


@dataclass(frozen=True, slots=True)
class Derived:
    """Launched in the cloud from `image` (Glance's name, the newest of it), provisioned, and saved.

    Packages, commands and files are added to what the base has; nothing of the base is removed.
    """

    image: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One image of the library, with everything it inherits already in it."""

    name: str
    title: str
    description: str
    inside: tuple[str, ...]
    owner: str
    base: FromScratch | Derived
    layers: tuple[Layer, ...]
    smoke: tuple[Path, ...]
    smallest: str
    gpu: Gpu
    rebuild_after_days: float

    @property
    def key(self) -> str:
        """Names what it is made from: another key, another image. The base of a derived one is not part of it."""
        return sha256(repr((self.base, [layer.digest() for layer in self.layers])).encode()).hexdigest()

    @property
    def smoke_key(self) -> str:
        """Names what a boot test tries: another key, another test, and no other image. Empty without notebooks."""
        if not self.smoke:
            return ""
        total = sha256()
        for notebook in self.smoke:
            total.update(f"{notebook.name}\0{sha256(notebook.read_bytes()).hexdigest()}\0".encode())
        return total.hexdigest()

    @property
    def environments(self) -> tuple[Environment, ...]:
        """One of each name, the last layer's."""
        return tuple({each.name: each for layer in self.layers for each in layer.environments}.values())


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a tree in a fixed order, without what Python leaves behind when it runs from there."""
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)
