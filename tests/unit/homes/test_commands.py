"""`js2 home …` as somebody types it, over clouds in memory."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from js2spawner import cli
from js2spawner.cloud.errors import BadRequest, Unreachable
from js2spawner.homes import COMING, CURRENT, DELETE_AT, FORMATTED, OLD, ROLE, instant_of
from js2spawner.instance import HomeUse
from tests.unit.homes.commands import Js2, good, refusal
from tests.unit.homes.scenes import ALICE_ID, BOB, BOB_ID, SHARE, Scene


def volumes(here: Scene, role: str = CURRENT) -> list[str]:
    return [each.id for each in here.iu.volumes.volumes.values() if each.metadata.get(ROLE) == role]


def snapshots(here: Scene) -> list[str]:
    return list(here.iu.volumes.kept_snapshots)


def test_all_homes_are_listed_for_a_person_and_for_a_program(here: Scene, home: HomeUse, js2: Js2) -> None:
    asyncio.run(here.used_home(BOB, BOB_ID))
    told = good(js2("list"))
    assert [line.split()[0] for line in told.splitlines()] == ["USER", "alice", "bob"]
    first, second = json.loads(good(js2("list", "--json")))
    assert (first["user"], first["id"], first["size_gb"]) == ("alice", home.id, 10)
    assert second["user"] == "bob"


def test_a_hub_without_homes_says_so(js2: Js2) -> None:
    assert good(js2("list")) == "This hub has no homes yet.\n"


def test_what_a_region_does_not_tell_keeps_nobody_from_seeing_the_rest(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.faults.errors["list-shares"] = [Unreachable("connection refused")]
    told = refusal(js2("list"))
    assert home.id in told
    assert "The shares in IU could not be read" in told
    assert "connection refused" in told
    here.iu.faults.errors["list-shares"] = [Unreachable("connection refused")]
    result = js2("list", "--json")
    assert (result.exit_code, [each["id"] for each in json.loads(result.stdout)]) == (1, [home.id])


def test_homes_whose_snapshots_cannot_be_read_are_listed_without_a_number(here: Scene, home: HomeUse, js2: Js2) -> None:
    here.iu.faults.errors["list-snapshots"] = [Unreachable("connection refused")]
    result = js2("list", "--json")
    assert json.loads(result.stdout)[0]["snapshots"] is None
    assert "The snapshots in IU could not be read" in refusal(result)


def test_a_hub_that_could_not_be_looked_at_is_not_said_to_have_no_homes(here: Scene, js2: Js2) -> None:
    here.iu.faults.errors["list-volumes"] = [Unreachable("connection refused")]
    told = refusal(js2("list"))
    assert "The volumes in IU could not be read" in told
    assert "no homes" not in told


def test_a_home_is_shown_with_its_snapshots(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    told = good(js2("show", "alice"))
    assert home.id in told
    assert snapshots(here)[0] in told


def test_a_home_grows_up_to_what_its_profile_allows(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    assert "next time" in good(js2("grow", "alice", "19"))
    # Nobody looked at the snapshots: none is another word.
    assert json.loads(js2("grow", "alice", "20", "--json").stdout)["snapshots"] is None
    assert here.iu.volumes.volumes[home.id].size_gb == 20
    assert "20 GB already" in refusal(js2("grow", "alice", "15"))
    assert "50 GB at most" in refusal(js2("grow", "alice", "51"))


def test_a_cloud_that_does_not_grow_what_is_attached_is_told_of(here: Scene, home: HomeUse, js2: Js2) -> None:
    asyncio.run(here.attach(here.attempt(home)))
    here.iu.faults.errors["extend"] = [BadRequest("not supported by the storage")]
    assert "stop the server first" in refusal(js2("grow", "alice", "20"))


def test_a_snapshot_takes_the_homes_place_and_the_home_is_kept(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    here.iu.volumes.content[home.id] = "deleted by accident"
    assert "kept for its grace time, and so are the snapshots" in good(js2("restore", "alice", "--snapshot", "latest"))
    (fresh,) = volumes(here)
    assert (fresh != home.id, here.iu.volumes.content[fresh]) == (True, "thesis")
    assert here.iu.volumes.volumes[fresh].metadata[FORMATTED] == "yes"
    assert volumes(here, OLD) == [home.id]
    assert DELETE_AT in here.iu.volumes.volumes[home.id].metadata
    here.restart()
    assert asyncio.run(here.use())[0].id == fresh


def test_a_replaced_home_comes_back(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    good(js2("restore", "alice", "--snapshot", snapshots(here)[0]))
    (fresh,) = volumes(here)
    good(js2("restore", "alice", "--id", home.id))
    assert (volumes(here), volumes(here, OLD)) == ([home.id], [fresh])
    assert DELETE_AT not in here.iu.volumes.volumes[home.id].metadata


def test_a_restore_that_was_broken_off_is_finished_and_no_second_volume_made(
    here: Scene, home: HomeUse, js2: Js2
) -> None:
    good(js2("snapshot", "alice"))
    here.iu.faults.errors["set-metadata"] = [Unreachable("no route")]
    refusal(js2("restore", "alice", "--snapshot", "latest"))
    assert (volumes(here), len(volumes(here, COMING))) == ([home.id], 1)
    good(js2("restore", "alice", "--snapshot", "latest"))
    assert len(here.iu.volumes.volumes) == 2


def test_no_start_finds_no_home_whenever_a_restore_breaks_off(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    before = here.iu.volumes.set_metadata

    async def only_once(volume_id: str, values: Any) -> None:
        await before(volume_id, values)
        here.iu.faults.errors["set-metadata"] = [Unreachable("no route")]

    here.iu.volumes.set_metadata = only_once  # type: ignore[method-assign]
    refusal(js2("restore", "alice", "--snapshot", "latest"))
    here.iu.volumes.set_metadata = before  # type: ignore[method-assign]
    here.iu.faults.errors.clear()
    here.restart()
    assert asyncio.run(here.use())[0].id in volumes(here)
    assert len(here.iu.volumes.volumes) == 2


def test_a_home_in_use_is_neither_replaced_nor_deleted(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("snapshot", "alice"))
    asyncio.run(here.attach(here.attempt(home)))
    assert "stop the server first" in refusal(js2("restore", "alice", "--snapshot", "latest"))
    assert "stop the server first" in refusal(js2("delete", "alice", "--confirm", "alice"))


def test_a_home_is_deleted_only_by_who_types_its_users_name(here: Scene, home: HomeUse, js2: Js2) -> None:
    assert "nothing is deleted" in refusal(js2("delete", "alice", "--confirm", "bob"))
    assert "nothing is deleted" in refusal(js2("delete", "alice", answers="yes\n"))
    assert DELETE_AT not in here.iu.volumes.volumes[home.id].metadata
    good(js2("delete", "alice", answers="alice\n"))
    ends = instant_of(here.iu.volumes.volumes[home.id].metadata[DELETE_AT])
    assert ends is not None
    assert 13.9 < (ends - time.time()) / 86400 < 14.1
    assert home.id in here.iu.volumes.volumes


def test_a_deletion_is_taken_back(here: Scene, home: HomeUse, js2: Js2) -> None:
    good(js2("delete", "alice", "--confirm", "alice", "--grace-days", "2"))
    good(js2("restore", "alice"))
    assert DELETE_AT not in here.iu.volumes.volumes[home.id].metadata
    assert "not going to be deleted" in refusal(js2("restore", "alice"))


def test_a_share_is_neither_copied_nor_exported(here: Scene, js2: Js2) -> None:
    asyncio.run(here.use(terms=SHARE))
    assert "share" in refusal(js2("snapshot", "alice"))
    assert "share" in refusal(js2("export", "alice", str(here.directory / "alice.raw")))
    assert "at once" in good(js2("grow", "alice", "20"))


def test_of_several_homes_one_has_to_be_named(here: Scene, home: HomeUse, js2: Js2) -> None:
    asyncio.run(here.use(user_id="9-1", terms=SHARE))
    asyncio.run(here.use(user_id=ALICE_ID, terms=SHARE))
    assert "--id" in refusal(js2("show", "alice"))
    assert home.id in good(js2("show", "alice", "--id", home.id))


def test_mistakes_are_told_in_one_sentence(here: Scene, js2: Js2, tmp_path: Path) -> None:
    assert "no home of 'carol'" in refusal(js2("show", "carol"))
    assert "known are IU, TACC" in refusal(js2("list", "--region", "Mars"))
    here.iu.faults.errors["list-volumes"] = [Unreachable("no route to host")]
    assert "no route to host" in refusal(js2("list"))
    options = ["--catalog", str(here.directory / "catalog.yaml"), "--state-dir", str(tmp_path / "nowhere")]
    assert "--state-dir" in refusal(CliRunner().invoke(cli.main, ["home", "list", *options]))
