"""What is done ahead of time in the process that stands by: import the server, and all it will import later.

Names of modules are data here, tried and left out where an environment does not have them: the guest itself needs
the standard library only. Nothing is patched; what was done early is what the server would have done itself.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .recollection import Recollection, Recording
from .standby import NOWHERE
from .trusted import Changeable, Guard, Trusted

# Not jupyter-labhub: as it is imported it puts a sign-in of its own into Jupyter Server's handlers (JupyterHub's
# make_singleuser_app), which every server that comes of this process would have, jupyterhub-singleuser too.
PROGRAMS = ("jupyterhub-singleuser", "jupyter-lab")
# What a server imports between its first line and its first answer (sys.modules compared; JupyterLab 4.6).
LATE = (
    "IPython.paths",
    "httpcore",
    "jinja2.ext",
    "jupyter_core.migrate",
    "jupyter_lsp.virtual_documents_shadow",
    "jupyter_server.nbconvert.handlers",
    "jupyter_server.view.handlers",
    "tornado.platform.asyncio",
)
# They keep at import what only an assignment tells (the hub's address, the home, which programs are on the PATH):
# imported once more when it is known.
FRESH = ("jupyterhub.services.auth", "jupyterhub.singleuser", "jupyterlab.labapp", "jupytext")
# Whose modules may be made anew with them; somebody else's might not bear it (metrics are registered once).
OURS_TO_REPEAT = ("jupyterhub.", "jupyterlab.", "jupyterlab_jupytext")
# Keep it in plain globals: run again in place if need be, so that who imported a function from there is served, too.
RELOADED = frozenset(("jupyterlab.extensions.pypi", "send2trash.plat_other"))


class NotWarm(Exception):
    """This environment cannot stand by; the message says why."""


@dataclass(frozen=True)
class Warm:
    """What is ready: the programs by name, what their modules read at import, and which of them must be fresh."""

    programs: Mapping[str, EntryPoint]
    recollection: Recollection
    forgotten: frozenset[str]

    def repeated(self) -> frozenset[str]:
        """The modules that will have seen the real environment by the time the server runs."""
        return self.forgotten | RELOADED


def warm() -> Warm:
    """Import the servers of this environment with all their extensions. Raises NotWarm."""
    _refuse_user_site()
    try:
        return _warm(Trusted())
    except Changeable as problem:
        raise NotWarm(str(problem)) from problem


def _warm(trusted: Trusted) -> Warm:
    """Raises NotWarm; Changeable when there is something that root must not run."""
    trusted.check(*(place for place in (sys.executable, sys.prefix, *sys.path) if place))
    known = [point for point in entry_points(group="console_scripts") if point.name in PROGRAMS]
    programs = {}
    with Recording() as record, _guarded(trusted):
        for point in known:
            with contextlib.suppress(ImportError, AttributeError):
                point.load()
                programs[point.name] = point
        if not programs:
            raise NotWarm("this environment has no program of a notebook server")
        _import_extensions()
        for name in (*LATE, *_services()):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    # What was found by others' finders, and what was there before.
    trusted.check(*_files_of(sys.modules.values()))
    return Warm(programs, record.recollection(), forget(FRESH))


@contextlib.contextmanager
def _guarded(trusted: Trusted) -> Iterator[None]:
    """While it lasts no file is imported that others can change. Raises Changeable, also if an import hid it."""
    guard = Guard(trusted)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
    if guard.refused is not None:
        raise guard.refused


def forget(roots: Collection[str]) -> frozenset[str]:
    """Take modules, all in their packages and all that hold something of theirs, out of sys.modules. Raises NotWarm."""
    gone = {name for name in sys.modules if any(name == root or name.startswith(f"{root}.") for root in roots)}
    grown = True
    while grown:
        holders = {name for name, module in sys.modules.items() if name not in gone and _holds(module, gone)}
        # A package that got its submodule as an attribute does not depend on it.
        grown = bool(holders)
        for name in holders:
            if not name.startswith(OURS_TO_REPEAT):
                raise NotWarm(f"{name} builds on what must be imported afresh")
        gone |= holders
    for name in gone:
        del sys.modules[name]
        package, _, attribute = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(attribute, None)
    return frozenset(gone)


def _holds(module: Any, gone: Collection[str]) -> bool:
    """Whether a module's names are bound to a class or function of another that goes, or to a class built on one."""
    for value in list(vars(module).values()) if module is not None else ():
        # By type() and not isinstance(): lazy objects import things when they are asked what they are.
        if issubclass(type(value), types.FunctionType) and value.__module__ in gone:
            return True
        # Bases too: a class can be given others after it was made, by whoever imports something.
        if issubclass(type(value), type) and any(kind.__module__ in gone for kind in value.__mro__):
            return True
    return False


def import_afresh(program: EntryPoint, warm: Warm) -> Callable[[], Any]:
    """Import again what the program needs of what `warm` forgot, now that os.environ is the server's; its function."""
    path = os.environ.get("PATH")
    # labapp asks a node on the PATH for its settings, takes half a second over it and throws the answer away.
    os.environ["PATH"] = NOWHERE
    try:
        main: Callable[[], Any] = program.load()
        if "jupyterlab.labapp" in warm.forgotten:
            importlib.import_module("jupyterlab.labapp")
        return main
    finally:
        if path is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = path


def _services() -> list[str]:
    """The modules of Jupyter Server's own services; it imports them when it makes its web application."""
    known = getattr(sys.modules.get("jupyter_server.serverapp"), "JUPYTER_SERVICE_HANDLERS", {})
    return [name for names in known.values() for name in names or ()]


def _import_extensions() -> None:
    """Import the server extensions that the environment and the system enable, as a server will."""
    try:
        paths: Any = importlib.import_module("jupyter_core.paths")
        config: Any = importlib.import_module("jupyter_server.extension.config")
    except ImportError:
        return
    places = [*paths.ENV_CONFIG_PATH, *paths.SYSTEM_CONFIG_PATH]
    for name, enabled in config.ExtensionConfigManager(read_config_path=places).get_jpserver_extensions().items():
        if not enabled:
            continue
        # An extension that fails is the server's to report, in its log, where it is looked for.
        with contextlib.suppress(Exception):
            module = importlib.import_module(name)
            for point in getattr(module, "_jupyter_server_extension_points", list)():
                importlib.import_module(point["module"])


def _refuse_user_site() -> None:
    """A home may add modules of its own to an environment that is not closed off (site.ENABLE_USER_SITE)."""
    settings = Path(sys.prefix, "pyvenv.cfg")
    try:
        lines = settings.read_text(encoding="utf-8").lower().splitlines()
    except OSError as problem:
        raise NotWarm("the server's Python is no virtual environment") from problem
    told = dict(line.replace(" ", "").partition("=")[::2] for line in lines)
    if told.get("include-system-site-packages") == "true":
        raise NotWarm("the server's environment takes modules from users' homes")


def _files_of(modules: Iterable[Any]) -> list[Path]:
    files = (vars(module).get("__file__") for module in list(modules) if module is not None)
    return [Path(file) for file in files if isinstance(file, str)]
