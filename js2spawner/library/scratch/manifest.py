"""What lies on a build's disk, a line for each file, so that two builds can be compared without mounting them."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "files.txt.gz"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link. `content` is a digest of it, where a link leads, or the numbers of a device."""

    mode: str
    owner: str
    size: str
    time: str
    content: str


def write(root: Path, manifest: Path) -> None:
    with manifest.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as out:
        for place, entry in sorted(_walk(root), key=lambda found: found[0]):
            line = "\t".join((entry.mode, entry.owner, entry.size, entry.time, entry.content, place))
            out.write(line.encode(errors="surrogateescape") + b"\n")


def read(manifest: Path) -> dict[str, Entry]:
    with gzip.open(manifest, "rt", errors="surrogateescape", newline="\n") as lines:
        rows = (line.rstrip("\n").split("\t", 5) for line in lines)
        return {place: Entry(*rest) for *rest, place in rows}


def differences(one: dict[str, Entry], other: dict[str, Entry]) -> list[str]:
    """A line for each file that differs, and in what."""
    told = []
    for place in sorted({*one, *other}):
        before, after = one.get(place), other.get(place)
        if before is None or after is None:
            told.append(f"{place}: only in the {'second' if before is None else 'first'}")
        elif before != after:
            names = [name for name in Entry.__slots__ if getattr(before, name) != getattr(after, name)]
            told.append(f"{place}: {', '.join(names)}")
    return told


def _walk(root: Path) -> Iterator[tuple[str, Entry]]:
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            place = Path(folder) / name
            shown = str(place.relative_to(root)).replace("\n", "\\n")
            yield f"/{shown}", _entry(place)


def _entry(place: Path) -> Entry:
    seen = place.lstat()
    content, size = "-", "-"
    if stat.S_ISLNK(seen.st_mode):
        content = str(place.readlink())
    elif stat.S_ISREG(seen.st_mode):
        size = str(seen.st_size)
        with place.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISCHR(seen.st_mode) or stat.S_ISBLK(seen.st_mode):
        content = f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}"
    return Entry(f"{seen.st_mode:o}", f"{seen.st_uid}:{seen.st_gid}", size, str(int(seen.st_mtime)), content)
