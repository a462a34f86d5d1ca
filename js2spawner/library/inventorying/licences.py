"""Licence names as SPDX writes them, from what Debian, PyPI and CRAN say instead. An unknown name stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Debian's short names (copyright-format 1.0, section 7.2) where SPDX's differ, and what people write otherwise.
_ELSEWHERE = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license (== 2.0)": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd-2-clause license": "BSD-2-Clause",
    "bsd_2_clause": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "bsd_3_clause": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "gfdl-1.3+": "GFDL-1.3-or-later",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "zlib/libpng license": "Zlib",
    "zpl 2.1": "ZPL-2.1",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "zlib": "Zlib",
    "mit": "MIT",
    "isc": "ISC",
    "x11": "X11",
    "bsl-1": "BSL-1.0",
    "bsl-1.0": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "openssl": "OpenSSL",
    "mpl-2": "MPL-2.0",
    "sil-1.1": "OFL-1.1",
    "zope public license": "ZPL-2.1",
}
_GNU = re.compile(r"(?P<family>A?GPL|LGPL|GFDL)[- ]?v?(?P<version>\d(?:\.\d)?)(?:\.0)?(?P<later>\+?)", re.IGNORECASE)
_GNU_FROM_CRAN = re.compile(r"(?P<family>A?GPL|LGPL) \(>=? ?(?P<version>\d(?:\.\d)?)\)", re.IGNORECASE)
_GNU_CLASSIFIER = re.compile(r"GNU .*\((?P<family>A?GPL|LGPL)v(?P<version>\d)(?P<later>\+?)\)")
_DEBIAN_WITH = re.compile(r"\s+with\s+(?P<exception>.+?)(\s+exception)?$", re.IGNORECASE)


def from_debian(name: str) -> str:
    """`GPL-2+ or Artistic`, `GPL-3+ with autoconf exception`, as in a copyright file."""
    choices = re.split(r"\s+or\s+|\s*,\s*or\s+", name.strip(), flags=re.IGNORECASE)
    return any_of(
        all_of(_debian_name(each) for each in re.split(r"\s+and\s+", one, flags=re.IGNORECASE)) for one in choices
    )


def from_classifier(classifier: str) -> str:
    """PyPI's `License :: OSI Approved :: BSD License`; empty for one that says nothing ("OSI Approved" alone)."""
    words = classifier.split(" :: ")[-1].strip()
    if words in ("License", "OSI Approved", "Other/Proprietary License"):
        return "" if words != "Other/Proprietary License" else "Proprietary"
    if found := _GNU_CLASSIFIER.search(words):
        return _gnu(found["family"], found["version"], bool(found["later"]))
    return from_words(words)


def from_words(words: str) -> str:
    """One licence in somebody's words."""
    told = words.strip()
    if found := _GNU_FROM_CRAN.fullmatch(told):
        return _gnu(found["family"], found["version"], later=True)
    if found := _GNU.fullmatch(told):
        return _gnu(found["family"], found["version"], bool(found["later"]))
    return _ELSEWHERE.get(told.lower(), told)


def all_of(names: Iterable[str]) -> str:
    """What needs all of these. A choice is left out if one of its ends is needed anyway."""
    needed = {part for name in names for part in _parts(name, "AND")}
    return _joined((name for name in needed if not needed & set(_parts(name, "OR")) - {name}), "AND")


def any_of(names: Iterable[str]) -> str:
    return _joined((part for name in names for part in _parts(name, "OR")), "OR")


def _parts(name: str, word: str) -> list[str]:
    """The parts of an expression that `word` joins at its top; itself if it is something else."""
    parts = re.split(rf" {word} (?![^(]*\))", name)
    other = {"AND": "OR", "OR": "AND"}[word]
    if re.search(rf" {other} (?![^(]*\))", name):
        return [name]
    return [part.removeprefix("(").removesuffix(")") if part.startswith("(") else part for part in parts if part]


def _joined(names: Iterable[str], word: str) -> str:
    """Each once; one that is itself a choice or a sum in brackets."""
    found = sorted(set(names), key=str.casefold)
    if len(found) == 1:
        return found[0]
    return f" {word} ".join(f"({name})" if re.search(r" (AND|OR) ", name) else name for name in found)


def _debian_name(name: str) -> str:
    bare = name.strip().rstrip(",")
    if found := _DEBIAN_WITH.search(bare):
        return f"{from_words(bare[: found.start()])} WITH {found['exception'].strip()}"
    return from_words(bare)


def _gnu(family: str, version: str, later: bool) -> str:
    whole = version if "." in version else f"{version}.0"
    return f"{family.upper()}-{whole}-{'or-later' if later else 'only'}"
