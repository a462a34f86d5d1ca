"""Builds on this machine: their records, who may build, what is refused before it begins, and what is left after."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from js2spawner.library import reading, scratch
from js2spawner.library.builds import BootReport, Build, Builds, Busy, new_id
from js2spawner.library.commands.build import build as command
from js2spawner.library.commands.test import test as boots
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.scratch import comparing, layers, making, manifest, space
from js2spawner.library.scratch.tools import CannotBuild, ToolFailed
from tests.unit.library.definitions import definition

BUILD = Build(
    "tiny", "20261124T213000Z-1a2b3c4d", "1a2b", "scratch", "2026-11-24T21:30:00+00:00", {"disk": 2.5}, "ab", 7, 9
)


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path / "builds")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """A build on a machine that has everything, whose first step ends as it is told."""
    monkeypatch.setattr(making, "check_machine", lambda: None)

    def ends(how: Exception) -> None:
        def make(system: object, base: object, of: object, archives: object, steps: object) -> None:
            system.root.mkdir()  # type: ignore[attr-defined]
            with steps.step("tiny: Debian"):  # type: ignore[attr-defined]
                raise how

        monkeypatch.setattr(layers, "make", make)

    return ends


def left(builds: Builds) -> list[str]:
    return sorted(
        str(each.relative_to(builds.folder)) for each in builds.folder.rglob("*") if not each.name.endswith(".lock")
    )


def test_a_record_reads_back_as_it_was_written(builds: Builds):
    build = replace(BUILD, boot=BootReport("2026-11-24T22:00:00+00:00", "tcg", {"hello": 20.5}, ("no pip",)))
    builds.save(build)
    assert builds.of("tiny") == [build]
    assert not builds.of("another")


def test_the_newest_build_is_the_one_that_began_last(builds: Builds):
    later = replace(BUILD, id=new_id(datetime(2027, 1, 1, tzinfo=UTC), "ffff0000"))
    for build in (later, BUILD):
        builds.save(build)
    assert builds.newest("tiny") == later


def test_a_record_that_cannot_be_read_is_no_build(builds: Builds):
    builds.save(BUILD)
    (builds.place(BUILD) / "build.json").write_text('{"image": "tiny"')
    assert builds.of("tiny") == []


def test_a_copy_of_a_build_under_another_name_is_no_build(builds: Builds):
    builds.save(BUILD)
    shutil.copytree(builds.place(BUILD), builds.folder / "tiny" / "before-i-try-something")
    assert builds.of("tiny") == [BUILD]


def _hold(folder: Path, held: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with Builds(folder).alone("build of tiny"):
        held.set()
        done.wait(30)


@pytest.fixture
def another(builds: Builds) -> Iterator[int]:
    """Another process that builds `tiny`."""
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(builds.folder, held, done))
    process.start()
    assert held.wait(30)
    assert process.pid
    yield process.pid
    done.set()
    process.join(30)


def test_two_builds_of_an_image_at_once_are_refused_and_of_two_images_are_not(another: int, builds: Builds):
    with pytest.raises(Busy, match=rf"build of tiny is under way in process {another}"), builds.alone("build of tiny"):
        pass
    with builds.alone("build of big"):
        pass


def test_a_build_for_which_there_is_no_room_does_not_begin(tmp_path: Path):
    with pytest.raises(CannotBuild, match=rf"{tmp_path}: a build needs about 8\.0 GB and 1\.0 GB are free"):
        space.check(tmp_path, None, free=lambda folder: 10**9)
    space.check(tmp_path, replace(BUILD, virtual_bytes=10**9, disk_bytes=10**8), free=lambda folder: 4 * 10**9)


def test_a_derived_image_is_not_built_from_scratch(builds: Builds):
    with pytest.raises(CannotBuild, match="derived from an image of a cloud"):
        scratch.build(definition(base=Derived("Featured-Ubuntu24")), builds, say=print)


def test_a_program_that_fails_is_one_sentence_with_its_own_words_and_nothing_is_left(
    builds: Builds, broken: Callable[[Exception], None]
):
    output = "Reading lists\nE: Unable to locate package nosuch\nmore\n"
    broken(ToolFailed("mmdebstrap", "failed with status 1", output))
    with pytest.raises(CannotBuild) as raised:
        scratch.build(definition(), builds, say=print)
    told = str(raised.value)
    assert "Building tiny failed at step “tiny: Debian”: mmdebstrap failed" in told
    assert "E: Unable to locate package nosuch" in told
    assert "Reading lists" not in told
    assert left(builds) == [".making", "failed-tiny.log"]
    assert (builds.folder / "failed-tiny.log").read_text() == output


def test_a_full_disk_is_a_sentence_too(builds: Builds, broken: Callable[[Exception], None]):
    broken(OSError(28, "No space left on device", "disk.raw"))
    with pytest.raises(CannotBuild, match=r"Building tiny failed: No space left on device \(disk\.raw\)"):
        scratch.build(definition(), builds, say=print)
    assert left(builds) == [".making"]


def test_a_failure_is_told_though_there_is_no_room_to_keep_what_the_program_said(
    builds: Builds, broken: Callable[[Exception], None]
):
    (builds.folder / "failed-tiny.log").mkdir(parents=True)
    broken(ToolFailed("tar", "failed with status 2", "tar: No space left on device\n"))
    with pytest.raises(CannotBuild, match=r"tar: No space left on device \(all it said: not kept: Is a directory\)"):
        scratch.build(definition(), builds, say=print)


def test_an_interrupted_build_leaves_nothing(builds: Builds, broken: Callable[[Exception], None]):
    broken(KeyboardInterrupt())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        scratch.build(definition(), builds, say=print)
    assert left(builds) == [".making"]


def test_what_a_killed_build_left_goes_with_the_next_and_finished_ones_stay(
    builds: Builds, broken: Callable[[Exception], None]
):
    builds.save(BUILD)
    for place in (".making/tiny/root/etc", "tiny/20261124T000000Z-half"):
        (builds.folder / place).mkdir(parents=True)
    broken(ToolFailed("tar", "failed", ""))
    with pytest.raises(CannotBuild):
        scratch.build(definition(), builds, say=print)
    assert [each.name for each in (builds.folder / "tiny").iterdir()] == [BUILD.id]
    assert not (builds.folder / ".making/tiny").exists()


def test_two_trees_are_compared_file_by_file(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    for root, said in ((one, "same"), (other, "else")):
        (root / "etc").mkdir(parents=True)
        (root / "etc/motd").write_text(said)
        (root / "etc/hosts").write_text("same")
        (root / "etc/link").symlink_to("/dev/null")
    (other / "etc/extra").touch()
    (other / "etc/hosts").chmod(0o600)
    found = []
    for root in (one, other):
        finished = root.with_suffix(".gz")
        from js2spawner.library.scratch.finishing import stamp

        stamp(root, 1000)
        manifest.write(root, finished)
        found.append(manifest.read(finished))
    assert manifest.differences(*found) == ["/etc/extra: only in the second", "/etc/hosts: mode", "/etc/motd: content"]
    assert manifest.differences(found[0], found[0]) == []


def test_a_build_without_a_list_of_files_cannot_be_compared(builds: Builds):
    builds.save(BUILD)
    with pytest.raises(CannotBuild, match="has no list of its files"):
        comparing.compare(BUILD, BUILD, builds)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two, one of them derived, whose builds take no time."""
    known = [definition(), definition(name="gpu", base=Derived("Featured-Ubuntu24"))]

    def read_some(folder: Path, names: tuple[str, ...]) -> list[Definition]:
        return [each for each in known if not names or each.name in names]

    def build(wanted: Definition, builds: Builds, say: Callable[[str], None], *, fresh: bool) -> Build:
        say("disk: 2.5 s")
        builds.save(BUILD)
        return BUILD

    monkeypatch.setattr(reading, "read_some", read_some)
    monkeypatch.setattr(scratch, "build", build)
    return tmp_path


