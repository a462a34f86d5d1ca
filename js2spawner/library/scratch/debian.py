"""Debian below a folder: the first packages by mmdebstrap, more of them later by apt, offline inside.

Packages come from wherever this machine gets its own, and no trace of that stays: the image's own list of sources is
the one Debian's package `apt` carries as its example, so it names the public mirrors of its release.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from js2spawner.library.scratch.tools import HOSTNAME, CannotBuild, System, run, run_alone

# Documentation and translations are a third of a small Debian; copyright files stay, as their licences ask.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*")
_EXAMPLE_SOURCES = "/usr/share/doc/apt/examples/sources.list"
KEPT = ("/usr/share/doc/*/copyright", _EXAMPLE_SOURCES)

_HASHED_ALIKE = {"PYTHONHASHSEED": "0"}
_APT_INSIDE = "/tmp/apt"  # noqa: S108 - the image's, which nobody else sees while it is built


def install_first(system: System, suite: str, packages: Iterable[str], work: Path) -> None:
    """Make the smallest Debian with these packages at `system.root`, which is not there yet. Raises CannotBuild."""
    options = work / "apt.conf"
    options.write_text(_machine_options())
    command: list[str | Path] = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(packages)}", f"--aptopt={options}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in KEPT]
    settings = {**_HASHED_ALIKE, "SOURCE_DATE_EPOCH": str(system.epoch)}
    run_alone(*command, suite, system.root, *machine_sources(), settings=settings)
    _forget_this_machine(system.root)


def install_more(system: System, packages: Iterable[str], work: Path) -> None:
    """Add packages: fetched by this machine's apt, installed by the image's. Raises CannotBuild."""
    wanted = list(packages)
    apt = work / "apt"
    for folder in ("sources", "lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    for number, source in enumerate(machine_sources()):
        shutil.copy(source, apt / "sources" / f"{number}{source.suffix}")
    outside, inside = apt / "outside.conf", apt / "inside.conf"
    status = system.root / "var/lib/dpkg/status"
    nothing = "/nonexistent"
    outside.write_text(
        f'{_machine_options()}{_places(str(apt))}Dir::State "{apt}"; Dir::State::status "{status}";\n'
        f'Dir::Etc::parts "{nothing}"; Dir::Etc::main "{nothing}"; Dir::Etc::preferencesparts "{nothing}";\n'
    )
    inside.write_text(_places(_APT_INSIDE))
    outside.chmod(0o600)
    settings = {"APT_CONFIG": str(outside)}
    run("apt-get", "-qq", "update", settings=settings)
    install = ("apt-get", "-qq", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "install")
    run(*install, "--download-only", *wanted, settings=settings)
    with _no_services(system.root):
        shown = {apt: _APT_INSIDE}
        system.run(
            *install, "--no-download", *wanted, shown=shown, settings={"APT_CONFIG": f"{_APT_INSIDE}/inside.conf"}
        )
    shutil.rmtree(apt)


def machine_sources() -> list[Path]:
    """Where this machine itself gets Debian from. Raises CannotBuild where it is no Debian."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*.sources"))]
    found = [place for place in places if place.is_file() and place.stat().st_size]
    if not found:
        raise CannotBuild(
            "This machine has no Debian to build from: neither /etc/apt/sources.list nor"
            " /etc/apt/sources.list.d/debian*.sources names one; build on a Debian machine."
        )
    return found


def _machine_options() -> str:
    """How this machine's apt fetches, with its proxies: to be written to files only, for there may be passwords."""
    # Its user for downloads has no business in a folder that only root can read.
    return run("apt-config", "dump", "Acquire") + 'APT::Sandbox::User "root";\n'


def _places(folder: str) -> str:
    return (
        f'Dir::State::lists "{folder}/lists"; Dir::Cache "{folder}/cache";\n'
        f'Dir::Etc::sourcelist "/nonexistent"; Dir::Etc::sourceparts "{folder}/sources";\n'
        'Acquire::Retries "3";\n'
    )


@contextmanager
def _no_services(root: Path) -> Iterator[None]:
    """Packages start no service while they are installed: 101 is "forbidden by policy" (invoke-rc.d(8))."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _forget_this_machine(root: Path) -> None:
    """mmdebstrap leaves its sources and options, and this machine's name and resolver, in what it makes."""
    apt = root / "etc/apt"
    for file in [*apt.glob("sources.list*"), *apt.glob("sources.list.d/*"), apt / "apt.conf.d/99mmdebstrap"]:
        if file.is_file():
            file.unlink()
    shutil.copyfile(root / _EXAMPLE_SOURCES.lstrip("/"), apt / "sources.list")
    (root / "etc/hostname").write_text(f"{HOSTNAME}\n")
    resolver = root / "etc/resolv.conf"
    if not resolver.is_symlink():
        resolver.unlink(missing_ok=True)
