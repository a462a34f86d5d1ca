"""Commands that are told to end: all of the command ends, and in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from js2spawner.library import derived, scratch
from js2spawner.library.builds import Build, Builds
from js2spawner.library.commands.build import build
from js2spawner.library.commands.rebuild import Tools, rebuild
from js2spawner.library.definition import Derived
from js2spawner.library.derived import making
from js2spawner.library.signing import SigningKey

from .definitions import definition
from .written import Library


@pytest.fixture(autouse=True)
def ends() -> Iterator[list[int]]:
    """SIGTERM as somebody else handles it, who is not to be asked while a command runs."""
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    yield told
    signal.signal(signal.SIGTERM, before)


def told_to_end(asked: list[str]) -> Any:
    def is_told(of: Any, *_: object, **__: object) -> Build:
        asked.append(of.name)
        os.kill(os.getpid(), signal.SIGTERM)
        return Build(of.name, "b1", of.key, "scratch", "2026-11-24T00:00:00+00:00")

    return is_told


def run(command: Any, folder: Path, *words: str) -> Result:
    Library(folder / "images")
    SigningKey.make(folder / "builds" / "signing.key")
    return CliRunner().invoke(
        command, ["--library", str(folder / "images"), "--builds", str(folder / "builds"), *words]
    )


def test_a_build_that_is_told_to_end_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: list[int]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(scratch, "build", told_to_end(asked))
    result = run(build, tmp_path)
    assert (result.exit_code, asked, ends) == (1, ["more"], [])


def test_a_rebuild_that_is_told_to_end_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: list[int]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Tools, "versions", lambda *_: [])
    monkeypatch.setattr(scratch, "build", told_to_end(asked))
    result = run(rebuild, tmp_path, "--cloud", "none")
    assert (result.exit_code, asked, ends) == (1, ["more"], [])
    os.kill(os.getpid(), signal.SIGTERM)
    assert ends == [signal.SIGTERM]


def test_a_rebuild_whose_derived_build_is_told_to_end_begins_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def interrupted(of: Any, *_: object) -> Build:
        asked.append(of.name)
        raise derived.Interrupted("The build was ended; what it had made in the cloud is taken away.")

    monkeypatch.setattr(Tools, "versions", lambda *_: [])
    monkeypatch.setattr(scratch, "build", interrupted)
    monkeypatch.setattr(derived, "build", interrupted)
    library = Library(tmp_path / "images")
    for name in ("also", "alike"):
        text = (library.folder / "small.yaml").read_text()
        library.write(f"{name}.yaml", text.replace("{debian: bookworm}", '{cloud: Featured, python: "3.12.3"}'))
        library.lock(f"{name}-server", "jupyterlab>=4", {"jupyterlab": "4.4.1"}, "3.12.3")
    result = run(rebuild, tmp_path, "also", "alike", "--cloud", "none", "--clouds-yaml", str(tmp_path / "none"))
    assert asked == ["also"], result.output
    assert "taken away" in result.output


def test_a_derived_build_leaves_the_way_it_is_told_to_end_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: list[int]
) -> None:
    class Cloud:
        name = "none"

        async def close(self) -> None:
            return None

    async def at_once(of: Any, *_: object) -> Build:
        return Build(of.name, "b1", of.key, "derived", "2026-11-24T00:00:00+00:00")

    monkeypatch.setattr(making, "build_here", at_once)
    base = definition(base=Derived("Featured"))
    derived.build(base, Builds(tmp_path), Cloud(), derived.Settings(), print)  # type: ignore[arg-type]
    os.kill(os.getpid(), signal.SIGTERM)
    assert ends == [signal.SIGTERM]
