"""Publishing without a cloud: the disk that is sent, what an image says of itself, who may publish what."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha512
from pathlib import Path

import pytest

from js2spawner.library import properties as named
from js2spawner.library.builds import DISK, BootReport, Build, Builds
from js2spawner.library.converting import CannotPublish, prepared, to_raw
from js2spawner.library.describing import described, licence_note, listed
from js2spawner.library.promoting import next_date
from js2spawner.library.published import versions
from js2spawner.library.publishing import Wanted
from js2spawner.library.releasing import Terms, check_tested, chosen_build, why_stale
from js2spawner.library.software import Package, unpacked

from .definitions import definition
from .in_glance import KEY, T0, image, signed

BUILD = Build("tiny", "b1", "key", "scratch", T0.isoformat(), disk_sha512=sha512(b"disk").hexdigest())


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    builds = Builds(tmp_path)
    builds.save(BUILD)
    (builds.place(BUILD) / DISK).write_bytes(b"disk")
    return builds


def many(count: int) -> tuple[Package, ...]:
    """Packages whose names do not compress well."""
    words = (sha512(str(number).encode()).hexdigest() for number in range(count))
    return tuple(Package("pypi", word[:40], word[40:70], word[70:110]) for word in words)


def test_an_image_says_what_it_is_made_of():
    told = described(definition(), BUILD, [Package("deb", "bash", "5.2", "GPL-3+")])
    assert told.items() >= {**named.HARDWARE, named.IMAGE: "tiny", named.BUILD: "b1", named.DEFINITION: "key"}.items()
    assert unpacked(named.from_parts(told)) == (Package("deb", "bash", "5.2", "GPL-3+"),)
    assert told[named.UNTESTED] == "yes"
    tested = replace(BUILD, boot=BootReport(T0.isoformat(), "kvm", {}))
    assert named.UNTESTED not in described(definition(), tested, [])


def test_every_value_fits_into_a_property():
    told = described(replace(definition(), title="T" * 300), BUILD, many(200))
    assert max(map(len, told.values())) <= named.VALUE_AT_MOST
    assert all(told.values())


def test_a_list_that_is_too_long_loses_its_licences_before_it_is_left_out():
    whole, shorter = many(180), many(300)
    assert unpacked(named.from_parts(listed(whole))) == tuple(sorted(whole))
    assert {package.licence for package in unpacked(named.from_parts(listed(shorter)))} == {""}
    assert listed(many(2000)) == {}


def test_the_list_leaves_room_for_what_nova_and_a_base_say_of_an_image():
    others = [f"os_property_{number}" for number in range(60)]
    whole, shorter = (described(definition(), BUILD, many(180), names) for names in ((), others))
    assert len(unpacked(named.from_parts(whole))) == len(unpacked(named.from_parts(shorter))) == 180
    assert len(others) + len(whole) + 3 > named.PROPERTIES_AT_MOST >= len(others) + len(shorter) + 3
    assert described(definition(), BUILD, many(180), [*named.HARDWARE, "js2_title"]) == whole


def test_the_note_of_licences_counts_the_most_frequent_first():
    packages = [Package("deb", str(number), "1", "MIT") for number in range(3)]
    assert licence_note([*packages, Package("deb", "x", "1", "GPL-2"), Package("deb", "y", "1")]) == (
        "MIT 3, GPL-2 1, unknown 1"
    )
    long = licence_note(many(100))
    assert len(long) <= named.VALUE_AT_MOST
    assert long.endswith("others")


def test_the_disk_is_converted_aside_and_nothing_of_that_stays(builds: Builds):
    with prepared(BUILD, builds, "raw", shutil.copyfile) as file:
        assert file.read_bytes() == b"disk"
        assert file.parent != builds.place(BUILD)
    assert sorted(path.name for path in builds.place(BUILD).iterdir()) == ["build.json", DISK]


def test_what_a_killed_publisher_left_is_gone_before_there_must_be_room(builds: Builds):
    left = builds.place(BUILD) / ".upload"
    left.mkdir()
    (left / "disk.raw").write_bytes(b"half")
    with prepared(BUILD, builds, "qcow2") as file:
        assert file.name == DISK
        assert not left.exists()


def test_a_missing_converter_is_told_with_what_to_install(
    builds: Builds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotPublish, match="apt-get install qemu-utils"), prepared(BUILD, builds, "raw"):
        pass


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is not installed")
def test_what_is_no_disk_is_told_in_the_converters_own_words(tmp_path: Path):
    (tmp_path / DISK).write_bytes(b"no disk")
    with pytest.raises(CannotPublish, match="Image is not in qcow2 format"):
        to_raw(tmp_path / DISK, tmp_path / "disk.raw")


def test_a_disk_needs_whole_gigabytes_and_no_less_than_it_has():
    wanted = Wanted("n", {named.BUILD: "b"}, "raw", 1024**3 + 1, 0, "private")
    assert (wanted.min_disk_gb, replace(wanted, virtual_bytes=1024**3).min_disk_gb) == (2, 1)


def test_only_what_booted_is_published_unless_somebody_says_so():
    failed = replace(BUILD, boot=BootReport(T0.isoformat(), "kvm", {}, ("no notebook",)))
    for build, remedy in ((BUILD, "js2 image test tiny"), (failed, "no notebook")):
        with pytest.raises(CannotPublish, match=remedy):
            check_tested(build, Terms())
        check_tested(build, Terms(untested=True))
    check_tested(replace(failed, boot=BootReport(T0.isoformat(), "kvm", {})), Terms())
    with pytest.raises(CannotPublish, match="js2 image build tiny"):
        check_tested(replace(BUILD, kind="derived"), Terms())


def test_a_test_counts_for_the_notebooks_that_ran_in_it(tmp_path: Path):
    notebook = tmp_path / "smoke.ipynb"
    notebook.write_text("{}")
    tiny = replace(definition(), smoke=(notebook,))
    build = replace(BUILD, definition=tiny.key)
    tested = replace(build, boot=BootReport(T0.isoformat(), "kvm", {}, smoke=tiny.smoke_key))
    assert why_stale(tiny, tested) == ""
    notebook.write_text("[]")
    assert "run js2 image test tiny" in why_stale(tiny, tested)
    assert "run js2 image build tiny" in why_stale(tiny, replace(tested, kind="derived"))
    assert why_stale(tiny, build) == ""
    assert "another definition" in why_stale(tiny, BUILD)


def test_the_newest_build_is_meant_unless_one_is_named(builds: Builds):
    builds.save(replace(BUILD, id="b2"))
    assert chosen_build(builds, "tiny", None).id == "b2"
    assert chosen_build(builds, "tiny", "b1").id == "b1"
    with pytest.raises(CannotPublish, match="there are: b2, b1"):
        chosen_build(builds, "tiny", "b3")
    with pytest.raises(CannotPublish, match="js2 image build other"):
        chosen_build(builds, "other", None)


def test_a_promotion_is_later_than_any_before_it_even_by_a_clock_that_was_ahead():
    def after(promoted_at_hours: float) -> datetime:
        ahead = signed(image("b1"), promoted=T0 + timedelta(hours=promoted_at_hours))
        return next_date(versions([ahead], "minimal", KEY.keys), T0)

    assert next_date([], T0) == T0
    assert after(-1) == T0
    assert after(1) == T0 + timedelta(hours=1, microseconds=1)
    with pytest.raises(CannotPublish, match="yet to come"):
        after(48)
