"""What the rig installs: two servers from Debian, and the services into a virtual environment of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.openstack.rig.infrastructure import RABBITMQ
from tests.openstack.rig.layout import Layout
from tests.openstack.rig.processes import RigError
from tools.install import CannotInstall, apt_install, digest, is_current

HERE = Path(__file__).parent
PINS = [HERE / "requirements.txt", HERE / "constraints.txt"]


def install(layout: Layout, say: Callable[[str], None]) -> None:
    """Nothing when it is all there. Raises RigError with what to do about what is missing."""
    if not (shutil.which("mariadbd") and RABBITMQ.exists()):
        _debian(["mariadb-server", "rabbitmq-server"])
    _services(layout, say)


def _debian(packages: Sequence[str]) -> None:
    try:
        apt_install(packages, otherwise=f"The rig needs Debian's {' and '.join(packages)}, and root to install them.")
    except CannotInstall as problem:
        raise RigError(str(problem)) from None


def _services(layout: Layout, say: Callable[[str], None]) -> None:
    inside = HERE / "inside"
    wanted = digest([*PINS, inside / "pyproject.toml"], extra=str(layout.venv))
    stamp = layout.venv / "installed"
    if is_current(stamp, wanted):
        return
    say("OpenStack's services into a virtual environment (two or three minutes) …")
    layout.home.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", layout.venv], check=True)
    pip = [layout.program("python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c", PINS[1]]
    subprocess.run([*pip, "setuptools", "wheel"], check=True)
    subprocess.run([*pip, "-r", PINS[0]], check=True)
    # Editable: a change of the glue needs no installation.
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", inside], check=True)
    stamp.write_text(wanted)
