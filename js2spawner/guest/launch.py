"""How the single-user server is started: its environment, its arguments, its certificates, its log."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import rundir
from .account import Account
from .assignment import Assignment
from .rundir import RunDir
from .standby import Order, Standby
from .system import SYSTEM_PATH

LABEXTENSIONS = Path(__file__).resolve().parent / "labextension"
# Programs of JupyterHub's that take Jupyter Server's and JupyterLab's options.
LAB_PROGRAMS = ("jupyterhub-singleuser", "jupyter-labhub", "jupyter-lab")
# A kernel's profile and its history need some hundred kilobytes.
LEAST_ROOM_BYTES = 4 * 1024**2


class CannotStart(Exception):
    """The server cannot even be tried; the message says why."""


def search_path(own: Mapping[str, str]) -> str:
    """Where programs are looked for when the hub does not say. `own` is the agent's environment."""
    # The agent's own interpreter stands beside the server's programs in an image.
    places = [str(Path(sys.executable).parent), *own.get("PATH", SYSTEM_PATH).split(":")]
    return ":".join(dict.fromkeys(places))


def environment(assignment: Assignment, account: Account, run: RunDir, own: Mapping[str, str]) -> dict[str, str]:
    """The hub's variables as they are, and over them what only the instance knows. `own` is the agent's."""
    # An operator's PATH wins.
    variables = {"LANG": "C.UTF-8", "PATH": search_path(own), **assignment.env}
    variables.update(HOME=account.home, USER=account.name, LOGNAME=account.name, SHELL=account.shell)
    variables["JUPYTER_RUNTIME_DIR"] = str(run.runtime)
    if not _has_room(account.home):
        # A kernel that cannot make its profile does not start at all, and somebody has to make room.
        variables.setdefault("IPYTHONDIR", str(run.runtime / "ipython"))
    if assignment.certificates is not None:
        variables["JUPYTERHUB_SSL_KEYFILE"] = str(run.tls / "server.key")
        variables["JUPYTERHUB_SSL_CERTFILE"] = str(run.tls / "server.crt")
        variables["JUPYTERHUB_SSL_CLIENT_CA"] = str(run.tls / "authority.crt")
    return variables


def _has_room(home: str) -> bool:
    """Whether a few small files can be made there; of a home that is not there (yet) it is taken to be so."""
    try:
        told = os.statvfs(home)
    except OSError:
        return True
    return told.f_bavail * told.f_frsize >= LEAST_ROOM_BYTES and not told.f_flag & os.ST_RDONLY


def arguments(assignment: Assignment, run: RunDir) -> list[str]:
    """The hub's arguments; a JupyterLab also learns where the lease and its extension are."""
    argv = list(assignment.argv)
    if Path(argv[0]).name in LAB_PROGRAMS:
        argv.append(f"--ServerApp.extra_static_paths={run.public}")
        argv.append(f"--LabApp.extra_labextensions_path={LABEXTENSIONS}")
    return argv


def write_certificates(assignment: Assignment, account: Account, run: RunDir) -> None:
    """Put internal_ssl's files where root and the user can read them, and nobody else."""
    if assignment.certificates is None:
        return
    run.share_with(run.tls, account.gid)
    given = assignment.certificates
    mode = 0o440 if account.switch else 0o400
    for name, text in (
        ("server.key", given.key),
        ("server.crt", given.certificate),
        ("authority.crt", given.authority),
    ):
        rundir.write(run.tls / name, text, mode, account.gid)


def start(
    argv: list[str], variables: Mapping[str, str], account: Account, log: Path, standby: Standby | None = None
) -> subprocess.Popen[bytes]:
    """Start the server as the user, in a session of its own, its output going to `log` only. Raises CannotStart.

    The process is that of `standby` if it took the order; what comes of that is for the caller to hear.
    """
    if account.uid == 0 or account.gid == 0:
        raise CannotStart("A server never runs as root.")
    program = shutil.which(argv[0], path=variables["PATH"])
    if program is None:
        raise CannotStart(f"{Path(argv[0]).name} is not on this image's PATH.")
    # Opened by us in a folder of ours: a path in the user's home could lead root anywhere.
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o640)
    try:
        if account.switch:
            os.fchown(descriptor, 0, account.gid)
        if standby is not None and standby.offer(_order(program, argv, variables, account), descriptor):
            return standby.child
        return subprocess.Popen(
            [program, *argv[1:]],
            cwd=account.home,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            umask=0o022,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=account.groups if account.switch else None,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        raise CannotStart(f"The server could not be started ({type(problem).__name__}).") from problem
    finally:
        os.close(descriptor)


def _order(program: str, argv: list[str], variables: Mapping[str, str], account: Account) -> Order:
    return Order(
        program=program,
        arguments=tuple(argv[1:]),
        variables=variables,
        home=account.home,
        uid=account.uid,
        gid=account.gid,
        groups=account.groups,
        switch=account.switch,
    )
