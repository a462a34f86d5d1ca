"""Debian's packages of a tree: dpkg's status file, and the copyright files that each package carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from js2spawner.library.inventorying import licences
from js2spawner.library.software import Package

_STATUS = "var/lib/dpkg/status"
# In a machine-readable copyright file, one of a Files paragraph has a name and possibly a text below it.
_LICENSE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)
_MACHINE_READABLE = re.compile(r"^Format(-Specification)?:", re.IGNORECASE)


def packages(root: Path) -> Iterator[Package]:
    status = root / _STATUS
    if not status.is_file():
        return
    for paragraph in status.read_text(errors="replace").split("\n\n"):
        fields = _fields(paragraph)
        if fields.get("Status", "").endswith(" installed"):
            name = fields["Package"]
            yield Package("deb", name, fields.get("Version", ""), _licence(root / "usr/share/doc" / name / "copyright"))


def architecture(root: Path) -> str:
    """dpkg's word for the processor this system is for; empty where there is no dpkg."""
    status = root / _STATUS
    if not status.is_file():
        return ""
    found = re.search(r"^Architecture: (?!all$)(\S+)$", status.read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else ""


def _fields(paragraph: str) -> dict[str, str]:
    lines = (line.partition(":") for line in paragraph.splitlines() if line[:1] not in ("", " ", "\t"))
    return {name: value.strip() for name, _, value in lines}


def _licence(file: Path) -> str:
    """All licences that a machine-readable copyright file names, as one expression; empty if it is none.

    The format is Debian's (copyright-format 1.0): every Files paragraph names one, so the package needs all of them.
    """
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    if not _MACHINE_READABLE.match(text.lstrip("\ufeff\n")):
        return ""
    return licences.all_of(licences.from_debian(name) for name in _LICENSE.findall(text))
