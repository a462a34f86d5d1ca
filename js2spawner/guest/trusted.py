"""What root may run: files that nobody else can change, nor put others in the place of.

Without root, what nobody but root and we ourselves can change.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class Changeable(Exception):
    """Somebody else could change a file or a folder above it; the message says which."""


class Trusted:
    """Looks at files with the folders above them, at each once: thousands of files lie in few folders."""

    def __init__(self) -> None:
        self._folders: set[Path] = set()
        self._files: set[Path] = set()

    def check(self, *places: str | os.PathLike[str]) -> None:
        """Raises Changeable. Of a place that does not exist only the folders matter."""
        for place in places:
            path = Path(place).absolute()
            if path not in self._files:
                self._check_folder(path.parent)
                if self._is_link(path):
                    self.check(path.resolve())
                self._files.add(path)

    def _check_folder(self, folder: Path) -> None:
        if folder in self._folders:
            return
        self._folders.add(folder)
        if folder.parent != folder:
            self._check_folder(folder.parent)
        if self._is_link(folder):
            self._check_folder(folder.resolve())

    def _is_link(self, path: Path) -> bool:
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        # A link has no mode of its own, and in a sticky folder each thing is its owner's to replace.
        link = stat.S_ISLNK(found.st_mode)
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, os.geteuid()) or (found.st_mode & 0o022 and not sticky and not link):
            raise Changeable(f"{path} can be changed by others than root")
        return link


class Guard:
    """A finder of modules that looks at each before one line of it is run; `refused` keeps what it found wrong.

    An import that fails for it may be caught by whoever asked for the module.
    """

    def __init__(self, trusted: Trusted) -> None:
        self._trusted = trusted
        self.refused: Changeable | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target)
        if found is not None and found.has_location:
            try:
                self._trusted.check(*(place for place in (found.origin, found.cached) if place))
            except Changeable as problem:
                self.refused = self.refused or problem
                raise
        return found
