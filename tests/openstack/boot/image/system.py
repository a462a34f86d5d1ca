"""The files of an image before it is a disk: Debian by mmdebstrap, PyPI's packages in an environment of their own.

Commands in the image run in mount and PID namespaces of their own, so nothing stays mounted or running, however a
build ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.openstack.boot.image.definition import VERSIONS, Definition

ENVIRONMENT = "/opt/js2/environment"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Documentation and translations are a third of a minimal Debian; copyright files stay, as their licences ask.
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
_KEPT = ("/usr/share/doc/*/copyright",)


def make_system(definition: Definition, root: Path, wheels: Path) -> None:
    """Install Debian below `root`, and the Python packages into it. `wheels` is a folder to download them to."""
    _install_debian(definition, root)
    version = run_in(root, "python3", "-c", "import platform; print(platform.python_version())").strip()
    _download(definition.python, version, wheels)
    _install_python(definition, root, wheels)


def run_in(root: Path, *command: str) -> str:
    """A command as the image's own root, with its own /proc; what it printed. Raises CalledProcessError."""
    inside = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}", "chroot", str(root), *command]
    return run(inside, {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"})


def run(command: Iterable[str | Path], environment: Mapping[str, str]) -> str:
    """Raises CalledProcessError after showing what the command said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(f"{done.stdout[-4000:]}{done.stderr[-4000:]}\n")
    done.check_returncode()
    return done.stdout


def _install_debian(definition: Definition, root: Path) -> None:
    command: list[str | Path] = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(definition.packages)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in _KEPT]
    run([*command, definition.suite, root, *_host_sources()], _host_environment())


def _host_sources() -> list[Path]:
    """Where this machine itself gets Debian from. Raises StopIteration where it is no Debian."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*.sources"))]
    return [place for place in places if place.is_file() and place.stat().st_size]


def _host_environment() -> dict[str, str]:
    """Ours, with its proxies and mirrors, but nothing that would stop a Python in the image from keeping bytecode."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _download(packages: Iterable[str], version: str, wheels: Path) -> None:
    """For the image's Python and not for ours: a wheel may suit one patch release and not another."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--only-binary=:all:", f"--python-version={version}", f"--dest={wheels}", f"--constraint={VERSIONS}"]
    run([*pip, *options, *packages], _host_environment())


def _install_python(definition: Definition, root: Path, wheels: Path) -> None:
    inside = root / "tmp" / "wheels"
    shutil.copytree(wheels, inside)
    run_in(root, "python3", "-m", "venv", ENVIRONMENT)
    pip = [f"{ENVIRONMENT}/bin/python", "-m", "pip", "--disable-pip-version-check"]
    run_in(
        root, *pip, "install", "--quiet", "--no-compile", "--no-index", "--find-links=/tmp/wheels", *definition.python
    )
    run_in(root, *pip, "uninstall", "--quiet", "--yes", *definition.left_out, "setuptools", "pip")
    compile_python(root, ENVIRONMENT)
    shutil.rmtree(inside)


def compile_python(root: Path, folder: str) -> None:
    """Bytecode that is used without a look at its source: an image's files do not change under it (PEP 552)."""
    # Some packages carry files of tests or templates that are no Python of this version: theirs to fail, quietly.
    compileall = ("-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", folder)
    run_in(root, "sh", "-c", f"python3 {' '.join(compileall)} || true")
