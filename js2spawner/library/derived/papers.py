"""What is kept on this machine of a build whose image lies in the cloud: record, base, software, licences."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from js2spawner.cloud.records import Image
from js2spawner.library import bill
from js2spawner.library.builds import BILL, LICENCES, Build, Builds
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.inventorying import licences, record
from js2spawner.library.software import Package

BASE = "base.json"
"""Which image of the cloud it was made of: id, name, age, and Glance's hash of its data."""


def with_licences(packages: Iterable[Package]) -> tuple[Package, ...]:
    """The same with licences as SPDX names them, and in printable characters: the instance tells them as it likes."""
    return tuple(sorted({_named(package) for package in packages}))


def _named(package: Package) -> Package:
    if package.kind == "deb":
        told = licences.all_of(licences.from_debian(name) for name in package.licence.split(" AND ") if name)
    else:
        told = licences.any_of(licences.from_words(name) for name in package.licence.split(" OR ") if name)
    name, version, licence = (_printable(text) for text in (package.name, package.version, told[:200]))
    return replace(package, name=name, version=version, licence=licence)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text).strip()


def write(builds: Builds, made: Build, definition: Definition, base: Image, packages: tuple[Package, ...]) -> None:
    """All of it, or nothing: the record, by which a build is found, comes last."""
    place = builds.place(made)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    assert isinstance(definition.base, Derived)
    at = datetime.fromisoformat(made.at)
    known = {"id": base.id, "name": base.name, "created": base.created.isoformat(), "checksum": base.checksum}
    (place / BASE).write_text(json.dumps(known, indent=2) + "\n")
    suite = (definition.base.image.lower(), "amd64")
    (place / BILL).write_text(bill.cyclonedx(made.image, made.id, at, packages, suite))
    (place / LICENCES).write_text(bill.licences(definition.title, made.image, made.id, packages))
    record.write(packages, place / record.NAME)
    builds.save(made)
