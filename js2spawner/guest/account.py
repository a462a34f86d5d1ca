"""The user's account on this instance: made once, adopted when it is there already, with or without sudo."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .assignment import LEAST_UID, Assignment
from .rundir import write
from .system import CannotRun, must

SUDOERS = Path("/etc/sudoers.d/js2-user")
# The groups to which Debian, Ubuntu and Rocky give sudo.
ADMINISTRATORS = ("sudo", "wheel", "admin")
GRACE_S = 2.0


class AccountProblem(Exception):
    """The account cannot be had; the message is one sentence and holds no name."""


@dataclass(frozen=True)
class Account:
    """Who the server runs as. `switch` is False when we are no root and can only be ourselves."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str
    switch: bool


class Made:
    """Which account this guest program made on this disk, written down where only root writes.

    An image that somebody saved holds an account: to the next user it is given over, and nobody else's ever is.
    Written before it is done, with both names where there are two: what was interrupted is still ours.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "account.json"

    def is_it(self, known: pwd.struct_passwd) -> bool:
        try:
            kept = json.loads(self._file.read_text())
            names = (kept["name"], kept.get("becomes") or kept["name"])
            return bool(known.pw_name in names and known.pw_uid == kept["uid"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def note(self, name: str, uid: int, becomes: str = "") -> None:
        """Write it down. Raises AccountProblem."""
        try:
            write(self._file, json.dumps({"name": name, "uid": uid, "becomes": becomes}), 0o600)
        except OSError as problem:
            raise AccountProblem(f"The account cannot be written down ({problem.strerror}).") from problem


def ours(name: str) -> Account:
    """Ourselves, under the user's name: an unprivileged guest has no account to make. Raises AccountProblem."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        raise AccountProblem("An unprivileged guest runs as root, and a server never does.")
    home = os.environ.get("HOME", "")
    if not Path(home).is_dir():
        raise AccountProblem("The unprivileged guest has no home directory in HOME.")
    return Account(name, uid, gid, (), home, os.environ.get("SHELL", "/bin/sh"), switch=False)


def ensure(assignment: Assignment, made: Made) -> Account:
    """Make, take over or adopt the account on this instance, its home and its sudo rule. Needs root.

    Raises AccountProblem.
    """
    try:
        return _ensure(assignment, made)
    except CannotRun as problem:
        raise AccountProblem(str(problem)) from problem


def _ensure(assignment: Assignment, made: Made) -> Account:
    known = _lookup(assignment.user_name)
    if known is None:
        taken = next((entry for entry in pwd.getpwall() if entry.pw_uid == assignment.uid), None)
        if taken is None:
            made.note(assignment.user_name, assignment.uid)
            _make(assignment)
        elif made.is_it(taken):
            made.note(taken.pw_name, taken.pw_uid, becomes=assignment.user_name)
            _give_over(taken, assignment.user_name)
        else:
            raise AccountProblem(
                f"Uid {assignment.uid} belongs to another account of this image; give users another uid."
            )
        known = _lookup(assignment.user_name)
    if known is None:
        raise AccountProblem("The account was made but cannot be found.")
    if known.pw_uid < LEAST_UID or known.pw_gid == 0:
        raise AccountProblem("The account of that name belongs to the system.")
    _ensure_home(known)
    _settle_sudo(assignment)
    groups = tuple(group for group in os.getgrouplist(known.pw_name, known.pw_gid) if group != 0)
    shell = known.pw_shell if Path(known.pw_shell).exists() else "/bin/sh"
    return Account(known.pw_name, known.pw_uid, known.pw_gid, groups, known.pw_dir, shell, switch=True)


def _lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _give_over(taken: pwd.struct_passwd, name: str) -> None:
    """Make the account of whoever saved this image its next user's, with the home as it is.

    Account and home change their names in two steps, so that one that was interrupted is taken up by the next boot.
    """
    # A service of theirs, say: usermod renames nobody who runs something, and the next user did not start it.
    processes.end(
        lambda: processes.belonging(processes.everything(), taken.pw_uid, []), time.monotonic, time.sleep, GRACE_S
    )
    home = f"/home/{name}"
    if Path(taken.pw_dir) != Path(home):
        if Path(home).exists():
            raise AccountProblem("The home of this image's account cannot be given over: its new name is in use.")
        must("usermod", "--home", home, "--move-home", taken.pw_name)
    if any(group.gr_name == taken.pw_name and group.gr_gid == taken.pw_gid for group in grp.getgrall()):
        must("groupmod", "--new-name", name, taken.pw_name)
    must("usermod", "--login", name, taken.pw_name)


def _make(assignment: Assignment) -> None:
    gid = str(assignment.uid)
    if not any(group.gr_gid == assignment.uid for group in grp.getgrall()):
        if any(group.gr_name == assignment.user_name for group in grp.getgrall()):
            gid = str(grp.getgrnam(assignment.user_name).gr_gid)
        else:
            must("groupadd", "--gid", gid, assignment.user_name)
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    home = f"/home/{assignment.user_name}"
    uid = str(assignment.uid)
    must(
        *("useradd", "--uid", uid, "--gid", gid, "--create-home", "--home-dir", home, "--shell", shell),
        assignment.user_name,
    )


def _ensure_home(known: pwd.struct_passwd) -> None:
    home = Path(known.pw_dir)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = home.lstat()
        if not stat.S_ISDIR(seen.st_mode):
            raise AccountProblem("The account's home is not a directory.")
        # A fresh volume's top directory is root's; one that is already somebody's is left as it is.
        if seen.st_uid == 0:
            os.chown(home, known.pw_uid, known.pw_gid, follow_symlinks=False)
            home.chmod(0o700)
    except OSError as problem:
        raise AccountProblem(f"The account's home cannot be made ({problem.strerror}).") from problem


def _settle_sudo(assignment: Assignment) -> None:
    name = assignment.user_name
    try:
        if assignment.sudo:
            SUDOERS.parent.mkdir(mode=0o750, exist_ok=True)
            # `write` names its half-made file with a leading dot, which sudo does not read (sudoers(5), @includedir).
            write(SUDOERS, f"{name} ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
            return
        SUDOERS.unlink(missing_ok=True)
    except OSError as problem:
        raise AccountProblem(f"The sudo rule cannot be written ({problem.strerror}).") from problem
    for group in grp.getgrall():
        if group.gr_name in ADMINISTRATORS and name in group.gr_mem:
            must("gpasswd", "--delete", name, group.gr_name)
