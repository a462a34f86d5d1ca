"""What a layer adds once its software is there: files, units, kernels, commands. Quick, so never from an archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from js2spawner.library.definition import Layer, files_below
from js2spawner.library.scratch import environments
from js2spawner.library.scratch.tools import CannotBuild, System, ToolFailed

_UNITS = Path("etc/systemd/system")
_NETWORKS = Path("etc/systemd/network")


def settle(system: System, layers: Sequence[Layer]) -> None:
    """The files and settings of the last of these layers, on a system that has the others. Raises CannotBuild."""
    layer = layers[-1]
    for earlier in layers[:-1]:
        # An environment that this layer made anew had files of earlier layers in it.
        for environment in layer.environments:
            copy_files(earlier.files, system.root, below=environment.place.lstrip("/"))
    copy_files(layer.files, system.root)
    if layer.files:
        _enable(system, layer.files)
    # All kernels so far: their folder lies in the server's environment, which this layer may have made anew.
    kernels = {kernel.name: kernel for each in layers for kernel in each.kernels}
    environments.write_kernels(system.root, kernels.values())
    for command in layer.commands:
        _carry_out(system, command, layer.name)
    _mask(system.root, layer.masked)


def copy_files(tree: Path | None, root: Path, below: str = "") -> None:
    """Files and their modes, owned by root whoever owns the tree; `below` takes only a part of it."""
    for file in files_below(tree / below) if tree else ():
        target = root / file.relative_to(tree or file)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # What a package put there as a link to somewhere else becomes a file of its own.
        target.unlink(missing_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def _enable(system: System, files: Path) -> None:
    """Units among the files that say what wants them; with networks comes the service that reads those."""
    units = [file.name for file in files_below(files / _UNITS) if "[Install]" in file.read_text().splitlines()]
    if (files / _NETWORKS).is_dir():
        units.append("systemd-networkd.service")
    if units:
        system.run("systemctl", "enable", *units)


def _carry_out(system: System, command: str, layer: str) -> None:
    try:
        system.run("sh", "-euc", command)
    except ToolFailed as problem:
        shown = command if len(command) <= 80 else f"{command[:77]}…"
        raise ToolFailed(f"command “{shown}” of {layer}", "failed", problem.output) from None


def _mask(root: Path, units: Iterable[str]) -> None:
    for unit in units:
        link = root / _UNITS / unit
        if link.is_file() and not link.is_symlink():
            raise CannotBuild(f"Unit {unit} is masked and is among the files of the image; keep one of the two.")
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
