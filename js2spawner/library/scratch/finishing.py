"""The last steps in a tree of files: the guest program goes in, and out goes what no two machines may share.

What is left depends on the definition, on Debian's and PyPI's packages, and on the day of the build.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import js2spawner.guest
from js2spawner.library.definition import Definition
from js2spawner.library.scratch import disk, environments, settling
from js2spawner.library.scratch.tools import System

GUEST = "opt/js2/guest"

# Identities and keys, which every machine makes for itself; random seeds; whatever was cached, logged or kept as the
# version before while software was installed.
_FORGOTTEN = (
    "etc/.pwd.lock",
    "etc/*-",
    "etc/ssh/ssh_host_*",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "etc/ssl/private/ssl-cert-snakeoil.key",
    "root/.*_history",
    "root/.cache",
    "root/.wget-hsts",
    "root/.lesshst",
    "home/*",
    "run/*",
    "tmp/*",
    "tmp/.*",
    "var/backups/*",
    "var/cache/apparmor/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/*",
    "var/cache/man/*",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/timesync/clock",
    "var/tmp/*",
    "var/tmp/.*",
)
_LOGS = "var/log"


def finish(system: System, definition: Definition) -> None:
    """Raises CannotBuild."""
    _add_guest(system)
    environments.write_profile(system.root, environments.users_of(definition))
    system.run("update-initramfs", "-u", "-k", "all")
    forget(system.root)
    for name in disk.LOADER:
        (system.root / name).touch()
    stamp(system.root, system.epoch)


def _add_guest(system: System) -> None:
    tree = Path(js2spawner.guest.__file__).parent
    shutil.rmtree(system.root / GUEST, ignore_errors=True)
    (system.root / GUEST).mkdir(parents=True)
    settling.copy_files(tree, system.root / GUEST)
    environments.compile_python(system, f"/{GUEST}")


def forget(root: Path) -> None:
    """Take out of a tree what no two machines may share, and what only the build needed."""
    for pattern in _FORGOTTEN:
        for found in root.glob(pattern):
            if found.is_dir() and not found.is_symlink():
                shutil.rmtree(found)
            else:
                found.unlink()
    for folder, _, files in os.walk(root / _LOGS):
        for name in files:
            (Path(folder) / name).unlink()
    # Empty means "not yet": systemd makes one at the first boot (machine-id(5)).
    (root / "etc/machine-id").write_text("")


def stamp(root: Path, epoch: int) -> None:
    """Nothing is younger than the build's day. What came from packages keeps its time, which caches compare."""
    for folder, folders, files in os.walk(root, topdown=False):
        for name in (*files, *folders):
            place = os.path.join(folder, name)  # noqa: PTH118 - a hundred thousand times
            seen = os.lstat(place)
            if seen.st_mtime > epoch:
                os.utime(place, (epoch, epoch), follow_symlinks=False)
    os.utime(root, (epoch, epoch))
