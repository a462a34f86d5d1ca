"""`js2 image test`: what it says, what it keeps, how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from js2spawner.library import boot
from js2spawner.library.boot import testing, trial
from js2spawner.library.boot.testing import CannotTest, together
from js2spawner.library.builds import DISK, BootReport, Build, Builds
from js2spawner.library.commands.test import test as command
from js2spawner.library.reading import read

LIBRARY = Path(__file__).parents[3] / "images"
AT = "2026-11-24T22:00:00+00:00"
PASSED = BootReport(AT, "tcg", {"kernel": 2.0, "listening": 40.0})
FAILED = BootReport(AT, "tcg", {"kernel": 2.0}, ("minimal.ipynb, cell 2 (1/0): ZeroDivisionError: division by zero",))


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    builds = Builds(tmp_path / "builds")
    build = Build("minimal", "20261124T220000Z-00000000", read(LIBRARY, "minimal").key, "scratch", AT)
    builds.save(build)
    (builds.place(build) / DISK).touch()
    return builds


def run(builds: Builds, *words: str) -> Result:
    return CliRunner().invoke(command, ["minimal", "--library", str(LIBRARY), "--builds", str(builds.folder), *words])


def finds(monkeypatch: pytest.MonkeyPatch, report: BootReport) -> None:
    monkeypatch.setattr(boot, "test", lambda *_args, **_options: report)


def test_a_build_that_passes_is_known_to_have(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, PASSED)
    result = run(builds)
    assert result.exit_code == 0, result.output
    assert "passed" in result.output
    kept = builds.newest("minimal")
    assert kept is not None
    assert kept.boot == PASSED


def test_a_build_that_fails_ends_with_1_and_says_what_failed(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, FAILED)
    result = run(builds, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["passed"], told["failures"]) == (False, list(FAILED.failures))
    kept = builds.newest("minimal")
    assert kept is not None
    assert kept.boot is not None
    assert not kept.boot.passed


def test_without_a_build_the_next_step_is_said(tmp_path: Path) -> None:
    result = run(Builds(tmp_path))
    assert result.exit_code == 1
    assert "js2 image build minimal" in result.output


def test_a_build_of_another_definition_is_not_tested_with_todays_notebooks(
    builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, PASSED)
    builds.save(replace(builds.of("minimal")[0], id="20261125T220000Z-00000000", definition="0" * 64))
    result = run(builds)
    assert result.exit_code == 1
    assert "another definition" in result.output
    assert "js2 image build minimal" in result.output


def test_the_report_says_which_notebooks_ran(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = read(LIBRARY, "minimal")
    monkeypatch.setattr(testing, "check_machine", lambda _disk: None)
    monkeypatch.setattr(testing, "try_once", lambda *_: testing.Tested(PASSED, 0, {}))
    report = testing.test(definition, builds.folder, say=print, times=1)
    assert report.smoke == definition.smoke_key != ""


def test_what_a_machine_lacks_is_one_sentence(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_args: object, **_options: object) -> BootReport:
        raise CannotTest("Booting an image needs more of Debian: apt-get install qemu-system-x86")

    monkeypatch.setattr(boot, "test", lacks)
    result = run(builds)
    assert result.exit_code == 1
    assert result.output == "Error: Booting an image needs more of Debian: apt-get install qemu-system-x86\n"


def test_too_little_room_is_told_before_anything_boots(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "missing", list)
    disk = builds.place(builds.of("minimal")[0]) / DISK
    with pytest.raises(CannotTest, match=r"needs up to 2 GB and 0\.5 GB are free; make room, or .* TMPDIR"):
        testing.check_machine(disk, lambda _: 500_000_000)
    testing.check_machine(disk, lambda _: 3_000_000_000)


def test_what_fails_on_this_machine_is_not_told_of_the_image(builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/tmp/js2-boot-1/drive.iso")

    monkeypatch.setattr(testing, "check_machine", lambda _disk: None)
    monkeypatch.setattr(trial, "config_drive", full)
    result = run(builds)
    assert result.exit_code == 1
    assert "on this machine: No space left on device (/tmp/js2-boot-1/drive.iso)." in result.output
    [kept] = builds.of("minimal")
    assert kept.boot is None


def test_several_boots_are_told_by_their_medians_and_every_failure() -> None:
    slow = BootReport(AT, "tcg", {"kernel": 4.0, "listening": 90.0, "smoke minimal": 9.0}, ("late",))
    assert together([PASSED, slow, slow]) == BootReport(
        AT, "tcg", {"kernel": 4.0, "listening": 90.0, "smoke minimal": 9.0}, ("late",)
    )
