"""What an image holds, package by package: the list that every build records and the hub's library page shows."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

Kind = Literal["deb", "pypi", "cran"]
KINDS: tuple[Kind, ...] = ("deb", "pypi", "cran")

# What one image may claim to hold; a longer list in a property is no list of ours.
PACKAGES_AT_MOST = 5000
_BYTES_AT_MOST = 1024 * 1024


class BadSoftware(ValueError):
    """A packed list cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One package. `licence` is as short as its source tells it (an SPDX expression where there is one), or empty."""

    kind: Kind
    name: str
    version: str
    licence: str = ""


def packed(packages: Iterable[Package]) -> str:
    """The list as printable text that is short enough for image properties: compressed JSON in base64."""
    rows = [astuple(package) for package in sorted(set(packages))]
    raw = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def unpacked(text: str) -> tuple[Package, ...]:
    """Read `packed` text, which somebody else on the allocation may have written. Raises BadSoftware."""
    try:
        inflate = zlib.decompressobj()
        raw = inflate.decompress(base64.b64decode(text, validate=True), _BYTES_AT_MOST)
        if not inflate.eof:
            raise BadSoftware("the list of software is too long or cut off")
        rows = json.loads(raw)
    except (ValueError, zlib.error, RecursionError) as problem:
        raise BadSoftware(f"the list of software cannot be read: {problem}") from problem
    if not isinstance(rows, list) or len(rows) > PACKAGES_AT_MOST:
        raise BadSoftware("the list of software is no list")
    return tuple(_package(row) for row in rows)


def _package(row: object) -> Package:
    if not isinstance(row, list) or len(row) != 4 or not all(isinstance(part, str) for part in row):
        raise BadSoftware("the list of software holds something other than packages")
    kind, name, version, licence = row
    if kind not in KINDS:
        raise BadSoftware("the list of software holds a package of an unknown kind")
    return Package(kind, name[:200], version[:100], licence[:200])