def run(library: Path, *arguments: str) -> click.testing.Result:
    options = ["--library", str(library), "--builds", str(library / "builds"), *arguments]
    return CliRunner().invoke(command, options)


def test_the_command_builds_everything_that_needs_no_cloud(library: Path):
    done = run(library, "--json")
    assert done.exit_code == 0
    assert [each["image"] for each in json.loads(done.stdout)["builds"]] == ["tiny"]
    assert "tiny: disk: 2.5 s" in done.stderr


def test_what_was_built_is_told_when_a_later_one_fails(library: Path, monkeypatch: pytest.MonkeyPatch):
    known = [definition(), definition(name="other"), definition(name="third")]
    asked: list[str] = []

    def build(wanted: Definition, builds: Builds, *_: object, **__: object) -> Build:
        asked.append(wanted.name)
        if wanted.name == "other":
            raise CannotBuild("Its disk is full.")
        builds.save(BUILD)
        return BUILD

    monkeypatch.setattr(reading, "read_some", lambda *_: known)
    monkeypatch.setattr(scratch, "build", build)
    done = run(library, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, [each["id"] for each in told["builds"]]) == (1, [BUILD.id])
    assert told["failures"] == [{"image": "other", "why": "Its disk is full."}]
    assert asked == ["tiny", "other"]
    done = run(library)
    assert (done.exit_code, BUILD.id in done.stdout, "Its disk is full." in done.stderr) == (1, True, True)


def test_a_derived_image_by_name_asks_for_a_cloud(library: Path):
    done = run(library, "gpu")
    assert done.exit_code == 2
    assert "--cloud" in done.stderr


def test_what_stands_in_the_way_of_a_build_is_told_without_a_traceback(library: Path, monkeypatch: pytest.MonkeyPatch):
    def build(*_: object, **__: object) -> Build:
        raise CannotBuild("Building an image takes root; run it as root, for instance with sudo.")

    monkeypatch.setattr(scratch, "build", build)
    done = run(library, "tiny")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "Error: Building an image takes root; run it as root, for instance with sudo.\n"


@pytest.mark.parametrize("told", [command, boots])
def test_a_folder_of_builds_that_cannot_be_written_to_is_told_without_a_traceback(
    library: Path, monkeypatch: pytest.MonkeyPatch, told: click.Command
):
    def alone(self: Builds, what: str) -> None:
        raise PermissionError(13, "Permission denied", str(self.folder / f".{what}.lock"))

    monkeypatch.setattr(Builds, "alone", alone)
    monkeypatch.setattr(scratch, "build", lambda wanted, builds, *_, **__: builds.alone("it"))
    monkeypatch.setattr(reading, "read", lambda *_: definition())
    Builds(library / "builds").save(replace(BUILD, definition=definition().key))
    done = CliRunner().invoke(told, ["tiny", "--library", str(library), "--builds", str(library / "builds")])
    assert (done.exit_code, "Permission denied" in done.stderr, "Traceback" in done.output) == (1, True, False)
    assert isinstance(done.exception, SystemExit)
