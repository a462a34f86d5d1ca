"""A home becomes a file: `js2 home export` over clouds in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from js2spawner.cloud.errors import Conflict, Unreachable
from js2spawner.fleet.names import HUB_KEY
from js2spawner.home_commands.common import moment
from js2spawner.home_copies import COPIED_AT, EXPORT_OF
from js2spawner.instance import HomeUse
from tests.unit.homes.commands import Js2, good, refusal
from tests.unit.homes.scenes import Scene

DAY = timedelta(days=1)


def images(here: Scene) -> list[str]:
    return list(here.iu.images.images)


def broken_off(here: Scene, js2: Js2, *words: str) -> str:
    """Export into a file, and have it break off where the image is there; the image's id."""
    here.iu.faults.errors["download"] = [Unreachable("no route")]
    refusal(js2("export", "alice", str(here.directory / "broken.qcow2"), *words))
    (image_id,) = images(here)
    return image_id


def make_older(here: Scene, image_id: str, by: timedelta) -> None:
    here.iu.images.set(image_id, created=here.iu.images.images[image_id].created - by)


def test_a_home_is_exported_and_nothing_is_left_in_the_cloud(here: Scene, home: HomeUse, js2: Js2) -> None:
    asyncio.run(here.attach(here.attempt(home)))
    file = here.directory / "alice.qcow2"
    good(js2("export", "alice", str(file)))
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("thesis", 0o600)
    assert list(here.iu.volumes.volumes) == [home.id]
    assert list(here.iu.volumes.kept_snapshots) == images(here) == []
    assert "is there already" in refusal(js2("export", "alice", str(file)))


