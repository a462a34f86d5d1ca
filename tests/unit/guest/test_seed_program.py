"""Materials come into a home beside what is there, never over it, and nothing of them leads out of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from js2spawner.guest import seed_program
from js2spawner.guest.seed_program import NotSeeded, add, clone, download, unpack

URL = "https://example.org/course.git"


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_program, "LEAST_LEFT_BYTES", 0)


class Home:
    """A home, and what arrives for it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.arrivals = folder / "arrivals"
        self.arrivals.mkdir()

    def arrive(self, **files: str) -> int:
        """How many files were added."""
        fresh = self.arrivals / str(len(list(self.arrivals.iterdir())))
        for name, text in files.items():
            place = fresh / name.replace("__", "/").replace("_", ".")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return add(fresh, self.home, self.home, URL)

    def files(self) -> dict[str, str]:
        found = {str(each.relative_to(self.home)): each for each in self.home.rglob("*") if each.is_file()}
        return {name: each.read_text() for name, each in found.items() if not name.startswith(".local")}


@pytest.fixture
def here(tmp_path: Path) -> Home:
    return Home(tmp_path)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    made.seek(0)
    return made


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def test_what_is_not_there_is_added_and_what_is_there_stays(here: Home) -> None:
    (here.home / "week1").mkdir()
    (here.home / "week1" / "a.md").write_text("my own")
    assert here.arrive(week1__a_md="theirs", week1__b_md="theirs") == 1
    assert here.files() == {"week1/a.md": "my own", "week1/b.md": "theirs"}


def test_later_only_new_files_come_and_a_deleted_one_does_not_come_back(here: Home) -> None:
    here.arrive(a_md="first", b_md="first")
    (here.home / "a.md").write_text("changed by its user")
    (here.home / "b.md").unlink()
    assert here.arrive(a_md="second", b_md="second", c_md="second") == 1
    assert here.files() == {"a.md": "changed by its user", "c.md": "second"}


def test_a_file_where_a_folder_is_meant_stays_and_the_rest_arrives(here: Home) -> None:
    (here.home / "week1").write_text("a file of mine")
    here.arrive(week1__a_md="theirs", b_md="theirs")
    assert here.files() == {"week1": "a file of mine", "b.md": "theirs"}


def test_a_link_that_leads_out_of_the_materials_is_left_out(here: Home, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    (fresh / "sub").mkdir(parents=True)
    (fresh / "real").write_text("")
    for name, leads_to in {"good": "real", "sub/good": "../real", "bad": "/etc/passwd", "sub/bad": "../../x"}.items():
        (fresh / name).symlink_to(leads_to)
    add(fresh, here.home, here.home, URL)
    links = sorted(str(each.relative_to(here.home)) for each in here.home.rglob("*") if each.is_symlink())
    assert links == ["good", "sub/good"]


@pytest.mark.parametrize(
    "member",
    [
        named("/etc/cron.d/x"),
        named("a/../../x"),
        named("device", tarfile.CHRTYPE),
        named("pipe", tarfile.FIFOTYPE),
        named("hard", tarfile.LNKTYPE, "/etc/passwd"),
    ],
    ids=lambda member: member.name,
)
def test_an_archive_that_reaches_out_is_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    with pytest.raises(NotSeeded):
        unpack(archive((member, b"")), tmp_path / "fresh")
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_through_a_link_of_an_archive(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    unruly = archive((named("way", tarfile.SYMTYPE, str(outside)), b""), (named("way/file"), b"theirs"))
    with pytest.raises((NotSeeded, OSError)):
        unpack(unruly, tmp_path / "fresh")
    assert list(outside.iterdir()) == []


def test_an_archive_keeps_programs_programs_and_gives_nobody_elses_powers(tmp_path: Path) -> None:
    program = named("run.sh")
    program.mode = 0o6755
    unpack(archive((program, b"#!/bin/sh\n"), (named("data/a.csv"), b"1,2")), tmp_path / "fresh")
    assert (tmp_path / "fresh/run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "fresh/data/a.csv").stat().st_mode & 0o7777 == 0o644


def test_an_archive_that_is_larger_than_allowed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_program, "MOST_BYTES", 100)
    with pytest.raises(NotSeeded, match="larger"):
        unpack(archive((named("big"), bytes(101))), tmp_path / "fresh")
    monkeypatch.setattr(seed_program, "MOST_FILES", 1)
    with pytest.raises(NotSeeded, match="more than 1 files"):
        unpack(archive((named("a"), b""), (named("b"), b"")), tmp_path / "another")


def test_an_archive_that_would_fill_the_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_program, "LEAST_LEFT_BYTES", 2**62)
    with pytest.raises(NotSeeded, match="room"):
        unpack(archive((named("a"), b"text")), tmp_path / "fresh")


def git(folder: Path, *words: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Teacher", "-c", "user.email=teacher@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "course"
    folder.mkdir()
    git(folder, "init", "--initial-branch=main")
    (folder / "lesson.ipynb").write_text("{}")
    git(folder, "add", "lesson.ipynb")
    git(folder, "commit", "--message=First lesson")
    return folder


def test_a_repository_comes_as_files_without_its_history(repository: Path, tmp_path: Path) -> None:
    clone(f"file://{repository}", "main", tmp_path / "fresh", protocols="file")
    assert [each.name for each in (tmp_path / "fresh").iterdir()] == ["lesson.ipynb"]


def test_a_repository_is_fetched_over_https_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(NotSeeded, match="transport 'file' not allowed"):
        clone(f"file://{repository}", "", tmp_path / "fresh")


def test_what_went_wrong_is_said_without_the_address(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/secret-place"
    with pytest.raises(NotSeeded) as problem:
        clone(url, "", tmp_path / "fresh", protocols="file")
    assert url not in str(problem.value)


def test_an_address_that_leads_away_from_https_is_not_followed() -> None:
    with pytest.raises(NotSeeded, match="away from https"):
        seed_program._SafeRedirects().redirect_request(None, None, 302, "", None, "http://example.org/")
    with pytest.raises(OSError, match=r"."):
        download("https://127.0.0.1:1/archive", io.BytesIO())


def test_the_program_answers_a_failure_in_one_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    order = {"kind": "git", "url": "https://127.0.0.1:1/course", "branch": "", "into": "course"}
    done = subprocess.run(
        [sys.executable, "-I", seed_program.__file__],
        input=json.dumps(order),
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["problem"].startswith("git: ")
    assert list((tmp_path / "course").iterdir()) == []
