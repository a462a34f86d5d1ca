"""What root inside may ask of the machine's guard, held to narrow shapes: mount, unmount, grow. Pure.

Root inside may hold no capability that reaches a mount or the kernel, so the programs `mount`, `umount` and `resize2fs`
in there only write down what is wished. Whatever is not a volume or a share of this machine is refused, and so is every
place but those where people keep files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from .linux import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY

MOST_BYTES = 16 * 1024
KINDS = ("ext4", "nfs")
_PLACES = ("data", "home", "media", "mnt", "opt", "root", "run", "srv", "tmp", "var")
_MS_NOATIME = 0x400
_FLAGS = {"ro": MS_RDONLY, "noexec": MS_NOEXEC, "noatime": _MS_NOATIME}


class Refused(Exception):
    """The words that follow the program's name and the place, as mount(8) would end its sentence."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`do` is mount, umount or resize. `flags` are mount(2)'s; a mount is never without nosuid and nodev.

    `noload`: the journal of the file system is not to be played back, as nothing is to be written.
    """

    do: str
    kind: str = ""
    source: str = ""
    target: str = ""
    flags: int = MS_NOSUID | MS_NODEV
    lazy: bool = False
    noload: bool = False


def read_wish(raw: bytes) -> Wish:
    """Raises Refused."""
    try:
        asked = json.loads(raw)
    except ValueError:
        raise Refused("cannot be understood") from None
    if not isinstance(asked, dict):
        raise Refused("cannot be understood")
    match asked.get("do"):
        case "mount":
            return _mount(asked)
        case "umount":
            return Wish("umount", target=_path(asked, "target"), lazy=asked.get("lazy") is True)
        case "resize":
            return Wish("resize", source=_path(asked, "source"))
    raise Refused("cannot be understood")


def _mount(asked: dict[str, Any]) -> Wish:
    kind, source, target = asked.get("kind"), asked.get("source"), _path(asked, "target")
    options = asked.get("options")
    if kind not in KINDS or not isinstance(source, str) or not isinstance(options, list) or "remount" in options:
        raise Refused("permission denied")
    check_place(target)
    flags = MS_NOSUID | MS_NODEV
    for option in options:
        flags |= _FLAGS.get(str(option), 0)
    return Wish("mount", kind, source, target, flags, noload="noload" in options)


def check_place(target: str) -> None:
    """Raises Refused unless a mount may be made there; asked again once links have been followed."""
    parts = PurePosixPath(target).parts
    if len(parts) < 2 or parts[1] not in _PLACES or ".." in parts:
        raise Refused("permission denied")


def _path(asked: dict[str, Any], name: str) -> str:
    path = asked.get(name)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or len(path) > 4096:
        raise Refused("permission denied")
    return path
