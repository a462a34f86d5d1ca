"""Fetches what a home is to hold at first, and adds what is not there: `python -I seed_program.py`, as the user.

The order is JSON at standard input, the answer one JSON object a line. It runs as the user and never as root, so the
worst that an odd repository, archive or link can do is what its user could. Nothing that is there is changed, and what
was given once is not given again: what somebody deleted stays deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

MOST_BYTES = 2 * 1024**3
MOST_FILES = 50_000
MOST_ARCHIVE_BYTES = 1024**3
# A home that is filled to the brim by what was meant to help would be no help.
LEAST_LEFT_BYTES = 256 * 1024**2
SOCKET_TIMEOUT_S = 30.0
TEMPORARY = ".js2-seed-"
GIVEN = Path(".local", "state", "js2", "seeded.json")


class NotSeeded(Exception):
    """It cannot be done; the message is the rest of a sentence."""


def main(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry the order out. The answer is what was added, or what the problem is."""
    home = Path.home()
    target = home / order["into"]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        for left in target.glob(f"{TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        # Beside its goal, so that a file arrives there as a whole.
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target) as name:
            fresh = Path(name, "fresh")
            fetch(order, fresh)
            return {"added": add(fresh, target, home, order["url"])}
    except NotSeeded as problem:
        return {"problem": str(problem)}
    except (OSError, tarfile.TarError, EOFError, ValueError) as problem:
        return {"problem": getattr(problem, "strerror", None) or type(problem).__name__}


def fetch(order: Mapping[str, Any], fresh: Path, protocols: str = "https") -> None:
    """Have the files in the new folder `fresh`. Raises NotSeeded, OSError, tarfile.TarError."""
    if order["kind"] == "git":
        clone(order["url"], order["branch"], fresh, protocols)
        return
    with tempfile.TemporaryFile(dir=fresh.parent) as file:
        download(order["url"], file)
        file.seek(0)
        unpack(file, fresh)


def clone(url: str, branch: str, fresh: Path, protocols: str = "https") -> None:
    """The newest files of a repository, without its history. Raises NotSeeded."""
    git = shutil.which("git")
    if git is None:
        raise NotSeeded("this image has no git")
    kept = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C"}
    # Nobody is there to be asked for a password, and no setting of the user's leads elsewhere.
    kept.update(GIT_TERMINAL_PROMPT="0", GIT_ALLOW_PROTOCOL=protocols, GIT_CONFIG_GLOBAL=os.devnull)
    named = ["--branch", branch] if branch else []
    command = [git, "clone", "--quiet", "--depth=1", "--single-branch", *named, "--", url, str(fresh)]
    done = subprocess.run(command, env=kept, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1].replace(url, "…") if said else f"status {done.returncode}"
        raise NotSeeded(f"git: {why}")
    shutil.rmtree(fresh / ".git")
    if _room(fresh) < 0:
        raise NotSeeded("the repository is larger than there is room for")


def download(url: str, file: IO[bytes]) -> None:
    """Raises NotSeeded, OSError."""
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(url, timeout=SOCKET_TIMEOUT_S) as answer:
        while chunk := answer.read(1 << 20):
            if file.tell() + len(chunk) > MOST_ARCHIVE_BYTES:
                raise NotSeeded(f"the archive is larger than {MOST_ARCHIVE_BYTES >> 20} MiB")
            file.write(chunk)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise NotSeeded("the archive's address leads away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def unpack(file: IO[bytes], fresh: Path) -> None:
    """Files and folders of a tar archive, and links that stay in it. Raises NotSeeded, OSError, tarfile.TarError.

    Links come last, so that none is ever written through.
    """
    links: list[tuple[PurePosixPath, str]] = []
    total = 0
    fresh.mkdir()
    with tarfile.open(fileobj=file, mode="r:*") as members:
        for number, member in enumerate(members):
            if number >= MOST_FILES:
                raise NotSeeded(f"the archive holds more than {MOST_FILES} files")
            place = _inside(member.name)
            total += member.size
            if total > MOST_BYTES or member.size > _room(fresh):
                raise NotSeeded("the archive is larger than there is room for")
            if member.isdir():
                (fresh / place).mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                _write(members, member, fresh / place)
            elif member.issym():
                links.append((place, member.linkname))
            else:
                raise NotSeeded(f"the archive holds something that is no file ({member.name[:100]})")
    for place, leads_to in links:
        (fresh / place).parent.mkdir(parents=True, exist_ok=True)
        (fresh / place).symlink_to(leads_to)


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    content = members.extractfile(member)
    assert content is not None
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("wb") as stream:
        shutil.copyfileobj(content, stream)
    place.chmod(0o755 if member.mode & 0o100 else 0o644)


def _inside(name: str) -> PurePosixPath:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        raise NotSeeded(f"the archive names a place outside of it ({name[:100]})")
    return place


def add(fresh: Path, target: Path, home: Path, url: str) -> int:
    """Move into `target` what was never given and is not there; how many files that were."""
    given = _given(home)
    known = set(given.get(url, []))
    added = 0
    for place in sorted(_files(fresh)):
        name = str(place)
        if name in known:
            continue
        known.add(name)
        source = fresh / place
        if source.is_symlink() and not _stays(place, os.readlink(source)):  # noqa: PTH115
            continue
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                (target / place).symlink_to(os.readlink(source))  # noqa: PTH115
            else:
                # A link fails where something is; a rename would take its place.
                os.link(source, target / place)
            added += 1
    _keep(home, {**given, url: sorted(known)})
    return added


def _files(fresh: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(fresh):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*files, *links):
            yield Path(folder, name).relative_to(fresh)


def _stays(place: Path, leads_to: str) -> bool:
    """Whether a link leads to somewhere in the tree it came with, told by its words alone."""
    if leads_to.startswith("/"):
        return False
    there = os.path.normpath(place.parent / leads_to)
    return there != ".." and not there.startswith("../")


def _given(home: Path) -> dict[str, list[str]]:
    try:
        value = json.loads((home / GIVEN).read_text())
        return {url: list(names) for url, names in value.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _keep(home: Path, given: Mapping[str, list[str]]) -> None:
    file = home / GIVEN
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(given))
    fresh.replace(file)


def _room(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize - LEAST_LEFT_BYTES


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.stdin.buffer.read()))) + "\n")
