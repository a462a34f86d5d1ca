"""Resolve an environment for the image's Python, whichever Python runs here: pip's resolver, metadata only.

pip chooses wheels by `--python-version` but reads conditions ("; python_version < '3.12'") by the Python it runs on. So
its answer is gone over once more with the image's Python: what was missed is asked for in a further round, what is not
reached is dropped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from js2spawner.library import locks
from js2spawner.library.definition import Environment
from js2spawner.library.locks import Pin

PATIENCE_S = 1800.0
_ROUNDS_AT_MOST = 5
_PIP = Path(__file__).with_name("pip_elsewhere.py")
# Up to the glibc that every base has: Debian 12's is 2.36, Ubuntu 24.04's newer.
_GLIBC_MINORS = range(5, 37)


class CannotLock(RuntimeError):
    """No set of packages serves the environment, or none could be looked up; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """One package of pip's answer, and what it needs itself under which conditions."""

    pin: Pin
    requires: tuple[Requirement, ...]


Resolve = Callable[[Sequence[str], str, Mapping[str, Pin]], Mapping[str, Found]]
"""Packages, a version of Python and pins to keep; answers what pip would install, by name."""


def lock(environment: Environment, kept: Mapping[str, Pin], resolve: Resolve | None = None) -> dict[str, Pin]:
    """The pins of everything `environment` needs; those in `kept` stay as they are. Blocks; raises CannotLock."""
    resolve = resolve or by_pip
    asked = list(environment.packages)
    for _ in range(_ROUNDS_AT_MOST):
        found = resolve(asked, environment.python, kept)
        reached, missed = _reached(environment, found)
        if not missed:
            return {name: found[name].pin for name in reached}
        asked += [each for each in missed if each not in asked]
    raise CannotLock(f"The packages of {environment.name} ask for more in every round; name fewer, or pin some.")


def _reached(environment: Environment, found: Mapping[str, Found]) -> tuple[list[str], list[str]]:
    """What the environment needs by the image's own Python: names that were found, and requirements that were not."""
    markers = _markers(environment.python)
    seen: set[tuple[str, str]] = set()
    missed: list[str] = []
    waiting = [Requirement(each) for each in environment.packages]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            missed.append(str(Requirement(str(requirement).split(";")[0])))
            continue
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _wanted(found[name].requires, {**markers, "extra": extra})
    return sorted({name for name, _ in seen}), sorted(set(missed))


def _wanted(requires: Sequence[Requirement], markers: dict[str, str]) -> Iterator[Requirement]:
    for requirement in requires:
        if requirement.marker is None:
            # Without a condition it holds for any extra; it is followed once, for none.
            if not markers["extra"]:
                yield requirement
        elif requirement.marker.evaluate(markers):
            yield requirement


def _markers(python: str) -> dict[str, str]:
    """What conditions are read by: the image's, not this machine's (PEP 508)."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
    }


def by_pip(packages: Sequence[str], python: str, kept: Mapping[str, Pin]) -> dict[str, Found]:
    """Ask pip what it would install, from wherever this machine's pip gets packages. Raises CannotLock."""
    with tempfile.TemporaryDirectory(prefix="js2-lock-") as name:
        folder = Path(name)
        pins = folder / "pins.txt"
        pins.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in kept.values()))
        report = folder / "report.json"
        command = [sys.executable, "-P", str(_PIP), python]
        command += ["install", "--quiet", "--disable-pip-version-check", "--no-input", "--dry-run"]
        command += ["--ignore-installed", "--only-binary=:all:", f"--python-version={python}"]
        command += [f"--platform=manylinux_2_{minor}_x86_64" for minor in reversed(_GLIBC_MINORS)]
        command += ["--platform=manylinux2014_x86_64", f"--target={folder / 'nothing'}", f"--report={report}"]
        _run([*command, f"--constraint={pins}", *packages], kept=bool(kept))
        return _found(json.loads(report.read_text()))


def _run(command: Sequence[str], *, kept: bool) -> None:
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        done = subprocess.run(  # noqa: S603  our own pip, with names that `model` has checked
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotLock(f"pip found no answer within {PATIENCE_S / 60:.0f} minutes; narrow the versions.") from None
    if done.returncode == 0:
        return
    errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    said = " ".join(dict.fromkeys(errors)) or done.stderr.strip()[-500:] or "nothing"
    advice = " If the pins of the lock stand in the way, use --upgrade." if kept else ""
    raise CannotLock(f"pip cannot resolve it: {said}{advice}")


def _found(report: Mapping[str, Any]) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for item in report["install"]:
        metadata, archive = item["metadata"], item["download_info"].get("archive_info", {})
        digest = archive.get("hashes", {}).get("sha256", "")
        if not digest:
            raise CannotLock(f"pip tells no SHA-256 of {metadata['name']}; use an index that has them.")
        name = canonicalize_name(metadata["name"])
        requires = tuple(map(Requirement, metadata.get("requires_dist", ())))
        found[name] = Found(Pin(name, metadata["version"], (digest,)), requires)
    return found


def pins_to_keep(environment: Environment, before: Environment | None) -> dict[str, Pin]:
    """The pins of its own lock, or of the environment it replaces when it has none yet; none of an unreadable one."""
    for each in (environment, before):
        if each is not None and each.lock.is_file():
            try:
                return locks.read(each.lock)
            except (OSError, ValueError):
                continue
    return {}
