"""Python environments below `/opt/js2`: wheels fetched by their hashes for the image's own Python, installed offline.

The server's environment has no pip and sees nothing of the user's: a notebook server starts whatever its user installs.
The others have pip, and put what a user installs who may not write there into `~/.local`, where it outlives the
instance if the home does.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name

from js2spawner.library import locks
from js2spawner.library.definition import SERVER, Definition, Environment, Kernel
from js2spawner.library.scratch.tools import CannotBuild, System, run

_WHEELS_INSIDE = "/tmp/wheels"  # noqa: S108 - the image's, which nobody else sees while it is built
KERNELS = f"opt/js2/{SERVER}/share/jupyter/kernels"
PROFILE = "etc/profile.d/js2.sh"
# Debian's own pip, for an environment to begin with (package python3-pip-whl, which python3-venv needs).
_BUNDLED = "/usr/share/python-wheels"

# What a process has compiled before shows in the bytes it writes, so each gets the same files on any machine. Some
# packages carry files of tests or templates that are no Python of this version: theirs to fail, quietly.
_COMPILE = """
find "$1" -name "*.py" | LC_ALL=C sort | split -n r/4 - /tmp/js2-compile-
for part in /tmp/js2-compile-*; do
    python3 -m compileall -q --invalidation-mode=unchecked-hash -i "$part" > /dev/null 2>&1 &
done
wait
"""

_PROFILE = """\
# Written when this image was built. What the user installed comes first, then the image's Python; root has neither,
# for both may be the user's to write.
if [ "$(id -u)" -ne 0 ]; then
    PATH="$HOME/.local/bin:{first}$PATH:/opt/js2/server/bin"
    export PATH
fi
"""


def install(system: System, environment: Environment, work: Path) -> None:
    """Make the environment anew from its lock. Raises CannotBuild."""
    if not (system.root / _BUNDLED.lstrip("/")).is_dir():
        raise CannotBuild(f"Environment {environment.name} needs the Debian package python3-venv; add it to packages.")
    wheels = work / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir()
    (wheels / "lock.txt").write_text(wanted_of(environment))
    _fetch(wheels, _python_version(system))
    place = system.root / environment.place.lstrip("/")
    shutil.rmtree(place, ignore_errors=True)
    system.run("python3", "-m", "venv", "--without-pip", environment.place)
    _install(system, environment, wheels)
    shutil.rmtree(wheels)
    if environment.name != SERVER:
        _let_users_add(place)
    compile_python(system, environment.place)


def wanted_of(environment: Environment) -> str:
    """The lock less the packages that are taken out again, as pip reads it. Raises CannotBuild."""
    left_out = {canonicalize_name(name) for name in environment.left_out}
    try:
        pins = locks.read(environment.lock).values()
    except locks.BadLock as problem:
        raise CannotBuild(f"{environment.lock}:{problem.line}: {problem}") from None
    lines = (
        f"{pin.name}=={pin.version} " + " ".join(f"--hash=sha256:{digest}" for digest in pin.hashes)
        for pin in pins
        if pin.name not in left_out
    )
    return "".join(f"{line}\n" for line in lines)


def compile_python(system: System, folder: str) -> None:
    """Bytecode that is used without a look at its source: an image's files do not change under it (PEP 552)."""
    system.run("sh", "-euc", _COMPILE, "sh", folder)


def write_kernels(root: Path, kernels: Iterable[Kernel]) -> None:
    """Kernelspecs where the server looks first: below its own environment."""
    for kernel in kernels:
        folder = root / KERNELS / kernel.name
        # A kernel of the same name that a package brought along is somebody else's.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(_kernelspec(kernel), indent=1) + "\n")
        for picture in _pictures(root, kernel):
            shutil.copyfile(picture, folder / picture.name)


def users_of(definition: Definition) -> str:
    """The environment that stands for "Python" in an image: its kernel python3's, or else the first; empty without."""
    kernels = {kernel.name: kernel.environment for layer in definition.layers for kernel in layer.kernels}
    names = [each.name for each in definition.environments if each.name != SERVER]
    return kernels.get("python3") or next(iter(names), "")


def write_profile(root: Path, users: str) -> None:
    """A login shell, also that of a terminal in JupyterLab, finds the user's environment first."""
    profile = root / PROFILE
    profile.write_text(_PROFILE.format(first=f"/opt/js2/{users}/bin:" if users else ""))
    profile.chmod(0o644)


def _fetch(wheels: Path, version: str) -> None:
    """For the image's Python and not for ours: a wheel may suit one patch release and not another."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input")
    exactly = ("--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={version}")
    run(*pip, *exactly, "--dest", wheels, "--requirement", wheels / "lock.txt")


def _install(system: System, environment: Environment, wheels: Path) -> None:
    bundled = sorted((system.root / _BUNDLED.lstrip("/")).glob("pip-*.whl"))
    if not bundled:
        raise CannotBuild(
            "The image's python3-venv brings no pip (/usr/share/python-wheels/pip-*.whl); nothing can be installed."
        )
    python = f"{environment.place}/bin/python"
    pip = (python, f"{_BUNDLED}/{bundled[-1].name}/pip", "install", "--quiet", "--no-input", "--no-index", "--no-deps")
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_CACHE_DIR": "1"}
    exactly = ("--no-compile", "--require-hashes", f"--find-links={_WHEELS_INSIDE}")
    lock = f"--requirement={_WHEELS_INSIDE}/lock.txt"
    system.run(*pip, *exactly, lock, shown={wheels: _WHEELS_INSIDE}, settings=settings)
    if environment.name != SERVER and not list(wheels.glob("pip-*.whl")):
        system.run(*pip, "--no-compile", f"--find-links={_BUNDLED}", "pip", settings=settings)


def _let_users_add(place: Path) -> None:
    """Let pip fall back to `~/.local`, which it refuses in an environment that does not see the system's packages."""
    settings = place / "pyvenv.cfg"
    told = settings.read_text()
    settings.write_text(re.sub(r"(include-system-site-packages *= *)false", r"\g<1>true", told))


def _kernelspec(kernel: Kernel) -> dict[str, object]:
    if kernel.argv:
        return {"argv": list(kernel.argv), "display_name": kernel.title, "language": kernel.language}
    folder = f"/opt/js2/{kernel.environment}"
    # As ipykernel writes it: with frozen modules the debugger would miss breakpoints.
    argv = [f"{folder}/bin/python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return {
        "argv": argv,
        "display_name": kernel.title,
        "language": kernel.language,
        "metadata": {"debugger": True},
        # So that `!pip` and `!python` in a notebook are the environment's.
        "env": {"PATH": f"{folder}/bin:${{PATH}}"},
    }


def _pictures(root: Path, kernel: Kernel) -> list[Path]:
    if kernel.environment:
        return sorted(root.glob(f"opt/js2/{kernel.environment}/lib/python3*/site-packages/ipykernel/resources/logo-*"))
    return sorted(root.glob(f"usr/lib/{kernel.language}/*-library/*/kernelspec/logo-*"))


def _python_version(system: System) -> str:
    return system.run("python3", "-c", "import platform; print(platform.python_version())").strip()
