"""A home on a disk of its own: nothing of it is ever lost, and root is never led astray by what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.guest import disks, home, mounts
from js2spawner.guest.disks import MIB
from js2spawner.guest.home import HomeProblem
from js2spawner.guest.machine import Machine
from js2spawner.handshake.messages import report_from
from tests.unit.guest.volumes import SOMEBODY, Stand, real_disks, run, stand, wish
from tests.unit.handshake.books import report_json

pytestmark = real_disks


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    with stand() as made:
        monkeypatch.setattr(home, "SKELETON", made.folder / "skel")
        yield made


def refusal(here: Stand, *, may_format: bool = False) -> str:
    with pytest.raises(HomeProblem) as problem:
        here.open(may_format=may_format)
    assert mounts.at(here.place) is None
    return str(problem.value)


def digest(here: Stand) -> str:
    os.sync()
    return hashlib.sha256(here.file.read_bytes()).hexdigest()


def written(here: Stand, name: str = "thesis.txt", text: str = "three years of work") -> Path:
    file = here.place / name
    file.write_text(text)
    os.chown(file, here.owner.uid, here.owner.gid)
    return file


def used_once(here: Stand) -> None:
    """A home that was made, has something in it, and was left in good order."""
    first = here.open(may_format=True)
    written(here)
    assert here.let_go(first) == "clean"


# ---- made once


def test_a_blank_disk_becomes_a_home_with_what_the_image_has_for_it_and_the_skeleton(here: Stand) -> None:
    skeleton = home.SKELETON
    skeleton.mkdir()
    (skeleton / ".bashrc").write_text("the system's")
    (skeleton / ".profile").write_text("the system's")
    written(here, ".bashrc", "the image's")
    opened = here.open(may_format=True)
    seen = here.place.stat()
    assert (seen.st_uid, seen.st_gid, seen.st_mode & 0o7777) == (SOMEBODY, SOMEBODY, 0o700)
    assert sorted(entry.name for entry in here.place.iterdir()) == [".bashrc", ".profile"]
    assert ((here.place / ".bashrc").read_text(), (here.place / ".profile").stat().st_uid) == ("the image's", SOMEBODY)
    assert opened.is_new
    assert run("blkid", "-p", "-o", "value", "-s", "LABEL", here.device).strip() == "js2-home"


def test_the_hub_hears_that_it_was_made_and_how_large_it_is(here: Stand) -> None:
    told = report_from(json.dumps(report_json(home=here.open(may_format=True).report())).encode())
    assert (told.home.state, told.home.formatted, told.home.repaired) == ("mounted", True, False)
    assert 0 <= told.home.used_gb < told.home.total_gb <= 64 / 1024


def test_no_program_in_a_home_gets_its_owners_powers_and_no_device_counts(here: Stand) -> None:
    here.open(may_format=True)
    options = run("findmnt", "--noheadings", "--output", "OPTIONS", here.place)
    assert {"nosuid", "nodev"} <= set(options.strip().split(","))


def test_a_second_start_finds_the_files_and_brings_nothing_of_the_image(here: Stand) -> None:
    used_once(here)
    written(here, ".from-another-image", "")
    again = here.open()
    assert [entry.name for entry in here.place.iterdir()] == ["thesis.txt"]
    assert not again.is_new
    assert not again.report()["formatted"]


def test_a_home_whose_making_the_hub_never_heard_of_is_not_made_again(here: Stand) -> None:
    used_once(here)
    again = here.open(may_format=True)
    assert (here.place / "thesis.txt").read_text() == "three years of work"
    assert again.report()["formatted"]


@pytest.mark.parametrize("may_format", [True, False])
def test_a_disk_with_data_but_no_signature_is_left_as_it_is(here: Stand, may_format: bool) -> None:
    with here.file.open("r+b") as file:
        file.seek(64 * MIB - 512)
        file.write(b"a backup of something")
    before = digest(here)
    assert "left as it is" in refusal(here, may_format=may_format)
    assert digest(here) == before


@pytest.mark.parametrize("sort", ["swap", "partitions", "a second file system's"])
def test_a_disk_with_a_foreign_signature_is_left_as_it_is_even_if_it_may_be_formatted(here: Stand, sort: str) -> None:
    if sort == "swap":
        run("mkswap", here.device)
    elif sort == "partitions":
        subprocess.run(["sfdisk", "--quiet", str(here.device)], input=b"type=83\n", check=True, capture_output=True)
    else:
        used_once(here)
        # ReiserFS's block size and magic, where an ext4 leaves room to grow: nobody can tell which of the two it is.
        with here.file.open("r+b") as file:
            file.seek(65536 + 44)
            file.write(b"\x00\x10" + bytes(6) + b"ReIsEr2Fs")
    before = digest(here)
    assert "left as it is" in refusal(here, may_format=True)
    assert digest(here) == before


def test_a_blank_disk_that_was_a_home_before_is_not_made_one_again(here: Stand) -> None:
    assert "empty, although a home was on it" in refusal(here, may_format=False)
    assert disks.is_blank(here.device)


# ---- checked and grown


def test_a_home_that_lost_its_power_is_whole_again(here: Stand) -> None:
    here.open(may_format=True)
    written(here)
    os.sync()
    torn = here.file.read_bytes()
    run("umount", here.place)
    here.file.write_bytes(torn)
    run("losetup", "--set-capacity", here.device)
    here.open()
    assert (here.place / "thesis.txt").read_text() == "three years of work"


def test_damage_that_is_safe_to_mend_is_mended_and_told(here: Stand) -> None:
    used_once(here)
    run("debugfs", "-w", "-R", "set_super_value free_blocks_count 7", here.device)
    run("debugfs", "-w", "-R", "set_super_value state 0", here.device)
    again = here.open()
    assert again.report()["repaired"]
    assert (here.place / "thesis.txt").read_text() == "three years of work"


def test_damage_that_needs_a_person_is_told_and_the_files_are_still_there(here: Stand) -> None:
    used_once(here)
    run("debugfs", "-w", "-R", "set_inode_field <2> mode 0100644", here.device)
    run("debugfs", "-w", "-R", "set_super_value state 0", here.device)
    assert "needs a repair by hand" in refusal(here)
    with pytest.raises(subprocess.CalledProcessError):  # what a person does: e2fsck ends with 1, "mended"
        run("e2fsck", "-y", here.device)
    with here.looked_into() as inside:
        assert [each.read_text() for each in inside.glob("lost+found/*") if each.is_file()] == ["three years of work"]


def test_a_disk_that_was_grown_is_a_larger_home(here: Stand) -> None:
    used_once(here)
    here.grow(160)
    again = here.open()
    assert again.usage_gb[1] > 128 / 1024
    assert (here.place / "thesis.txt").read_text() == "three years of work"
    assert here.let_go(again) == "clean"


def test_lost_and_found_is_not_shown_to_who_lost_nothing(here: Stand) -> None:
    used_once(here)
    here.grow(160)  # which is looked at in full, and that makes the folder again
    here.open()
    assert [entry.name for entry in here.place.iterdir()] == ["thesis.txt"]


# ---- hostile and odd


def test_links_in_a_home_lead_root_nowhere(here: Stand) -> None:
    outside = here.folder / "etc"
    outside.mkdir()
    (outside / "shadow").write_text("root's")
    before = [(path.stat().st_uid, path.stat().st_mode) for path in (outside, outside / "shadow")]
    first = here.open(may_format=True)
    for name in (".jupyter", ".local", "lost+found", ".js2-seed-x"):
        (here.place / name).symlink_to(outside)
        os.lchown(here.place / name, SOMEBODY, SOMEBODY)
    here.let_go(first)
    here.as_uid(SOMEBODY + 1)
    here.open()
    assert (here.place / ".jupyter").lstat().st_uid == SOMEBODY + 1
    assert [(path.stat().st_uid, path.stat().st_mode) for path in (outside, outside / "shadow")] == before
    assert [entry.name for entry in outside.iterdir()] == ["shadow"]


def test_a_home_of_the_same_person_under_another_number_becomes_theirs_whole(here: Stand) -> None:
    first = here.open(may_format=True)
    folder = here.place / "course"
    folder.mkdir()
    os.chown(folder, SOMEBODY, SOMEBODY)
    written(here, "course/notes", "")
    (here.place / "roots").write_text("")
    here.place.chmod(0o777)
    here.let_go(first)
    here.as_uid(SOMEBODY + 1)
    here.open()
    owners = [(here.place / name).stat().st_uid for name in (".", "course", "course/notes", "roots")]
    assert owners == [SOMEBODY + 1] * 3 + [0]
    assert here.place.stat().st_mode & 0o7777 == 0o755


def test_a_full_home_is_a_sentence_and_no_reason_for_no_server(here: Stand) -> None:
    opened = here.open(may_format=True)
    assert [each for each in opened.notices() if "full" in each]  # a home of 64 MiB is full from the start
    subprocess.run(["dd", "if=/dev/zero", f"of={here.place}/big", "bs=1M"], check=False, capture_output=True)
    here.let_go(opened)
    again = here.open()
    assert any("full" in each and "delete something" in each for each in again.notices())


def test_a_home_that_can_only_be_read_any_more_is_a_sentence(here: Stand) -> None:
    opened = here.open(may_format=True)
    run("mount", "-o", "remount,ro", here.place)  # as the kernel does when it finds an error
    opened.look()
    assert any("can only be read" in each for each in opened.notices())


def test_the_disk_of_something_else_on_this_instance_is_not_touched(
    here: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "FREE_PATIENCE_S", 0.2)
    used_once(here)
    with here.looked_into():
        assert "in use by something else" in refusal(here)


def test_nothing_is_ever_mounted_over_the_system(here: Stand) -> None:
    here.owner = replace(here.owner, home="/")
    assert "no place for one" in refusal(here, may_format=True)
    assert disks.is_blank(here.device)


def test_without_a_wish_the_home_is_the_instances_own(here: Stand) -> None:
    opened = here.home()
    assert opened.open(here.owner, None, lambda: None) == here.owner
    assert opened.report()["state"] == "none"
    assert here.let_go(opened) == "none"


# ---- the agent comes and goes


def test_a_new_agent_goes_on_with_the_home_that_is_mounted(here: Stand) -> None:
    here.open(may_format=True)
    file = written(here)
    with file.open("a"):
        again = here.open()
        assert [each.place for each in mounts.everything()].count(here.place) == 1
    assert again.report()["formatted"]
    assert here.let_go(again) == "clean"


# ---- let go of


def holder(here: Stand, *ignored: int) -> subprocess.Popen[bytes]:
    """A program in the home, with a file of it open, and perhaps one that will not hear a SIGTERM."""
    lines = "import signal, sys, time\n" + "".join(f"signal.signal({number}, signal.SIG_IGN)\n" for number in ignored)
    lines += "file = open('open', 'w'); print('ready', flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", lines], cwd=here.place, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize("ignored", [(), (signal.SIGTERM,)])
def test_whoever_still_uses_the_home_is_ended_and_all_is_written(here: Stand, ignored: tuple[int, ...]) -> None:
    opened = here.open(may_format=True)
    written(here)
    child = holder(here, *ignored)
    try:
        assert here.let_go(opened) == "clean"
        # What ended it was seen by the guest program, which collects every child.
        assert not Path(f"/proc/{child.pid}/cwd").exists()
    finally:
        child.kill()
    assert mounts.at(here.place) is None
    assert "clean" in run("dumpe2fs", "-h", here.device).partition("Filesystem state:")[2].partition("\n")[0]
    with here.looked_into() as inside:
        assert (inside / "thesis.txt").read_text() == "three years of work"


def test_a_home_that_somebody_keeps_is_said_to_be_busy_and_nothing_written_is_lost(here: Stand) -> None:
    opened = here.open(may_format=True)
    written(here)
    # This very process, which the guest program takes for itself and will not end.
    with (here.place / "mine").open("w") as mine:
        mine.write("still written")
        mine.flush()
        assert here.let_go(opened) == "busy"
        assert mounts.at(here.place) is None
    deadline = time.monotonic() + 20.0
    while not disks.is_free(here.device):
        assert time.monotonic() < deadline
    with here.looked_into() as inside:
        assert (inside / "mine").read_text() == "still written"


def test_a_home_that_is_seen_elsewhere_too_is_busy(here: Stand) -> None:
    opened = here.open(may_format=True)
    other = here.folder / "other"
    other.mkdir()
    run("mount", "--bind", here.place, other)
    assert here.let_go(opened) == "busy"


def test_what_a_user_mounted_in_the_home_goes_with_it(here: Stand) -> None:
    opened = here.open(may_format=True)
    (here.place / "scratch").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", here.place / "scratch")
    assert here.let_go(opened) == "clean"


# ---- folders that stand for disks


def test_where_machines_have_no_disks_the_home_is_the_folder_behind_the_link(here: Stand) -> None:
    folder = here.folder / "volume"
    folder.mkdir()
    link = next(here.by_id.iterdir())
    link.unlink()
    link.symlink_to(folder)
    written(here, ".bashrc", "the image's")
    opened = here.home()
    owner = opened.open(here.owner, wish(may_format=True), lambda: None)
    assert owner.home == str(folder)
    assert ((folder / ".bashrc").read_text(), folder.stat().st_uid) == ("the image's", SOMEBODY)
    assert here.let_go(opened) == "clean"


def test_a_disk_that_does_not_come_is_a_problem_in_one_sentence(here: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    next(here.by_id.iterdir()).unlink()
    monkeypatch.setattr(here, "machine", impatient(here))
    assert refusal(here) == "Your home cannot be used: its disk did not appear within 60 s."


def impatient(here: Stand) -> object:
    """A machine on which every look costs a second."""
    now = [0.0]

    def sleep(_seconds: float) -> None:
        now[0] += 1.0

    found = disks.Disks(lambda: now[0], sleep, here.by_id)
    return lambda: Machine(lambda: now[0], sleep, privileged=True, disks=found)
