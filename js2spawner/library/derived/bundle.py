"""What is sent to the instance: trees of files as archives, cut into pieces that fit one message each."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import lzma
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import js2spawner.guest

PIECE_BYTES = 36 * 1024
"""48 KiB in base64: a message from us holds 64 KiB at most."""

Do = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """A file on its way, and how a step refers to it once it has arrived."""

    name: str
    data: bytes = field(repr=False)

    def pieces(self) -> Iterator[Do]:
        for offset in range(0, max(1, len(self.data)), PIECE_BYTES):
            part = base64.b64encode(self.data[offset : offset + PIECE_BYTES]).decode("ascii")
            yield {"kind": "piece", "name": self.name, "offset": offset, "data": part}

    @property
    def reference(self) -> dict[str, str]:
        return {"name": self.name, "sha256": hashlib.sha256(self.data).hexdigest()}


def archive(tree: Path) -> bytes:
    """The files and links of a tree, root's whoever they belong to, and the same bytes for the same tree."""
    made = io.BytesIO()
    with (
        lzma.open(made, "wb", preset=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for place in sorted(tree.rglob("*")):
            if place.is_symlink() or place.is_file():
                member = tar.gettarinfo(place, str(place.relative_to(tree)))
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mtime = 0
                member.mode = 0o755 if member.mode & 0o100 else 0o644
                # Two names of one file are two files: no tree needs to know how it lay on this machine's disk.
                member.type = tarfile.SYMTYPE if place.is_symlink() else tarfile.REGTYPE
                if place.is_symlink():
                    tar.addfile(member)
                    continue
                member.size = place.stat().st_size
                with place.open("rb") as content:
                    tar.addfile(member, content)
    return made.getvalue()


def program() -> bytes:
    """As much of the guest program as building takes, in a folder `guest`: what a base without it is booted with."""
    made = io.BytesIO()
    folder = Path(js2spawner.guest.__file__).parent
    with (
        lzma.open(made, "wb", preset=9 | lzma.PRESET_EXTREME) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(needed("building", folder)):
            content = (folder / f"{name}.py").read_bytes()
            member = tarfile.TarInfo(f"guest/{name}.py")
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def needed(name: str, folder: Path) -> set[str]:
    """A module of the guest program and whichever it imports or asks for by name, one through the other."""
    found: set[str] = set()
    waiting = ["__init__", "smoke", name]
    while waiting:
        here = waiting.pop()
        if here in found or not (folder / f"{here}.py").is_file():
            continue
        found.add(here)
        for node in ast.walk(ast.parse((folder / f"{here}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                waiting += [node.module] if node.module else [each.name for each in node.names]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "part":
                waiting += [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
    return found
