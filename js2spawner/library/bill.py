"""A build's bill of materials (CycloneDX 1.6), and the same for people: which licence holds for what."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from textwrap import fill

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from js2spawner.library.software import Package

_NOT_SAID = "not said in a form that programs read"
_INTRODUCTION = """\
Licences of {title} ({image}, build {build})

This is an aggregate of independently made packages; each is under its own licence, as its makers declare it. The list
is drawn from machine-readable files of the packages. The texts themselves are in the image, in
/usr/share/doc/PACKAGE/copyright for Debian's packages and in each Python package's folder NAME.dist-info.
"""


def cyclonedx(image: str, build: str, at: datetime, packages: Iterable[Package], distribution: tuple[str, str]) -> str:
    """The bill as JSON; the same for the same. `distribution` is Debian's suite and architecture (bookworm, amd64)."""
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"js2:{image}:{build}")
    subject = Component(name=image, version=build, type=ComponentType.OPERATING_SYSTEM, bom_ref=f"{image}@{build}")
    components = [_component(package, distribution) for package in sorted(set(packages))]
    bom = Bom(serial_number=serial, components=components, metadata=BomMetaData(component=subject, timestamp=at))
    bom.register_dependency(subject, components)
    written: str = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    return written


def licences(title: str, image: str, build: str, packages: Iterable[Package]) -> str:
    """A text: each licence with the packages that are under it."""
    under: dict[str, set[str]] = defaultdict(set)
    for package in packages:
        under[package.licence or _NOT_SAID].add(f"{package.name} {package.version}")
    lines = [_INTRODUCTION.format(title=title, image=image, build=build)]
    for licence in sorted(under, key=lambda name: (name == _NOT_SAID, name.casefold())):
        names = ", ".join(sorted(under[licence], key=str.casefold))
        lines.append(f"{licence}\n{fill(names, 118, initial_indent='  ', subsequent_indent='  ')}\n")
    return "\n".join(lines)


def address(package: Package, distribution: tuple[str, str]) -> PackageURL:
    """The package's URL (purl-spec), by which scanners look up what is known of it."""
    if package.kind == "deb":
        suite, architecture = distribution
        return PackageURL("deb", "debian", package.name, package.version, {"arch": architecture, "distro": suite})
    return PackageURL(package.kind, None, package.name, package.version)


def _component(package: Package, distribution: tuple[str, str]) -> Component:
    purl = address(package, distribution)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licences(package.licence),
    )


def _licences(told: str) -> list[License]:
    """What SPDX knows by a name or as an expression; anything else in the words it was told in."""
    return [LicenseFactory().make_from_string(told)] if told else []
