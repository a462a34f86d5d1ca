"""R's packages of a tree, by the DESCRIPTION file that each has in its library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from js2spawner.library.inventorying import licences
from js2spawner.library.software import Package

_LIBRARIES = ("usr/lib/R/library", "usr/lib/R/site-library", "usr/local/lib/R/site-library", "usr/share/R/library")


def packages(root: Path) -> Iterator[Package]:
    for library in _LIBRARIES:
        for description in sorted((root / library).glob("*/DESCRIPTION")):
            fields = _fields(description.read_text(errors="replace"))
            # R's own packages have R's version and licence, and are in Debian's list with it.
            if fields.get("Priority") != "base" and fields.get("Package") and fields.get("Version"):
                yield Package("cran", fields["Package"], fields["Version"], _licence(fields.get("License", "")))


def _fields(text: str) -> dict[str, str]:
    """Debian control syntax: a field goes on in lines that begin with white space."""
    joined = re.sub(r"\n[ \t]+", " ", text)
    return {name: value.strip() for name, _, value in (line.partition(":") for line in joined.splitlines())}


def _licence(told: str) -> str:
    """`GPL-2 | file LICENSE`: a bar is a choice, a file fills in the name ("Writing R Extensions", 1.1.2)."""
    names = [re.sub(r"\+?\s*file LICEN[CS]E", "", choice).strip() for choice in told.split("|")]
    return licences.any_of(licences.from_words(name) for name in names if name)
