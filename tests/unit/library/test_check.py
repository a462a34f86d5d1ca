"""`js2 image check`, `list` and `lock`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from js2spawner.library import baked, locking
from js2spawner.library.builds import Build, Builds
from js2spawner.library.command import image
from js2spawner.library.definition import Environment
from js2spawner.library.due import why_due
from js2spawner.library.locks import Pin
from js2spawner.library.reading import read
from tests.unit.library.written import Library

HASH = "0" * 64


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "images")


def run(library: Library, *words: str) -> Result:
    return CliRunner().invoke(image, [words[0], "--library", str(library.folder), *words[1:]])


def test_a_library_without_a_mistake_passes(library: Library):
    done = run(library, "check")
    assert (done.exit_code, done.stdout) == (0, "No mistake in more, small.\n")
    assert json.loads(run(library, "check", "small", "--json").stdout) == {"images": ["small"], "mistakes": []}


def test_mistakes_end_with_an_error_and_a_line_each(library: Library):
    library.change("small.yaml", "smoke:", "smok:")
    done = run(library, "check")
    assert done.exit_code == 1
    assert f"{library.folder}/small.yaml:8: image “small” has no setting “smok”; did you mean “smoke”?" in done.stderr
    told = json.loads(run(library, "check", "--json").stdout)
    assert len(told["mistakes"]) == len(done.stderr.splitlines())


def test_the_list_says_what_is_built_and_what_is_due(library: Library, tmp_path: Path):
    builds = Builds(tmp_path / "builds")
    now = datetime.now(UTC)
    small = read(library.folder, "small")
    began, with_this = (now - timedelta(days=3)).isoformat(), baked.digest(small)
    builds.save(Build("small", "20261124T213000Z-1", small.key, "scratch", began, made_with=with_this))
    done = run(library, "list", "--builds", str(builds.folder))
    more, row = done.stdout.splitlines()[1:]
    assert more.split() == [
        "more",
        "More",
        "debian:",
        "bookworm",
        "small",
        "+",
        "more",
        "-",
        "-",
        "-",
        "never",
        "built",
    ]
    assert "20261124T213000Z-1" in row
    assert "3 days" in row
    assert row.endswith("no")
    told = json.loads(run(library, "list", "--builds", str(builds.folder), "--json").stdout)
    assert [(each["name"], each["due"]) for each in told["images"]] == [("more", "never built"), ("small", "")]


def test_an_image_is_due_when_its_definition_changed_or_it_is_too_old(library: Library):
    small = read(library.folder, "small")
    now = datetime(2026, 11, 24, tzinfo=UTC)
    began = (now - timedelta(days=30)).isoformat()
    build = Build("small", "x", small.key, "scratch", began, made_with=baked.digest(small))
    assert why_due(small, build, now) == ""
    assert why_due(small, build, now + timedelta(hours=1)) == "30 days old, at most 30 are allowed"
    library.change("locks/small-server.txt", "4.4.1", "4.4.2")
    assert why_due(read(library.folder, "small"), build, now) == "its definition changed"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Stands for the look-up of packages: version 9 of whatever is not kept. Lists what it was asked."""
    asked: list[tuple[str, dict[str, str]]] = []

    def lock(environment: Environment, kept: Mapping[str, Pin]) -> dict[str, Pin]:
        asked.append((environment.lock.name, {pin.name: pin.version for pin in kept.values()}))
        names = [package.split(">=")[0] for package in environment.packages]
        return {name: kept.get(name, Pin(name, "9", (HASH,))) for name in names}

    monkeypatch.setattr(locking, "lock", lock)
    return asked


def test_a_lock_keeps_its_versions_unless_told_otherwise(library: Library, resolver: list[tuple[str, dict[str, str]]]):
    done = run(library, "lock", "more")
    assert done.stdout == f"{library.folder}/locks/more-science.txt: 1 packages, 0 changed\n"
    assert resolver == [("more-science.txt", {"numpy": "2.3.0"})]
    done = run(library, "lock", "more", "--upgrade")
    assert done.stdout.splitlines()[1:] == ["  numpy 2.3.0 → 9"]
    assert resolver[1] == ("more-science.txt", {})


def test_a_new_package_gets_into_the_lock_and_the_image_passes(
    library: Library, resolver: list[tuple[str, dict[str, str]]]
):
    library.change("more.yaml", "[numpy]}", "[numpy, pandas]}")
    assert run(library, "check").exit_code == 1
    assert "  + pandas 9" in run(library, "lock").stdout.splitlines()
    assert run(library, "check").exit_code == 0


def test_a_lock_that_cannot_be_made_is_told_and_the_old_one_stays(library: Library, monkeypatch: pytest.MonkeyPatch):
    def refuse(environment: Environment, kept: Mapping[str, Pin]) -> dict[str, Pin]:
        raise locking.CannotLock("pip cannot resolve it: no such package.")

    monkeypatch.setattr(locking, "lock", refuse)
    before = (library.folder / "locks/more-science.txt").read_text()
    done = run(library, "lock", "more")
    assert done.exit_code == 1
    assert "more, environment science: pip cannot resolve it: no such package." in done.stderr
    assert (library.folder / "locks/more-science.txt").read_text() == before
