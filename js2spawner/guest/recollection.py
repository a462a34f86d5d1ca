"""What the modules of a server looked up in the environment while they were imported, and whether that still holds.

A module may keep what it read: a home, a hub's address. Imported ahead of time it has read nothing of the kind, so
each look is recorded with the module that was being imported, and judged when the real environment is known.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

EVERYTHING = "*"
# These work on the interpreter or on libraries of C before any of our lines could honour them.
BEFORE_PYTHON = ("PYTHON", "LD_", "MALLOC_")
BEFORE_PYTHON_NAMES = frozenset(("GLIBC_TUNABLES", "OPENSSL_CONF", "OPENSSL_MODULES"))
# Language, at import, is that of log lines and help texts: they stay English. Pages have settings of their own.
LANGUAGE = frozenset(("LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES"))
# (variable, module): read at import, and of no consequence to a server.
HARMLESS = frozenset(
    (
        (EVERYTHING, "prometheus_client.exposition"),  # wsgiref's copy for CGI, which nobody speaks here
        ("HOME", "prometheus_client.exposition"),
        ("PATH", "prometheus_client.exposition"),
        ("USER", "jupyter_client.session"),  # `becoming.arguments` names the user instead
    )
)


@dataclass(frozen=True)
class Recollection:
    """`read`: variable to the modules whose import looked it up; `saw`: the environment they saw."""

    read: Mapping[str, frozenset[str]]
    saw: Mapping[str, str]

    def contradicted(self, variables: Mapping[str, str], fresh: Collection[str]) -> str:
        """Why this environment needs a process of its own, in a sentence without values; empty if it does not.

        `fresh` are the modules that will be imported again, under the new environment.
        """
        for name in variables:
            if name.startswith(BEFORE_PYTHON) or name in BEFORE_PYTHON_NAMES:
                return f"{name} must be set before Python starts"
        if not _speaks_utf8(variables):
            return "its locale is not UTF-8"
        for name, module in self.outdated(variables):
            if module not in fresh:
                return f"{module} looks at {_spoken(name)} while it is imported"
        return ""

    def outdated(self, variables: Mapping[str, str]) -> list[tuple[str, str]]:
        """Which variable would now be another to which module, where that matters."""
        return [
            (name, module)
            for name, modules in sorted(self.read.items())
            if name not in LANGUAGE and (name == EVERYTHING or variables.get(name) != self.saw.get(name))
            for module in sorted(modules)
            if (name, module) not in HARMLESS
        ]


class Recording:
    """`with Recording() as record:` notes every look at os.environ; then `record.recollection()`."""

    def __enter__(self) -> Recording:
        self._read: dict[str, set[str]] = {}
        self._saw = dict(os.environ)
        _Watched.note = self._note
        # The same object in another class: who did `from os import environ` is watched, too.
        os.environ.__class__ = os.environb.__class__ = _Watched
        return self

    def __exit__(self, *_problem: object) -> None:
        os.environ.__class__ = os.environb.__class__ = _Environ
        _Watched.note = None

    def recollection(self) -> Recollection:
        return Recollection({name: frozenset(modules) for name, modules in self._read.items()}, self._saw)

    def _note(self, name: str | bytes) -> None:
        module = _being_imported(sys._getframe(2))
        if module is not None:
            self._read.setdefault(os.fsdecode(name), set()).add(module)


_Environ: Any = type(os.environ)


class _Watched(_Environ):  # type: ignore[misc]
    note: Any = None

    def __getitem__(self, name: Any) -> Any:
        type(self).note(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        type(self).note(EVERYTHING)
        return iter(super().__iter__())


def _being_imported(frame: FrameType | None) -> str | None:
    """The innermost module outside the standard library whose body runs; None for what is nobody's."""
    while frame is not None:
        # It keeps where `pip install --user` would put things; pip asks for that in a process of its own.
        if frame.f_globals.get("__name__") == "sysconfig":
            return None
        if frame.f_code.co_name == "<module>":
            name = str(frame.f_globals.get("__name__", ""))
            if name == "__main__":
                return None
            if name.partition(".")[0] not in sys.stdlib_module_names:
                return name
        frame = frame.f_back
    return None


def _speaks_utf8(variables: Mapping[str, str]) -> bool:
    value = variables.get("LC_ALL") or variables.get("LC_CTYPE") or variables.get("LANG") or "C"
    # Python coerces the C locale to C.UTF-8 (PEP 538), which is what it was started with.
    return value in ("C", "POSIX") or value.lower().replace("-", "").partition("@")[0].endswith(".utf8")


def _spoken(name: str) -> str:
    return "the whole environment" if name == EVERYTHING else name
