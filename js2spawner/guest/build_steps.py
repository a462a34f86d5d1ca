"""The steps of a build that put things into the image: files, Debian's packages, Python environments, commands, a try.

Each is `do(site, step, until)`: it checks the order, does it by the instant `until`, and raises StepFailed otherwise.
Only those that a person wrote down in the definition of an image are ever asked for; nothing of the base is taken away,
and its kernel, its drivers and its boot loader are left as they are.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import pwd
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .build_site import NAME, Site, word, words
from .rundir import ensure_own
from .shell import Program, StepFailed
from .system import SYSTEM_PATH

PACKAGE = r"[a-z0-9][a-z0-9+.-]{1,100}"
# What a base brings to run on its cloud's hardware. linux-libc-dev is only what compilers read.
PROTECTED = re.compile(
    r"linux-(?!libc-dev$|base$|sysctl-defaults$).+|.*nvidia.*|cuda-drivers.*|.*-dkms|grub.*|shim.*|systemd-boot.*|extlinux"
)
MOST_BYTES = 256 * 1024 * 1024
MOST_FILES = 50_000
LOCK_RETRY_S = 5.0
_LOCKED = re.compile(
    r"[Cc]ould not get lock|[Uu]nable to (?:acquire|lock)|[Ww]aiting for cache lock|is another process using it"
)
_WHEELS = "usr/share/python-wheels"
_QUIET_APT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "NEEDRESTART_MODE": "l"}
_INSTALL = ("apt-get", "-q", "--yes", "--no-install-recommends", "--no-remove", "-o", "Dpkg::Use-Pty=0")
_KEEP_SETTINGS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")


def piece(site: Site, step: Mapping[str, Any], _until: float) -> str:
    """A part of a file, at its place: the same part twice is the same file."""
    name = word(step, "name", NAME)
    offset = step.get("offset")
    site.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    ensure_own(site.work)
    file = site.work / name
    there = file.stat().st_size if file.exists() else 0
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset <= min(there, MOST_BYTES):
        raise StepFailed("the order's 'offset' is not within the file")
    try:
        data = base64.b64decode(word(step, "data", r"[A-Za-z0-9+/=]{0,65536}"), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise StepFailed("the order's 'data' is not base64") from problem
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.seek(offset)
        stream.write(data)
        stream.truncate()
    return ""


def unpack(site: Site, step: Mapping[str, Any], _until: float) -> str:
    """Lay an archive over the root: files, folders and links, all of them root's."""
    archive = site.blob(step, "blob")
    try:
        with tarfile.open(archive, "r:xz") as members:
            for number, member in enumerate(members):
                if number >= MOST_FILES:
                    raise StepFailed(f"the archive holds more than {MOST_FILES} files")
                _lay(site.root, members, member)
    except (tarfile.TarError, EOFError) as problem:
        raise StepFailed(f"the archive cannot be read ({problem})") from problem
    archive.unlink()
    return ""


def packages(site: Site, step: Mapping[str, Any], until: float) -> str:
    """Debian's packages, from where the base gets its own."""
    wanted = words(step, "names", PACKAGE, 1000)
    if not wanted:
        return ""
    _quieten(site, until)
    for name in wanted:
        if PROTECTED.fullmatch(name):
            raise StepFailed(f"package {name} belongs to the base's kernel, drivers or boot loader; take it out")
    held = _hold(site, until)
    try:
        _apt(site, ("apt-get", "-q", "update"), until)
        planned = site.shell.listing((*_INSTALL, "--simulate", "install", *wanted))
        for name in re.findall(r"^Inst (\S+)", planned, re.MULTILINE):
            if PROTECTED.fullmatch(name):
                raise StepFailed(f"the packages would change {name}, the base's kernel, driver or boot loader")
        with _no_services(site.root / "usr/sbin/policy-rc.d"):
            _apt(site, (*_INSTALL, *_KEEP_SETTINGS, "install", *wanted), until)
    finally:
        if held:
            _apt(site, ("apt-mark", "unhold", *held), until)
    return ""


def environment(site: Site, step: Mapping[str, Any], until: float) -> str:
    """A Python environment, made anew from its lock: wheels by their hashes, from the base's own index."""
    name = word(step, "name", r"[a-z][a-z0-9-]{0,40}")
    pip_too = step.get("pip") is True
    lock = site.blob(step, "blob")
    place = f"/opt/js2/{name}"
    _check_python(site, word(step, "python", r"3\.\d{1,2}(\.\d{1,3})?"), until)
    if not list((site.root / _WHEELS).glob("pip-*.whl")):
        packages(site, {"names": ["python3-venv"]}, until)
    pip = max((site.root / _WHEELS).glob("pip-*.whl"), default=None)
    if pip is None:
        raise StepFailed("the base's python3-venv brings no pip")
    shutil.rmtree(site.root / place.lstrip("/"), ignore_errors=True)
    python = f"{place}/bin/python"
    run = site.shell.run
    run(Program(("/usr/bin/python3", "-m", "venv", "--without-pip", place)), until, f"making environment {name}")
    install = (python, f"/{_WHEELS}/{pip.name}/pip", "install", "--no-input", "--no-deps", "--no-compile")
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_NO_CACHE_DIR": "1"}
    locked = ("--require-hashes", "--only-binary=:all:", "--requirement", str(lock))
    if lock.stat().st_size:
        run(Program((*install, *locked), settings), until, f"pip, for environment {name}")
    if pip_too and not list((site.root / place.lstrip("/")).glob("lib/python3*/site-packages/pip")):
        own = ("--no-index", f"--find-links=/{_WHEELS}", "pip")
        run(Program((*install, *own), settings), until, f"pip, for environment {name}")
    if pip_too:
        _let_users_add(site.root / place.lstrip("/") / "pyvenv.cfg")
    _compile(site, place, until)
    return ""


