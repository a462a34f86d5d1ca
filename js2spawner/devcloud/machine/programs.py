"""Which of the host's folders a machine needs to run our programs: the environment, its Python, this package."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import js2spawner

PACKAGE = Path(js2spawner.__file__).resolve().parent
GUEST = PACKAGE / "guest" / "agent.py"
_ALREADY_SHOWN = (Path("/usr"),)


def needed_trees() -> tuple[str, ...]:
    """Every folder under each name it may be spoken of by, outermost first; what lies in another is left out.

    The interpreter of an environment is a link to a link: scripts name the first, libraries are found by the last.
    """
    named = {Path(name) for name in (sys.prefix, sys.base_prefix, sys.base_exec_prefix, PACKAGE)}
    named |= {tree.resolve() for tree in named}
    trees: list[Path] = []
    for tree in sorted(named):
        if not any(tree.is_relative_to(shown) for shown in (*_ALREADY_SHOWN, *trees)):
            trees.append(tree)
    return tuple(str(tree) for tree in trees)


def unreadable() -> Path | None:
    """One of our folders or programs that an ordinary user could not use even with all the folders above it open."""
    for path in (Path(sys.executable).resolve(), Path(sys.prefix), Path(sys.base_prefix), PACKAGE, GUEST.parent):
        if path.exists():
            mode = path.stat().st_mode
            if not mode & stat.S_IROTH or not mode & stat.S_IXOTH:
                return path
    return None


def may_make_namespaces() -> bool:
    """Whether this process holds CAP_SYS_ADMIN (21 in include/uapi/linux/capability.h)."""
    status = Path("/proc/self/status").read_text()
    held = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(held, 16) >> 21 & 1)


def search_path() -> str:
    """PATH inside: what is installed beside our Python first, then the system's."""
    folders = [
        str(Path(sys.prefix, "bin")),
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    return os.pathsep.join(folders)
