"""Lock files: every package of one environment with its version and the hash of its wheel. `locking` makes them.

The first line says what was asked for and of which Python, so that a lock that is behind its definition is found out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from js2spawner.library.definition import Environment

_PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[\w.!+-]+)(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")


class BadLock(ValueError):
    """A lock cannot be used; `line` is where, the message a sentence with the remedy."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One package: its name as PyPI writes it in addresses, its version, the SHA-256 of its wheels."""

    name: str
    version: str
    hashes: tuple[str, ...]


def headline(environment: Environment) -> str:
    asked = " ".join(sorted(environment.packages, key=str.casefold))
    return f"# Python {environment.python}, x86_64: {asked}"


def write(environment: Environment, pins: Iterable[Pin]) -> None:
    """Write the lock, whole or not at all."""
    rows = [
        f"{pin.name}=={pin.version}" + "".join(f" --hash=sha256:{digest}" for digest in pin.hashes)
        for pin in sorted(pins)
    ]
    environment.lock.parent.mkdir(exist_ok=True)
    half_made = environment.lock.with_name(f".{environment.lock.name}")
    half_made.write_text("\n".join([headline(environment), *rows]) + "\n")
    half_made.rename(environment.lock)


def read(lock: Path) -> dict[str, Pin]:
    """The pins of a lock by name. Raises BadLock for a line that is no full pin, OSError."""
    pins: dict[str, Pin] = {}
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _PIN.fullmatch(line.strip())
        if not found:
            raise BadLock(number, "this line is not “name==version --hash=sha256:…”; make the lock anew")
        if found["name"] in pins:
            raise BadLock(number, f"{found['name']} stands here twice; make the lock anew")
        hashes = tuple(word.removeprefix("--hash=sha256:") for word in found["hashes"].split())
        pins[found["name"]] = Pin(found["name"], found["version"], hashes)
    return pins


def behind(environment: Environment, pins: dict[str, Pin]) -> Iterator[str]:
    """Why a lock does not serve its environment; one sentence for each reason."""
    for asked in map(Requirement, environment.packages):
        pin = pins.get(canonicalize_name(asked.name))
        if pin is None:
            yield f"“{asked}” is not in its lock"
        elif not asked.specifier.contains(pin.version, prereleases=True):
            yield f"“{asked}” is asked for and its lock has {pin.version}"
    with environment.lock.open() as lock:
        if lock.readline().rstrip("\n") != headline(environment):
            yield "its lock was made for other packages or another Python"
