"""Which home a start gets, what its guest is told of it, and what guests tell."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.catalog_entries import Home as Terms
from js2spawner.cloud.errors import BadCloudConfig, NoAnswer, ServerFault
from js2spawner.fleet import homes as homes_module
from js2spawner.fleet.names import HUB_KEY
from js2spawner.handshake.messages import HomeReport
from js2spawner.home_copies import CLEAN
from js2spawner.homes import FORMATTED, MOST_GB, SNAPSHOTS, USED_AT, USED_GB, text_of
from js2spawner.instance import NO_HOME, Running
from tests.unit.homes.clouds import HUB
from tests.unit.homes.scenes import (
    ALICE,
    ALICE_ID,
    ALICE_SECOND,
    BOB,
    BOB_ID,
    SHARE,
    VOLUME,
    Scene,
    outcome,
    refused,
    scene,
    soon,
)
from tests.unit.lives import ADDRESS

COPIED = Terms.model_validate({"kind": "volume", "size_gb": 10, "snapshots": {"every_hours": 24, "keep": 3}})


async def test_a_profile_without_homes_and_a_start_without_one_cost_no_call(here: Scene) -> None:
    none = Terms.model_validate({})
    assert await here.homes.use(ALICE, ALICE_ID, none, here.region("IU")) == (NO_HOME, None)
    assert await here.homes.use(ALICE, ALICE_ID, VOLUME, here.region("IU"), wanted=False) == (NO_HOME, None)
    assert here.iu.faults.calls == []


async def test_the_first_start_makes_a_home_and_all_others_find_it(here: Scene) -> None:
    home, region = await here.use()
    assert (home.kind, home.size_gb, region) == ("volume", 10, "IU")
    here.restart()
    assert (await here.use())[0].id == home.id
    assert list(here.iu.volumes.volumes) == [home.id]


async def test_a_home_s_size_is_known_to_the_choice_page_though_nobody_asks_the_cloud(here: Scene) -> None:
    home, _ = await here.use()
    here.iu.volumes.set(home.id, size_gb=20)
    here.restart()
    await here.use()
    here.restart()
    asked = len(here.iu.faults.calls)
    await here.homes.finding.ledger.load()
    entry = here.homes.finding.ledger.get("volume", ALICE_ID)
    assert entry is not None
    assert (entry.region, entry.size_gb) == ("IU", 20)
    assert len(here.iu.faults.calls) == asked


async def test_a_start_that_may_go_to_several_regions_makes_its_home_where_it_lands(here: Scene) -> None:
    home, region = await here.use(ALICE, ALICE_ID, "IU", "TACC")
    assert (home.id, region) == ("", None)
    made, region = await here.use(ALICE, ALICE_ID, "TACC")
    assert region == "TACC"
    assert (await here.use(ALICE, ALICE_ID, "IU", "TACC")) == (made, "TACC")


async def test_two_starts_at_once_make_one_home(here: Scene) -> None:
    found = await asyncio.gather(here.use(), here.use(ALICE_SECOND), here.use())
    assert len({home.id for home, _ in found}) == 1
    assert len(here.iu.volumes.volumes) == 1


async def test_everybody_has_a_home_of_their_own(here: Scene) -> None:
    alice, _ = await here.use()
    bob, _ = await here.use(BOB, BOB_ID)
    assert alice.id != bob.id


async def test_a_class_that_starts_together_costs_one_list(here: Scene) -> None:
    people = [(replace(BOB, user=f"student{number}"), f"{number}-1") for number in range(40)]
    await asyncio.gather(*(here.use(owner, user_id) for owner, user_id in people))
    assert here.iu.faults.calls.count("list-volumes") == 1
    here.restart()
    await asyncio.gather(*(here.use(owner, user_id) for owner, user_id in people))
    assert here.iu.faults.calls.count("list-volumes") == 2
    assert len(here.iu.volumes.volumes) == 40


async def test_the_terms_of_the_last_use_are_written_on_the_home(here: Scene) -> None:
    home, _ = await here.use()
    await here.use(terms=COPIED)
    marks = here.iu.volumes.volumes[home.id].metadata
    assert (marks[MOST_GB], marks[SNAPSHOTS]) == ("100", "24h/3")


async def test_a_volume_is_formatted_only_while_nobody_ever_did(here: Scene) -> None:
    home, _ = await here.use()
    record = here.attempt(home)
    mount = await here.homes.mount_of(record)
    assert mount is not None
    assert (mount.kind, mount.serial, mount.may_format) == ("volume", home.id[:20], True)
    here.homes.took_report(record, HomeReport("mounted", 0.1, 9.8, formatted=True))
    again = await here.homes.mount_of(record)
    assert again is not None
    assert not again.may_format
    await here.settled()
    here.restart()
    later = await here.homes.mount_of(record)
    assert later is not None
    assert not later.may_format


async def test_the_first_start_is_told_what_its_home_is_seeded_with(here: Scene) -> None:
    home, _ = await here.use()
    mount = await here.homes.mount_of(here.attempt(home))
    assert mount is not None
    assert mount.seed is not None
    assert (mount.seed.kind, mount.seed.url) == ("git", "https://example.org/course.git")


async def test_what_a_guest_tells_is_written_on_the_home_but_not_with_every_report(here: Scene) -> None:
    home = await here.used_home()
    record = here.attempt(home)
    for _ in range(3):
        here.homes.took_report(record, HomeReport("mounted", 3.25, 9.8))
    await here.settled()
    marks = here.iu.volumes.volumes[home.id].metadata
    assert (marks[USED_AT], marks[USED_GB]) == (text_of(here.now), "3.2")
    assert here.iu.faults.calls.count("set-metadata") == 2  # one of them is the scene's own
    here.now += 3601
    here.homes.took_report(record, HomeReport("mounted", 4.0, 9.8))
    await here.settled()
    assert here.iu.volumes.volumes[home.id].metadata[USED_GB] == "4.0"


async def test_a_mark_that_a_brown_out_swallows_is_written_all_the_same(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(homes_module, "LOOK_EVERY_S", 0.001)
    home, _ = await here.use()
    here.iu.faults.errors["set-metadata"] = [ServerFault("503"), NoAnswer("slow")]
    here.homes.took_report(here.attempt(home), HomeReport("mounted", 0.1, 9.8, formatted=True))
    await here.settled()
    assert here.iu.volumes.volumes[home.id].metadata[FORMATTED] == "yes"


async def test_a_home_is_copied_right_after_it_was_let_go_of(here: Scene) -> None:
    home = await here.used_home()
    await here.use(terms=COPIED)
    record = here.attempt(home)
    await here.attach(record)
    here.homes.took_report(record, HomeReport("clean", 1.0, 9.8))
    await here.settled()
    (snapshot,) = here.iu.volumes.kept_snapshots.values()
    assert snapshot.metadata[CLEAN] == "yes"
    assert here.iu.volumes.content[snapshot.id] == "thesis"
    here.homes.took_report(record, HomeReport("clean", 1.0, 9.8))
    await here.settled()
    assert len(here.iu.volumes.kept_snapshots) == 1


async def test_four_volumes_of_a_region_are_on_their_way_at_once_and_no_more(here: Scene) -> None:
    here.iu.compute.attaching = "sticks"
    records = []
    for number in range(7):
        owner = replace(BOB, user=f"student{number}")
        home, _ = await here.use(owner, f"{number}-1")
        records.append(here.attempt(home, owner))
    ways = [asyncio.create_task(here.attach(record)) for record in records]
    async with asyncio.timeout(5):
        while here.iu.faults.calls.count("attach") < 4:
            await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert here.iu.faults.calls.count("attach") == 4
    for hold in list(here.iu.volumes.held):
        here.iu.volumes.set(hold.volume_id, status="in-use", attached_to=(hold.server_id,))
    here.iu.compute.attaching = "works"
    assert {outcome(found) for found in await asyncio.gather(*ways)} == {"attached"}


async def test_a_class_that_stops_lets_go_of_four_volumes_at_once_and_keeps_no_start_waiting(here: Scene) -> None:
    records = []
    for number in range(7):
        owner = replace(BOB, user=f"student{number}")
        home, _ = await here.use(owner, f"{number}-1")
        records.append(here.attempt(home, owner))
        await here.attach(records[-1])
    detach, may = here.iu.compute.detach_volume, asyncio.Event()

    async def slowly(server_id: str, volume_id: str) -> None:
        here.iu.faults.calls.append("let go of")
        await may.wait()
        await detach(server_id, volume_id)

    here.iu.compute.detach_volume = slowly  # type: ignore[method-assign]
    ways = [asyncio.create_task(here.homes.detach(record)) for record in records]
    await soon(lambda: None, lambda: here.iu.faults.calls.count("let go of") >= 4)
    home, _ = await here.use()
    assert outcome(await here.attach(here.attempt(home))) == "attached"
    assert here.iu.faults.calls.count("let go of") == 4
    may.set()
    assert {outcome(found) for found in await asyncio.gather(*ways)} == {"detached"}


async def test_attaching_and_detaching_twice_is_as_good_as_once(here: Scene) -> None:
    home = await here.used_home()
    record = here.attempt(home)
    assert [outcome(await here.attach(record)) for _ in range(2)] == ["attached"] * 2
    assert here.iu.faults.calls.count("attach") == 1
    assert [outcome(await here.homes.detach(record)) for _ in range(2)] == ["detached"] * 2
    assert here.iu.faults.calls.count("detach") == 1


# ---- shares ---------------------------------------------------------------------------------------------------------


async def test_a_share_lets_an_instance_in_by_its_address_and_no_longer_than_it_is_there(here: Scene) -> None:
    home, region = await here.use(terms=SHARE)
    assert (home.kind, region) == ("share", "IU")
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    mount = await here.homes.mount_of(record)
    assert mount is not None
    assert (mount.kind, mount.export, mount.key) == ("share", f"10.0.0.2:/volumes/{home.id}", "")
    assert [(rule.kind, rule.to) for rule in here.iu.shares.rules[home.id]] == [("ip", ADDRESS)]
    assert outcome(await here.homes.detach(record)) == "detached"
    assert here.iu.shares.rules[home.id] == []


async def test_whoever_is_gone_is_let_in_no_longer(here: Scene) -> None:
    home, _ = await here.use(terms=SHARE)
    await here.iu.shares.allow(home.id, "ip", "10.0.0.77", metadata={HUB_KEY: HUB})
    await here.homes.mount_of(here.attempt(home, state=Running(0, "", ADDRESS, "hash")))
    assert [rule.to for rule in here.iu.shares.rules[home.id]] == [ADDRESS]


async def test_a_rule_of_another_level_that_is_on_its_way_out_is_waited_for(here: Scene) -> None:
    home, _ = await here.use(terms=SHARE)
    manila, record = here.iu.shares, here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    old = await manila.allow(home.id, "ip", ADDRESS, "ro")
    mounting = asyncio.create_task(here.homes.mount_of(record))
    await soon(lambda: manila.rules[home.id].remove(old), lambda: here.iu.faults.calls.count("allow") == 2)
    assert await mounting is not None
    assert [(rule.to, rule.level) for rule in manila.rules[home.id]] == [(ADDRESS, "rw")]


async def test_a_share_of_cephfs_has_a_user_and_key_that_end_with_the_instance(here: Scene) -> None:
    home, region = await here.use(ALICE, ALICE_ID, "TACC", terms=SHARE)
    assert region == "TACC"
    record = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    record = replace(record, plan=replace(record.plan, region="TACC"))
    here.records[:] = [record]
    first, second = [await here.homes.mount_of(record) for _ in range(2)]
    assert first is not None
    assert first.access.startswith("js2-")
    assert first.key
    assert first == second
    assert first.key not in repr(first)
    await here.homes.detach(record)
    third = await here.homes.mount_of(record)
    assert third is not None
    assert third.key != first.key


async def test_who_goes_takes_nothing_from_the_next_server_with_the_same_share(here: Scene) -> None:
    home, _ = await here.use(ALICE, ALICE_ID, "TACC", terms=SHARE)
    goes, comes = here.attempt(home), here.attempt(home, state=Running(0, "", "10.0.0.78", "hash"))
    goes, comes = [replace(each, plan=replace(each.plan, region="TACC")) for each in (goes, comes)]
    here.records[:] = [goes, comes]
    had = await here.homes.mount_of(comes)
    assert outcome(await here.homes.detach(goes)) == "detached"
    assert await here.homes.mount_of(comes) == had


async def test_a_cloud_without_shares_has_volumes_all_the_same_and_says_what_it_lacks(tmp_path: Path) -> None:
    here = scene(tmp_path, shares=False)
    assert (await here.use())[1] == "IU"
    here.iu.faults.errors["create-share"] = [BadCloudConfig("Cloud js2 has no shared-file-system service.")]
    assert (await refused(here.use(BOB, BOB_ID, terms=SHARE))).name == "cloud-config"
