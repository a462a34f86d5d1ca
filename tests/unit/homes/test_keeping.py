"""What is done about homes while nobody asks."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import Conflict, ServerFault, Unreachable
from js2spawner.fleet.home_data import DATA_KEY
from js2spawner.fleet.home_keeping import HomeKeeping, kinds_of
from js2spawner.fleet.names import ATTEMPT_KEY, HUB_KEY
from js2spawner.home_copies import CLEAN, EXPORT_OF
from js2spawner.homes import DELETE_AT, ROLE, SNAPSHOTS, USED_AT, text_of
from js2spawner.instance import Running
from tests.unit.homes.clouds import HUB, new_id
from tests.unit.homes.scenes import ALICE, CATALOG, SHARE, Scene, scene
from tests.unit.lives import ADDRESS

DAY = 24 * 3600.0


def keeping(here: Scene) -> HomeKeeping:
    return HomeKeeping(here.homes, kinds=("volume", "share"), every_s=0.001)


def counted(state: str) -> float | None:
    return REGISTRY.get_sample_value("js2_homes", {"region": "IU", "state": state})


def snapshots_total(outcome: str) -> float:
    return REGISTRY.get_sample_value("js2_home_snapshots_total", {"outcome": outcome}) or 0.0


async def test_homes_in_use_are_copied_on_schedule_and_the_last_few_stay(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {SNAPSHOTS: "24h/3"})
    rounds = keeping(here)
    for day in range(6):
        here.iu.volumes.content[home.id] = f"day {day}"
        await here.iu.volumes.set_metadata(home.id, {USED_AT: text_of(here.now)})
        await rounds.round("IU")
        await rounds.round("IU")
        here.now += DAY
    kept = [here.iu.volumes.content[each] for each in here.iu.volumes.kept_snapshots]
    assert kept == ["day 3", "day 4", "day 5"]


async def test_a_home_nobody_uses_is_not_copied_again(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {SNAPSHOTS: "24h/3"})
    rounds = keeping(here)
    for _ in range(4):
        await rounds.round("IU")
        here.now += DAY
    assert len(here.iu.volumes.kept_snapshots) == 1


async def test_a_home_that_stays_mounted_is_copied_as_it_is(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {SNAPSHOTS: "24h/3"})
    await here.attach(here.attempt(home))
    await keeping(here).round("IU")
    (snapshot,) = here.iu.volumes.kept_snapshots.values()
    assert snapshot.metadata[CLEAN] == "no"


async def test_a_snapshot_that_fails_has_a_name_and_keeps_nothing_else_from_being_done(here: Scene) -> None:
    before = snapshots_total("server-fault")
    for user in range(2):
        home = await here.used_home(user_id=f"{user}-1")
        await here.iu.volumes.set_metadata(home.id, {SNAPSHOTS: "24h/3"})
    here.iu.faults.errors["create-snapshot"] = [ServerFault("500")]
    await keeping(here).round("IU")
    assert len(here.iu.volumes.kept_snapshots) == 1
    assert snapshots_total("server-fault") == before + 1


async def test_a_home_is_deleted_with_its_snapshots_when_its_grace_is_over_and_not_before(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.create_snapshot(home.id, "s", {HUB_KEY: HUB, "js2_snapshot_of": home.id})
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now + 60)})
    rounds = keeping(here)
    for _ in range(3):
        await rounds.round("IU")
    assert home.id in here.iu.volumes.volumes
    here.now += 61
    await rounds.round("IU")
    assert home.id in here.iu.volumes.volumes, "deleted at first sight"
    for _ in range(2):
        await rounds.round("IU")
    assert here.iu.volumes.volumes == here.iu.volumes.kept_snapshots == {}
    # That was wanted, so nobody is told that a home vanished.
    fresh, _ = await here.use()
    assert fresh.id != home.id


async def test_a_start_rescues_a_home_between_two_looks(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 1)})
    rounds = keeping(here)
    await rounds.round("IU")
    here.restart()
    assert (await here.use())[0].id == home.id
    await rounds.round("IU")
    await rounds.round("IU")
    assert here.iu.volumes.content[home.id] == "thesis"


async def test_a_home_whose_snapshot_something_was_made_from_waits_and_is_told_of_once(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 1)})
    here.iu.faults.errors["delete-volume"] = [Conflict("Invalid volume: has dependent volumes")] * 3
    rounds = keeping(here)
    for _ in range(4):
        await rounds.round("IU")
    assert sum("not deleted yet" in line for line in caplog.messages) == 1
    await rounds.round("IU")
    assert not here.iu.volumes.volumes


async def test_what_of_an_instance_or_an_export_is_left_behind_goes(here: Scene) -> None:
    home = await here.used_home()
    record = here.attempt(home)
    volumes = here.iu.volumes
    live = await volumes.create("d1", 1, {HUB_KEY: HUB, DATA_KEY: "course", ATTEMPT_KEY: record.attempt_id})
    await volumes.create("d2", 1, {HUB_KEY: HUB, DATA_KEY: "course", ATTEMPT_KEY: "over"})
    exported = await volumes.create("e1", 1, {HUB_KEY: HUB, EXPORT_OF: home.id})
    left = await volumes.create("e2", 1, {HUB_KEY: HUB, EXPORT_OF: home.id})
    volumes.set(left.id, created=left.created - timedelta(days=3))
    foreign = await volumes.create("x", 1, {DATA_KEY: "course", ATTEMPT_KEY: "over"})
    await keeping(here).round("IU")
    assert set(volumes.volumes) == {home.id, live.id, exported.id, foreign.id}


async def test_images_that_exports_left_behind_go_and_nobody_elses(here: Scene) -> None:
    home = await here.used_home()
    gone, images = new_id(), here.iu.images

    def written(name: str, *, days: float = 3, **changes: Any) -> str:
        image_id = images.write(name, b"")
        images.set(image_id, created=datetime.fromtimestamp(here.now - days * DAY, UTC), **changes)
        return image_id

    name = f"js2-export-{home.id}-now-qcow2"
    marked = {HUB_KEY: HUB, EXPORT_OF: home.id}
    written(name)
    written(name, properties=marked)
    written(f"js2-export-{gone}-now-raw", properties={HUB_KEY: HUB, EXPORT_OF: gone})
    stay = {
        written(name, days=1, properties=marked),
        written(name, owner="another project"),
        written(name, properties={**marked, HUB_KEY: "another hub"}),
        written(f"js2-export-{new_id()}-now-qcow2"),
        written("js2-minimal", properties=marked),
    }
    await keeping(here).round("IU")
    assert set(images.images) == stay


async def test_an_image_that_an_export_left_and_that_cannot_be_deleted_is_told_of_once(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    home = await here.used_home()
    image_id = here.iu.images.write(f"js2-export-{home.id}-now-qcow2", b"")
    here.now += 3 * DAY
    here.iu.images.set(image_id, created=datetime.fromtimestamp(here.now - 3 * DAY, UTC))
    here.iu.faults.errors["delete-image"] = [Conflict("in use by the storage")] * 2
    rounds = keeping(here)
    for _ in range(3):
        await rounds.round("IU")
    assert sum("of an export stays" in line for line in caplog.messages) == 1
    assert here.iu.images.images == {}


async def test_who_was_let_into_a_share_and_is_gone_is_let_in_no_longer(here: Scene) -> None:
    home, _ = await here.use(terms=SHARE)
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    await here.homes.mount_of(record)
    await keeping(here).round("IU")
    assert [rule.to for rule in here.iu.shares.rules[home.id]] == [ADDRESS]
    here.records.clear()
    await keeping(here).round("IU")
    assert here.iu.shares.rules[home.id] == []


async def test_a_home_that_an_operator_mounted_elsewhere_stays_mounted_there(here: Scene) -> None:
    home, _ = await here.use(terms=SHARE)
    await here.iu.shares.allow(home.id, "ip", "10.9.0.7", "rw")
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    await here.homes.mount_of(record)
    await keeping(here).round("IU")
    assert {rule.to for rule in here.iu.shares.rules[home.id]} == {ADDRESS, "10.9.0.7"}


async def test_operators_see_how_many_homes_are_in_which_state(here: Scene) -> None:
    home = await here.used_home()
    there = here.homes.in_cloud["IU"]
    await there.mark(await there.get("volume", home.id), {DELETE_AT: text_of(here.now + DAY)})
    old = await here.used_home(ALICE, "9-1")
    await there.mark(await there.get("volume", old.id), {ROLE: "old"})
    await keeping(here).round("IU")
    assert (counted("ending"), counted("old"), counted("ready")) == (1, 1, 0)


async def test_a_region_that_does_not_answer_keeps_no_other_waiting_and_is_asked_again(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 1)})
    here.iu.faults.errors["list-volumes"] = [Unreachable("no route")] * 2
    rounds = keeping(here)
    rounds.start()
    try:
        async with asyncio.timeout(5):
            while here.iu.volumes.volumes:
                await asyncio.sleep(0.001)
    finally:
        await rounds.stop()


async def test_a_region_without_shares_has_its_volumes_looked_after(tmp_path: Path) -> None:
    here = scene(tmp_path, shares=False)
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {SNAPSHOTS: "24h/3"})
    await keeping(here).round("IU")
    assert len(here.iu.volumes.kept_snapshots) == 1


def test_a_catalog_without_homes_has_nothing_looked_after(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    assert kinds_of(Catalog.load(file)) == ("volume",)
    file.write_text(re.sub("standard: .*", "standard: {}", CATALOG, count=1))
    assert kinds_of(Catalog.load(file)) == ()
