"""Class data: a volume of its own for each instance from one snapshot, or a share that all read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import QuotaExceeded
from js2spawner.cloud.records import VolumeSnapshot
from js2spawner.fleet.home_data import DATA_KEY
from js2spawner.fleet.home_keeping import HomeKeeping, kinds_of
from js2spawner.instance import Deadlines, Running
from tests.unit.homes.clouds import RegionInMemory
from tests.unit.homes.scenes import CATALOG, Scene
from tests.unit.lives import ADDRESS

WITH_DATA = CATALOG.replace("standard: {home:", "standard: {data: [genomes, lectures], home:")


@pytest.fixture
async def here(tmp_path: Path) -> Scene:
    """A region with a snapshot of genomes and a share of lectures."""
    iu = RegionInMemory()
    source = await iu.volumes.create("genomes", 3, {})
    iu.volumes.content[source.id] = "ACGT"
    snapshot = await iu.volumes.create_snapshot(source.id, "genomes", {})
    share = await iu.shares.create("lectures", 1, "NFS", {})
    data = f"data:\n  genomes: {{region: IU, snapshot: {snapshot.id}}}\n  lectures: {{share: {share.id}}}\n"
    file = tmp_path / "catalog.yaml"
    file.write_text(WITH_DATA + data)
    return Scene(tmp_path, Catalog.load(file), {"IU": iu, "TACC": RegionInMemory()})


def copies(here: Scene) -> list[str]:
    return [volume.id for volume in here.iu.volumes.volumes.values() if DATA_KEY in volume.metadata]


async def test_an_instance_reads_a_copy_of_the_snapshot_and_the_share(here: Scene) -> None:
    home, _ = await here.use()
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    genomes, lectures = await here.homes.data_of(record)
    (copy,) = copies(here)
    assert (genomes.name, genomes.kind, genomes.serial) == ("genomes", "volume", copy[:20])
    assert here.iu.volumes.content[copy] == "ACGT"
    assert here.iu.volumes.volumes[copy].attached_to == (record.server_id,)
    assert (lectures.name, lectures.kind) == ("lectures", "share")
    assert [(rule.to, rule.level) for rule in here.iu.shares.rules[lectures.export[-36:]]] == [(ADDRESS, "ro")]


async def test_it_is_got_ready_while_the_home_is_attached_and_never_twice(here: Scene) -> None:
    home, _ = await here.use()
    record = here.attempt(home)
    await here.attach(record)
    first = await here.homes.data_of(record)
    assert await here.homes.data_of(record) == first
    here.restart()
    assert await here.homes.data_of(record) == first
    assert len(copies(here)) == 1


async def test_what_lies_in_another_region_is_not_asked_for(here: Scene, caplog: pytest.LogCaptureFixture) -> None:
    record = here.attempt((await here.use())[0], state=Running(0, "", ADDRESS, "hash"))
    far = replace(record, plan=replace(record.plan, region="TACC"))
    here.records[:] = [far]
    # The lectures name no region: they are in the first one.
    assert await here.homes.data_of(far) == ()
    assert "goes without" not in caplog.text


async def test_a_start_goes_on_without_what_cannot_be_had_and_the_operator_is_told(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    home, _ = await here.use()
    here.iu.faults.errors["create-volume"] = [QuotaExceeded("Maximum number of volumes exceeded", quota="volumes")]
    (lectures,) = await here.homes.data_of(here.attempt(home))
    assert lectures.name == "lectures"
    assert "goes without class data genomes: quota" in caplog.text


async def test_data_that_is_late_costs_nobody_the_start(here: Scene, caplog: pytest.LogCaptureFixture) -> None:
    home, _ = await here.use()
    record = here.attempt(home)
    # Only so long does an instance that waits for its assignment live.
    record = replace(record, plan=replace(record.plan, deadlines=Deadlines(assign_s=0.02)))
    here.records[:] = [record]
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    here.iu.volumes.get_snapshot = never  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(5):
        assert await here.homes.data_of(record) == ()
    assert asked.is_set()
    assert "goes without its class data" in caplog.text
    await here.homes.stop()


async def test_data_of_an_instance_that_ended_meanwhile_cancels_nobodys_start(here: Scene) -> None:
    home, _ = await here.use()
    goes, comes = here.attempt(home), here.attempt(home)
    plain = here.iu.volumes.get_snapshot

    async def ends(snapshot_id: str) -> VolumeSnapshot:
        here.iu.volumes.get_snapshot = plain  # type: ignore[method-assign]
        here.records.remove(goes)
        here.homes.data.begin(comes)
        return await plain(snapshot_id)

    here.iu.volumes.get_snapshot = ends  # type: ignore[method-assign]
    assert await here.homes.data_of(goes) == ()
    await here.homes.stop()


async def test_who_read_the_share_and_is_gone_reads_it_no_longer_but_an_operators_rule_stays(here: Scene) -> None:
    home, _ = await here.use()
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    _, lectures = await here.homes.data_of(record)
    share_id = lectures.export[-36:]
    await here.iu.shares.allow(share_id, "ip", "10.9.0.0/16", "ro")
    rounds = HomeKeeping(here.homes, kinds=kinds_of(here.catalog))
    await rounds.round("IU")
    assert {rule.to for rule in here.iu.shares.rules[share_id]} == {ADDRESS, "10.9.0.0/16"}
    here.records.clear()
    await rounds.round("IU")
    await rounds.round("TACC")
    assert [rule.to for rule in here.iu.shares.rules[share_id]] == ["10.9.0.0/16"]


async def test_who_is_let_in_while_the_rules_are_looked_through_stays_in(here: Scene) -> None:
    home, _ = await here.use()
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    _, lectures = await here.homes.data_of(record)
    share_id = lectures.export[-36:]
    here.records.clear()
    plain = here.iu.shares.accesses

    async def meanwhile(asked_id: str) -> Any:
        rules = await plain(asked_id)
        if record not in here.records:
            here.records.append(record)
        return rules

    here.iu.shares.accesses = meanwhile  # type: ignore[method-assign]
    await HomeKeeping(here.homes, kinds=kinds_of(here.catalog)).round("IU")
    await HomeKeeping(here.homes, kinds=kinds_of(here.catalog)).round("TACC")
    assert [rule.to for rule in here.iu.shares.rules[share_id]] == [ADDRESS]
