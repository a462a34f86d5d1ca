"""What is kept on this machine of a build whose image lies in the cloud: its record, its bill, its licences."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from js2spawner.library import bill
from js2spawner.library.builds import BILL, LICENCES, Build, Builds
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.inventorying import licences, record
from js2spawner.library.software import Package


def with_licences(packages: Iterable[Package]) -> tuple[Package, ...]:
    """The same with licences as SPDX names them; the instance tells them as it finds them."""
    return tuple(sorted({_named(package) for package in packages}))


def _named(package: Package) -> Package:
    if package.kind == "deb":
        told = licences.all_of(licences.from_debian(name) for name in package.licence.split(" AND ") if name)
    else:
        told = licences.any_of(licences.from_words(name) for name in package.licence.split(" OR ") if name)
    return replace(package, licence=told[:200])


def write(builds: Builds, made: Build, definition: Definition, packages: tuple[Package, ...]) -> None:
    """All of it, or nothing: the record, by which a build is found, comes last."""
    place = builds.place(made)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    assert isinstance(definition.base, Derived)
    base = definition.base.image.lower()
    at = datetime.fromisoformat(made.at)
    (place / BILL).write_text(bill.cyclonedx(made.image, made.id, at, packages, (base, "amd64")))
    (place / LICENCES).write_text(bill.licences(definition.title, made.image, made.id, packages))
    record.write(packages, place / record.NAME)
    builds.save(made)