def command(site: Site, step: Mapping[str, Any], until: float) -> str:
    """A command of the definition, as root and without a network, as in images that are built from nothing."""
    text = step.get("text")
    if not isinstance(text, str) or not 0 < len(text) <= 16_384 or "\0" in text:
        raise StepFailed("the order's 'text' is no command")
    alone: Sequence[str] = ("unshare", "--net", "--")
    try:
        site.shell.run(Program((*alone, "true")), until, "unshare")
    except StepFailed:
        alone = ()
    return site.shell.run(Program((*alone, "sh", "-euc", text), _QUIET_APT), until, "the command")


def smoke(site: Site, step: Mapping[str, Any], until: float) -> str:
    """Run a notebook from its first cell to its last, as an account that owns nothing."""
    notebook = site.blob(step, "blob")
    python = "/opt/js2/server/bin/python"
    nobody = pwd.getpwnam("nobody")
    home = Path(tempfile.mkdtemp(prefix="js2-smoke-"))
    try:
        mine = {notebook.name: notebook, "runner.py": Path(__file__).with_name("smoke.py")}
        for name, source in mine.items():
            shutil.copyfile(source, home / name)
        # The folder last: until then nobody but root can put a link in a file's place.
        for place in (*home.iterdir(), home):
            os.chown(place, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        home_settings = {
            "HOME": str(home),
            "PATH": f"/opt/js2/server/bin:{SYSTEM_PATH}",
            "IPYTHONDIR": str(home / "ipython"),
        }
        argv = (python, "-I", str(home / "runner.py"), str(home / notebook.name))
        program = Program(argv, home_settings, nobody.pw_uid, nobody.pw_gid, str(home))
        return site.shell.run(program, until, "the notebook")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _lay(root: Path, members: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    parts = Path(member.name).parts
    if not parts or member.name.startswith("/") or ".." in parts:
        raise StepFailed(f"the archive holds a path that leads elsewhere: {member.name[:100]}")
    target = root.joinpath(*parts)
    if member.isdir():
        # One that is there keeps its mode, and may be a link to where its files are.
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    if not member.isreg() and not member.issym():
        raise StepFailed(f"the archive holds something other than files and links: {member.name[:100]}")
    if target.is_dir() and not target.is_symlink():
        raise StepFailed(f"{member.name[:100]} is a folder of the base and cannot become a file")
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name[:200]}.js2-new")
    fresh.unlink(missing_ok=True)
    if member.issym():
        fresh.symlink_to(member.linkname)
    else:
        source = members.extractfile(member)
        assert source is not None
        with source, fresh.open("xb") as stream:
            shutil.copyfileobj(source, stream)
        fresh.chmod(0o755 if member.mode & 0o100 else 0o644)
    fresh.replace(target)


@contextlib.contextmanager
def _no_services(policy: Path) -> Iterator[None]:
    """Packages start no service while they are installed: 101 is "forbidden by policy" (invoke-rc.d(8))."""
    ours = policy.parent.is_dir() and not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink()


def _quieten(site: Site, until: float) -> None:
    """Upgrades of this machine by itself would hold dpkg's lock, and might bring another kernel into the image."""
    units = ("apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service")
    try:
        site.shell.run(Program(("systemctl", "stop", *units)), min(until, site.clock() + 300.0), "systemctl stop")
    except StepFailed:
        pass  # what it does not have cannot be in the way


def _hold(site: Site, until: float) -> list[str]:
    """Forbid apt to touch what is protected; the names of those that were not held before."""
    installed = site.shell.listing(
        ("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\\n")
    ).splitlines()
    names = {line[3:].strip() for line in installed if line.startswith(("ii", "hi"))}
    held = {line[3:].strip() for line in installed if line.startswith("hi")}
    fresh = sorted(name for name in names - held if PROTECTED.fullmatch(name))
    if fresh:
        _apt(site, ("apt-mark", "hold", *fresh), until)
    return fresh


def _apt(site: Site, argv: Sequence[str], until: float) -> None:
    """Run apt, again and again while somebody else holds a lock of its or dpkg's."""
    while True:
        try:
            site.shell.run(Program(argv, _QUIET_APT), until, argv[0])
            return
        except StepFailed as problem:
            if not _LOCKED.search(problem.said):
                raise
            if site.clock() + LOCK_RETRY_S >= until:
                raise StepFailed("another process holds apt's lock and does not let go of it", problem.said) from None
            site.shell.wait(LOCK_RETRY_S)


def _check_python(site: Site, wanted: str, until: float) -> None:
    program = Program(("/usr/bin/python3", "-I", "-c", "import platform; print(platform.python_version())"))
    found = site.shell.run(program, until, "the base's /usr/bin/python3").strip()
    if found.split(".")[:2] != wanted.split(".")[:2]:
        raise StepFailed(
            f"the base's Python is {found[:20]} and the lock is for {wanted}; set base.python and lock again"
        )


def _let_users_add(settings: Path) -> None:
    """Let pip fall back to `~/.local`, which it refuses in an environment that does not see the system's packages."""
    told = settings.read_text()
    settings.write_text(re.sub(r"(include-system-site-packages *= *)false", r"\g<1>true", told))


def _compile(site: Site, place: str, until: float) -> None:
    """Bytecode that is used without a look at its source (PEP 552). What some packages carry does not compile."""
    arguments = ("-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", place)
    script = 'exec "$@" >/dev/null 2>&1 || true'
    program = Program(("sh", "-c", script, "sh", "/usr/bin/python3", *arguments))
    site.shell.run(program, until, "compiling")
