"""The last steps of a build: say what software is there, and take out what no two machines may share."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .build_site import Site
from .shell import Program, StepFailed

PART = 8000
MOST_PARTS = 64
_KEPT = "software"

# Asked of each environment's own Python: what is installed there, a JSON list a line.
_DISTRIBUTIONS = """
import importlib.metadata, json
for found in importlib.metadata.distributions():
    told = found.metadata
    licence = told.get("License-Expression") or told.get("License") or ""
    classes = [c.rsplit(" :: ", 1)[-1] for c in told.get_all("Classifier") or () if c.startswith("License :: ")]
    if not licence or len(licence) > 100:
        licence = " OR ".join(classes)
    print(json.dumps([told.get("Name") or "", found.version or "", licence]))
"""
_R_PACKAGES = 'p <- installed.packages(); cat(paste(p[,"Package"], p[,"Version"], p[,"License"], sep="\\t"), sep="\\n")'

# Identities and keys, which every machine makes for itself; random seeds; whatever was cached, logged or remembered.
_FORGOTTEN = (
    "etc/ssh/ssh_host_*",
    "root/.ssh/authorized_keys",
    "home/*/.ssh/authorized_keys",
    "root/.*_history",
    "home/*/.*_history",
    "root/.cache",
    "root/.wget-hsts",
    "root/.lesshst",
    "root/.viminfo",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dhcp/*",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/timesync/clock",
    "var/lib/cloud/*",
    "var/tmp/*",
    "var/tmp/.*",
    "var/crash/*",
)
_JOURNAL = "[Journal]\nStorage=volatile\n"


def software(site: Site, step: Mapping[str, Any], _until: float) -> str:
    """One part of the list of software, in the form of `software.packed`; the first part makes the list."""
    number = step.get("part")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MOST_PARTS:
        raise StepFailed("the order's 'part' is no number of a part")
    kept = site.work / _KEPT
    if number == 0:
        site.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = sorted({tuple(row) for row in _everything(site)})
        raw = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
        kept.write_bytes(base64.b64encode(zlib.compress(raw, 9)))
    told = kept.read_bytes() if kept.exists() else b""
    return told[number * PART : (number + 1) * PART].decode("ascii")


def clean(site: Site, _step: Mapping[str, Any], until: float) -> str:
    """Make the next boot a first boot, leave no key, log or history behind, and have it all written to the disk."""
    root = site.root
    _try(site, until, "cloud-init", "clean", "--logs")
    # From now on the journal writes to memory; the setting is in memory too, so that the image has its own.
    if (root / "run/systemd/journal").is_dir():
        settings = root / "run/systemd/journald.conf.d"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "js2-build.conf").write_text(_JOURNAL)
        _try(site, until, "systemctl", "restart", "systemd-journald.service")
    for pattern in _FORGOTTEN:
        for found in root.glob(pattern):
            _remove(found)
    for found in (root / "tmp").glob("*"):
        # What systemd keeps for running services goes with them.
        if not found.name.startswith("systemd-private-"):
            _remove(found)
    _empty_logs(root / "var/log")
    # Empty means "not yet": systemd makes one at the first boot (machine-id(5)).
    if (root / "etc/machine-id").exists():
        (root / "etc/machine-id").write_text("")
    site.forget()
    _try(site, until, "fstrim", "--all")
    os.sync()
    return ""


def _everything(site: Site) -> Iterator[list[str]]:
    yield from _debian(site)
    for python in sorted((site.root / "opt/js2").glob("*/bin/python")):
        # As the environment's own program: below another root (in tests) it is a link that leads out.
        said = site.shell.listing((str(python), "-I", "-c", _DISTRIBUTIONS))
        for line in said.splitlines():
            name, version, licence = json.loads(line)
            yield ["pypi", *(_plain(text) for text in (name, version, licence))]
    if shutil.which("Rscript"):
        said = site.shell.listing(("Rscript", "--vanilla", "-e", _R_PACKAGES))
        for cells in (line.split("\t") for line in said.splitlines()):
            if len(cells) == 3:
                yield ["cran", *(_plain(text) for text in cells)]


def _debian(site: Site) -> Iterator[list[str]]:
    if not (site.root / "var/lib/dpkg/status").exists():
        return
    showing = "--showformat=${db:Status-Abbrev}\\t${Package}\\t${Version}\\n"
    said = site.shell.listing(("dpkg-query", f"--admindir={site.root / 'var/lib/dpkg'}", "--show", showing))
    for line in said.splitlines():
        state, name, version = line.split("\t")
        if state[1:2] == "i":
            yield ["deb", name, version, _licence(site.root / "usr/share/doc" / name / "copyright")]


def _licence(copyright_file: Path) -> str:
    """The short names in a machine-readable copyright file (Debian's DEP-5); nothing for others."""
    try:
        with copyright_file.open("rb") as stream:
            text = stream.read(262_144).decode(errors="replace")
    except OSError:
        return ""
    if "copyright-format/1.0" not in text[:2000]:
        return ""
    names = dict.fromkeys(re.findall(r"^License: *(\S[^\n]{0,80})", text, re.MULTILINE))
    return _plain(" AND ".join(names))


def _plain(text: str) -> str:
    return " ".join(text.split())[:200]


def _empty_logs(folder: Path) -> None:
    """Logs in use are emptied and stay; those of before and the journal's go."""
    for file in folder.rglob("*"):
        if file.is_symlink() or not file.is_file():
            continue
        if "journal" in file.parts or re.search(r"\.(gz|xz|zst|old|\d+)$", file.name):
            file.unlink()
        else:
            os.truncate(file, 0)


def _remove(found: Path) -> None:
    if found.is_dir() and not found.is_symlink():
        shutil.rmtree(found, ignore_errors=True)
    else:
        found.unlink()


def _try(site: Site, until: float, *argv: str) -> None:
    """A program that not every base has, and that may refuse: what matters is done by our own hands too."""
    try:
        site.shell.run(Program(argv), until, argv[0])
    except StepFailed:
        pass