def test_an_export_whose_download_breaks_off_goes_on(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.images.breaks_after = [2, 1]
    file = here.directory / "alice.qcow2"
    good(js2("export", "alice", str(file)))
    assert file.read_text() == "thesis"


def test_an_export_that_was_broken_off_is_taken_up_by_the_next_call(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.faults.errors["upload"] = [Unreachable("no route")]
    file = here.directory / "alice.qcow2"
    refusal(js2("export", "alice", str(file)))
    assert len(here.iu.volumes.volumes) == 2
    good(js2("export", "alice", str(file)))
    assert here.iu.faults.calls.count("create-snapshot") == 1
    assert list(here.iu.volumes.volumes) == [home.id]


def test_what_a_broken_off_export_left_can_be_deleted(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.faults.errors["upload"] = [Unreachable("no route")]
    file = here.directory / "alice.qcow2"
    refusal(js2("export", "alice", str(file)))
    good(js2("export", "alice", str(file), "--discard"))
    assert list(here.iu.volumes.volumes) == [home.id]
    assert here.iu.volumes.kept_snapshots == {}


def test_a_file_that_is_not_what_the_cloud_holds_is_not_handed_over(here: Scene, home: HomeUse, js2: Js2) -> None:
    file = here.directory / "alice.qcow2"
    Path(f"{file}.part").write_text("THE")
    assert "was deleted" in refusal(js2("export", "alice", str(file)))
    assert not file.exists()
    good(js2("export", "alice", str(file)))
    assert file.read_text() == "thesis"


# ---- what was left behind -------------------------------------------------------------------------------------------


def test_an_image_of_another_day_is_not_handed_out_as_the_home_as_it_is_now(
    here: Scene, home: HomeUse, js2: Js2
) -> None:
    make_older(here, broken_off(here, js2), 3 * DAY)
    here.iu.volumes.content[home.id] = "a chapter more"
    file = here.directory / "alice.qcow2"
    good(js2("export", "alice", str(file)))
    assert (file.read_text(), images(here)) == ("a chapter more", [])


def test_a_snapshot_of_another_day_is_not_handed_out_as_the_home_as_it_is_now(
    here: Scene, home: HomeUse, js2: Js2
) -> None:
    here.iu.faults.errors["upload"] = [Unreachable("no route")]
    file = here.directory / "alice.qcow2"
    refusal(js2("export", "alice", str(file)))
    kept = here.iu.volumes.kept_snapshots
    (old,) = kept.values()
    kept[old.id] = replace(old, created=old.created - 3 * DAY)
    here.iu.volumes.content[home.id] = "a chapter more"
    good(js2("export", "alice", str(file)))
    assert (file.read_text(), kept) == ("a chapter more", {})


def test_an_image_that_no_present_copy_was_made_into_is_not_taken(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.images.write(f"js2-export-{home.id}-now-qcow2", b"somebody else's idea of it")
    file = here.directory / "alice.qcow2"
    good(js2("export", "alice", str(file)))
    assert (file.read_text(), images(here)) == ("thesis", [])


def test_an_image_that_was_fetched_and_could_not_be_deleted_is_not_handed_out_again(
    here: Scene, home: HomeUse, js2: Js2
) -> None:
    here.iu.faults.errors["delete-image"] = [Conflict("in use by the storage")]
    first, second = here.directory / "first.qcow2", here.directory / "second.qcow2"
    told = good(js2("export", "alice", str(first)))
    assert ("--discard" in told, first.read_text(), len(images(here))) == (True, "thesis", 1)
    here.iu.volumes.content[home.id] = "a chapter more"
    good(js2("export", "alice", str(second)))
    assert (second.read_text(), images(here)) == ("a chapter more", [])


def test_an_image_whose_making_was_never_watched_to_its_end_is_gone_on_with(
    here: Scene, home: HomeUse, js2: Js2
) -> None:
    here.iu.faults.errors["update-image"] = [Unreachable("no route")]
    file = here.directory / "alice.qcow2"
    refusal(js2("export", "alice", str(file)))
    good(js2("export", "alice", str(file)))
    assert here.iu.faults.calls.count("upload") == 1


def test_the_image_of_another_project_is_neither_taken_nor_deleted(here: Scene, home: HomeUse, js2: Js2) -> None:
    foreign = here.iu.images.write(f"js2-export-{home.id}-now-qcow2", b"theirs")
    said = {HUB_KEY: here.homes.in_cloud["IU"].hub_id, EXPORT_OF: home.id, COPIED_AT: "2026-01-01T00:00:00+00:00"}
    here.iu.images.set(foreign, owner="another project", properties=said)
    file = here.directory / "alice.qcow2"
    good(js2("export", "alice", str(file)))
    good(js2("export", "alice", str(file), "--discard"))
    assert (file.read_text(), images(here)) == ("thesis", [foreign])


def test_the_answer_says_when_the_copy_was_made_and_how_it_was_compared(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.now = time.time() - 3600
    image_id = broken_off(here, js2)
    taken = here.now
    here.now = time.time()
    made = here.iu.images.images[image_id]
    answer = json.loads(js2("export", "alice", str(here.directory / "alice.qcow2"), "--json").stdout)
    assert answer["copied_at"] == moment(taken)
    assert (answer["hash_algorithm"], answer["hash"]) == ("sha512", made.os_hash_value)
    told = good(js2("export", "alice", str(here.directory / "now.qcow2")))
    assert f"as it was on {moment(here.now)} UTC" in told
    assert "compared by sha512" in told


# ---- discarding -----------------------------------------------------------------------------------------------------


def test_what_an_export_of_the_latest_snapshot_left_can_be_deleted(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    image_id = broken_off(here, js2, "--snapshot", "latest")
    # The one that was the latest then is not the latest any more.
    here.now += 60
    good(js2("snapshot", "alice"))
    told = good(js2("export", "alice", str(here.directory / "broken.qcow2"), "--snapshot", "latest", "--discard"))
    assert (images(here), f"image {image_id}" in told) == ([], True)
    assert len(here.iu.volumes.kept_snapshots) == 2


def test_where_nothing_was_left_it_is_not_said_that_something_was_deleted(here: Scene, home: HomeUse, js2: Js2) -> None:
    words = ("export", "alice", str(here.directory / "alice.qcow2"), "--discard")
    assert "nothing to delete" in good(js2(*words))
    assert json.loads(js2(*words, "--json").stdout) == {"deleted": []}


# ---- comparing ------------------------------------------------------------------------------------------------------


def export_with_part(here: Scene, js2: Js2, monkeypatch: pytest.MonkeyPatch, algorithm: str, value: str) -> Path:
    """Export where Glance hashes like that, and a file of the same size as the image's, of another, is there."""
    write = here.iu.images.write

    def hashed(name: str, data: bytes) -> str:
        image_id = write(name, data)
        here.iu.images.set(image_id, os_hash_algo=algorithm, os_hash_value=value)
        return image_id

    monkeypatch.setattr(here.iu.images, "write", hashed)
    file = here.directory / "alice.qcow2"
    Path(f"{file}.part").write_text("THESIS")
    return file


def test_a_file_is_compared_by_whatever_algorithm_glance_names(
    here: Scene, home: HomeUse, js2: Js2, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"thesis").hexdigest()
    file = export_with_part(here, js2, monkeypatch, "sha256", digest)
    assert "was deleted" in refusal(js2("export", "alice", str(file)))
    answer = json.loads(js2("export", "alice", str(file), "--json").stdout)
    assert (file.read_text(), answer["hash_algorithm"], answer["hash"]) == ("thesis", "sha256", digest)


@pytest.mark.parametrize("algorithm", ["", "gost-of-2031", "shake_256"])
def test_what_no_hash_can_vouch_for_is_fetched_anew(
    here: Scene, home: HomeUse, js2: Js2, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    file = export_with_part(here, js2, monkeypatch, algorithm, "0123" if algorithm else "")
    # A download that breaks off in the same call goes on all the same.
    here.iu.images.breaks_after = [2]
    result = js2("export", "alice", str(file), "--json")
    answer = json.loads(result.stdout)
    assert (file.read_text(), answer["hash_algorithm"], answer["hash"]) == ("thesis", None, None)
    assert "is fetched anew" in result.stderr
