"""A definition's layers, one on the other, with archives of what took long: Debian's packages and Python environments.

An archive holds the whole system with the software of one layer and everything of those before it, so images that
extend the same one begin with the same archive. It serves for a day: a build of tomorrow gets tomorrow's fixes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from js2spawner.library import lasting
from js2spawner.library.definition import FromScratch, Layer
from js2spawner.library.scratch import debian, environments, settling
from js2spawner.library.scratch.tools import System, run
from js2spawner.library.steps import Steps

SERVES_S = 24 * 3600.0
_HERE = Path(__file__).parent
# What the content of an archive follows from.
_CODE = ("debian.py", "environments.py", "layers.py", "settling.py", "tools.py")
_ATTRIBUTES = ("--numeric-owner", "--xattrs", "--xattrs-include=*")


@dataclass(frozen=True, slots=True)
class Archives:
    """The folder of archives; `fresh` uses none that is there, and still leaves new ones."""

    folder: Path
    fresh: bool = False

    def find(self, key: str) -> Path | None:
        archive = self._place(key)
        return archive if not self.fresh and archive.exists() else None

    def keep(self, key: str, system: System, work: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        half_made = work / "system.tar.zst"
        compress = "--use-compress-program=zstd -3 -T0"
        run("tar", compress, *_ATTRIBUTES, "--sort=name", "-cpf", half_made, "-C", system.root, ".")
        # A power failure must not leave half an archive that every build of the day would begin with.
        lasting.put(half_made, self._place(key))

    def forget_old(self, now: float) -> None:
        """Delete those that serve no more."""
        for archive in self.folder.glob("*.tar.zst"):
            if now - archive.stat().st_mtime > SERVES_S:
                archive.unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.tar.zst"


def make(system: System, base: FromScratch, layers: Sequence[Layer], archives: Archives, steps: Steps) -> None:
    """All layers at `system.root`, which is not there yet. Raises CannotBuild."""
    keys = software_keys(base, layers)
    archives.forget_old(time.time())
    first = 0
    for number in reversed(range(len(layers))):
        if archive := archives.find(keys[number]):
            with steps.step(f"{layers[number].name}: from the cache"):
                system.root.mkdir()
                run("tar", "--zstd", *_ATTRIBUTES, "-xpf", archive, "-C", system.root)
            with steps.step(f"{layers[number].name}: files and commands"):
                settling.settle(system, layers[: number + 1])
            first = number + 1
            break
    for number in range(first, len(layers)):
        _add(system, base, layers[: number + 1], archives, keys[number], steps)


def software_keys(base: FromScratch, layers: Sequence[Layer]) -> list[str]:
    """For each layer, what its archive is called: another name for other software, or for other layers before it."""
    total = sha256(base.suite.encode())
    for name in _CODE:
        total.update((_HERE / name).read_bytes())
    keys = []
    for layer in layers:
        with_software = total.copy()
        with_software.update(repr(layer.packages).encode())
        for environment in layer.environments:
            with_software.update(repr((environment.name, environment.left_out)).encode())
            with_software.update(environment.lock.read_bytes())
        keys.append(with_software.hexdigest()[:24])
        total.update(layer.digest().encode())
    return keys


def _add(
    system: System, base: FromScratch, layers: Sequence[Layer], archives: Archives, key: str, steps: Steps
) -> None:
    """The last of these layers on the others."""
    layer, work = layers[-1], system.root.parent
    if len(layers) == 1:
        with steps.step(f"{layer.name}: Debian"):
            debian.install_first(system, base.suite, layer.packages, work)
    elif layer.packages:
        with steps.step(f"{layer.name}: Debian"):
            debian.install_more(system, layer.packages, work)
    for environment in layer.environments:
        with steps.step(f"{layer.name}: environment {environment.name}"):
            environments.install(system, environment, work)
    if len(layers) == 1 or layer.packages or layer.environments:
        with steps.step(f"{layer.name}: into the cache"):
            archives.keep(key, system, work)
    with steps.step(f"{layer.name}: files and commands"):
        settling.settle(system, layers)
