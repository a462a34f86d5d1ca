"""What may go wrong with a home, one row each, and what becomes of it: the table of docs/homes.md.

Every row starts from a home that holds a thesis. Whatever the row does to the cloud, the thesis is there afterwards, in
the same volume (where the row is not about the volume itself being deleted by somebody).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from js2spawner.cloud.errors import Conflict, NoAnswer, QuotaExceeded, ServerFault, Unreachable
from js2spawner.cloud.records import Volume
from js2spawner.fleet import home_finding
from js2spawner.fleet.home_keeping import HomeKeeping
from js2spawner.handshake.messages import HomeReport
from js2spawner.homes import DELETE_AT, FORMATTED, ROLE, USED_AT, USER, USER_ID, text_of
from js2spawner.instance import Ending, HomeUse, Running, Shelved
from js2spawner.sightings import Tick
from tests.unit.homes.clouds import HUB, new_id
from tests.unit.homes.scenes import (
    ALICE,
    ALICE_ID,
    ALICE_SECOND,
    BOB,
    BOB_ID,
    VOLUME,
    Scene,
    outcome,
    refused,
    soon,
)
from tests.unit.lives import ADDRESS

DOCS = Path(__file__).parents[3] / "docs" / "homes.md"
STOPPED_LONG_AGO = "00000000-dead-4000-8000-000000000000"

Row = Callable[[Scene, HomeUse], Awaitable[str]]
ROWS: dict[str, tuple[str, Row]] = {}


def row(words: str, becomes: str) -> Callable[[Row], Row]:
    """`words` are the fault's in the table of the docs, `becomes` is what comes of it."""

    def enter(does: Row) -> Row:
        ROWS[words] = (becomes, does)
        return does

    return enter


async def attached(here: Scene, home: HomeUse, **more: float) -> str:
    return outcome(await here.attach(here.attempt(home, **more)))


# ---- a volume that is stuck -----------------------------------------------------------------------------------------


@row("reserved for an instance that is gone", "attached")
async def reserved_for_nobody(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.hold(home.id, STOPPED_LONG_AGO, "reserved")
    return await attached(here, home)


@row("attaching to an instance that is gone", "attached")
async def attaching_to_nobody(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.hold(home.id, STOPPED_LONG_AGO, "attaching")
    return await attached(here, home)


@row("attaching, and Cinder knows of nobody who wants it", "attached")
async def attaching_without_a_hold(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.set(home.id, status="attaching")
    return await attached(here, home)


@row("reserved, detaching or in use, and Cinder knows of nobody who has it", "attached")
async def held_by_nobody_at_all(here: Scene, home: HomeUse) -> str:
    became = set()
    for status in ("reserved", "detaching", "in-use"):
        record = here.attempt(home)
        here.iu.volumes.set(home.id, status=status)
        became.add(outcome(await here.attach(record)))
        await here.homes.detach(record)
        here.records.remove(record)
    return ", ".join(became)


@row("attaching to the right instance without an end", "home-slow")
async def attaching_for_ever(here: Scene, home: HomeUse) -> str:
    here.iu.compute.attaching = "sticks"
    here.iu.faults.errors["drop-hold"] = [Conflict("Detach volume from instance using the Compute API")] * 1000
    return await attached(here, home, home_s=0.2)


@row("detaching from an instance that is gone", "attached")
async def detaching_from_nobody(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.hold(home.id, STOPPED_LONG_AGO, "detaching")
    return await attached(here, home)


@row("detaching without an end", "detached")
async def detaching_for_ever(here: Scene, home: HomeUse) -> str:
    record = here.attempt(home)
    await here.attach(record)
    here.iu.compute.detaching = "sticks"
    return outcome(await here.homes.detach(record))


@row("reserved for an instance that was put on the shelf with it", "detached")
async def shelved_with_it(here: Scene, home: HomeUse) -> str:
    record = here.attempt(home)
    here.iu.compute.servers[record.server_id] = replace(
        here.iu.compute.servers[record.server_id], status="SHELVED_OFFLOADED"
    )
    here.iu.volumes.hold(home.id, record.server_id, "reserved")
    return outcome(await here.homes.detach(record))


@row("in use by an instance that is gone", "attached")
async def in_use_by_nobody(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.hold(home.id, STOPPED_LONG_AGO, "in-use")
    return await attached(here, home)


# ---- a volume that somebody else has --------------------------------------------------------------------------------


@row("in use by a switched-off instance that no record speaks for", "attached")
async def in_use_by_one_that_is_off(here: Scene, home: HomeUse) -> str:
    stray = here.iu.compute.boot("SHUTOFF", js2_hub=HUB)
    here.iu.volumes.hold(home.id, stray, "in-use")
    return await attached(here, home)


@row("in use by an instance that is being deleted", "attached")
async def in_use_by_one_that_ends(here: Scene, home: HomeUse) -> str:
    before = here.attempt(home, state=Running(0, "", ADDRESS, "hash"))
    await here.attach(before)
    here.records[:] = [replace(before, state=Ending(0, None, before.server_id))]  # type: ignore[arg-type]
    waiting = asyncio.create_task(attached(here, home))
    seen = here.iu.faults.calls.count("holds")
    await soon(lambda: here.iu.compute.delete(before.server_id), lambda: here.iu.faults.calls.count("holds") > seen + 2)
    return await waiting


@row("in use by another server of the same user", "home-busy")
async def in_use_by_another_server(here: Scene, home: HomeUse) -> str:
    other = here.attempt(home, ALICE_SECOND, state=Running(0, "", ADDRESS, "hash"))
    await here.attach(other)
    why = await refused(here.use())
    assert "“gpu”" in why.sentence
    assert (await attached(here, home)) == why.name
    return why.name


@row("attached by somebody to an instance that is not this hub's", "home-held")
async def in_use_by_a_stranger(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.hold(home.id, here.iu.compute.boot(owner="exosphere"), "in-use")
    return await attached(here, home)


# ---- a cloud that answers badly -------------------------------------------------------------------------------------


@row("the answer to the attach is lost, and it worked", "attached")
async def attach_answer_lost(here: Scene, home: HomeUse) -> str:
    here.iu.faults.errors["attach"] = [NoAnswer("timeout")]
    here.iu.faults.works_all_the_same.add("attach")
    return await attached(here, home)


@row("the cloud answers 500, 503 or not at all for a while", "attached")
async def brown_out(here: Scene, home: HomeUse) -> str:
    here.iu.faults.errors["get-volume"] = [ServerFault("503"), Unreachable("no"), NoAnswer("slow")]
    here.iu.faults.errors["attach"] = [ServerFault("500"), Conflict("Instance is busy")]
    return await attached(here, home)


@row("the cloud takes the attach and gives the volume back", "home-refused")
async def comes_back(here: Scene, home: HomeUse) -> str:
    here.iu.compute.attaching = "comes back"
    name = await attached(here, home)
    assert here.iu.faults.calls.count("attach") == 3
    return name


@row("the instance dies while its home is being attached", "vanished")
async def instance_dies(here: Scene, home: HomeUse) -> str:
    record = here.attempt(home)
    here.iu.compute.delete(record.server_id)
    return outcome(await here.attach(record))


@row("the cloud shows the volume as broken", "home-broken")
async def broken(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.set(home.id, status="error")
    assert (await refused(here.use())).name == "home-broken"
    return await attached(here, home)


# ---- a home that is not where it should be --------------------------------------------------------------------------


@row("it lies in another region than the start", "home-elsewhere")
async def elsewhere(here: Scene, home: HomeUse) -> str:
    why = await refused(here.use(ALICE, ALICE_ID, "TACC"))
    assert "IU" in why.sentence
    assert not here.regions["TACC"].volumes.volumes
    return why.name


@row("its region does not answer", "unreachable")
async def region_is_away(here: Scene, home: HomeUse) -> str:
    here.iu.faults.errors["list-volumes"] = [Unreachable("no route")] * 10
    why = await refused(here.use(ALICE, ALICE_ID, "IU", "TACC"))
    assert not here.regions["TACC"].volumes.volumes, "a second home in another region"
    return why.name


@row("somebody removed what it says of itself", "attached")
async def unmarked(here: Scene, home: HomeUse) -> str:
    here.iu.volumes.set(home.id, metadata={})
    found, _ = await here.use()
    assert found.id == home.id
    assert here.iu.volumes.volumes[home.id].metadata[FORMATTED] == "yes"
    return await attached(here, found)


@row("the hub has lost its state directory", "attached")
async def ledger_lost(here: Scene, home: HomeUse) -> str:
    (here.directory / "homes.json").unlink()
    here.restart()
    found, _ = await here.use()
    assert found.id == home.id
    return await attached(here, found)


@row("two volumes claim to be the home", "attached")
async def two_homes(here: Scene, home: HomeUse) -> str:
    there = here.homes.in_cloud["IU"]
    older = await there.create("volume", "alice", ALICE_ID, VOLUME)
    here.iu.volumes.set(older.id, created=here.iu.volumes.volumes[home.id].created.replace(year=2020))
    here.restart()
    found, _ = await here.use()
    assert found.id == home.id, "the one without data was taken"
    assert older.id in here.iu.volumes.volumes, "one of them was deleted"
    return await attached(here, found)


@row("a volume in another region claims to be the home too", "attached")
async def two_regions(here: Scene, home: HomeUse) -> str:
    there = here.homes.in_cloud["TACC"]
    other = await there.create("volume", "alice", ALICE_ID, VOLUME)
    # Whichever region is looked at last.
    for region in ("IU", "TACC", "IU", "TACC"):
        await HomeKeeping(here.homes, kinds=("volume",)).round(region)
        here.now += 60
        assert (await here.use(ALICE, ALICE_ID, "IU", "TACC"))[0].id == home.id
    assert other.id in here.regions["TACC"].volumes.volumes
    return await attached(here, home)


@row("it was to be deleted, and its user starts a server", "attached")
async def rescued(here: Scene, home: HomeUse) -> str:
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 1)})
    here.restart()
    found, _ = await here.use()
    assert DELETE_AT not in here.iu.volumes.volumes[home.id].metadata
    return await attached(here, found)


@row("a snapshot takes its place while a server starts with it", "home-refused")
async def replaced_meanwhile(here: Scene, home: HomeUse) -> str:
    await here.iu.volumes.set_metadata(home.id, {ROLE: "old"})
    return await attached(here, home)


@row("it is marked for deletion while a server starts with it", "kept")
async def deleted_meanwhile(here: Scene, home: HomeUse) -> str:
    record = here.attempt(home)
    await here.attach(record)
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 1)})
    here.homes.took_report(record, HomeReport("mounted", 1.0, 9.8))
    await soon(lambda: None, lambda: DELETE_AT not in here.iu.volumes.volumes[home.id].metadata)
    return "kept"


@row("it is marked for deletion, and a late word of its last instance arrives", "marked")
async def marked_before_the_word(here: Scene, home: HomeUse) -> str:
    record = here.attempt(home)
    await here.attach(record)
    await here.homes.detach(record)
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now + 60)})
    here.homes.took_report(record, HomeReport("clean", 1.0, 9.8))
    here.homes.took_report(record, HomeReport("mounted", 1.0, 9.8))
    await here.settled()
    return "marked" if DELETE_AT in here.iu.volumes.volumes[home.id].metadata else "kept"


@row("its user is renamed", "attached")
async def renamed(here: Scene, home: HomeUse) -> str:
    found, _ = await here.use(replace(ALICE, user="alice-new"))
    assert found.id == home.id
    assert here.iu.volumes.volumes[home.id].metadata[USER] == "alice-new"
    return await attached(here, found)


@row("somebody new has the name of a user who was removed", "another home")
async def same_name(here: Scene, home: HomeUse) -> str:
    found, _ = await here.use(ALICE, BOB_ID)
    return "another home" if found.id != home.id and here.iu.volumes.content[found.id] == "" else "the same home"


@row("the instance that had it is on the shelf", "attached")
async def on_the_shelf(here: Scene, home: HomeUse) -> str:
    here.attempt(home, ALICE_SECOND, state=Shelved(0, "", ADDRESS, "hash"))
    found, _ = await here.use()
    return await attached(here, found)


@pytest.mark.parametrize("words", ROWS)
async def test_no_fault_loses_a_file(here: Scene, words: str) -> None:
    becomes, does = ROWS[words]
    home = await here.used_home()
    assert await does(here, home) == becomes
    assert here.iu.volumes.content[home.id] == "thesis"
    assert here.iu.volumes.volumes[home.id].metadata.get(FORMATTED) == "yes"


def test_the_docs_list_every_fault() -> None:
    page = DOCS.read_text()
    assert [words for words in ROWS if f"| {words} |" not in page] == []


# ---- homes that are made, or gone -----------------------------------------------------------------------------------


async def test_a_home_that_was_deleted_in_the_cloud_is_told_once_and_then_made_anew(here: Scene) -> None:
    home = await here.used_home()
    del here.iu.volumes.volumes[home.id]
    assert (await refused(here.use())).name == "home-missing"
    fresh, _ = await here.use()
    assert fresh.id != home.id
    assert FORMATTED not in here.iu.volumes.volumes[fresh.id].metadata


async def test_a_create_whose_answer_is_lost_never_makes_two_homes(here: Scene) -> None:
    here.iu.faults.errors["create-volume"] = [NoAnswer("timeout")]
    here.iu.faults.works_all_the_same.add("create-volume")
    home, region = await here.use()
    assert (list(here.iu.volumes.volumes), region) == ([home.id], "IU")


async def test_a_home_that_shows_up_long_after_its_create_was_given_up_is_the_one(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_finding, "_LOOK_UP_S", 0.01)
    monkeypatch.setattr(home_finding, "LOOK_EVERY_S", 0.001)
    here.iu.faults.errors["create-volume"] = [ServerFault("504")]
    assert (await refused(here.use())).name == "home-slow"
    late = await here.homes.in_cloud["IU"].create("volume", "alice", ALICE_ID, VOLUME)
    found, _ = await here.use()
    assert found.id == late.id
    assert list(here.iu.volumes.volumes) == [late.id]


async def lose_a_create_in(here: Scene, region: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Alice's first start is in that region, which makes her home and falls silent. What is returned ends that."""
    monkeypatch.setattr(home_finding, "_LOOK_UP_S", 0.01)
    monkeypatch.setattr(home_finding, "LOOK_EVERY_S", 0.001)
    await here.use(BOB, BOB_ID, "IU")
    faults = here.regions[region].faults
    faults.errors["create-volume"] = [NoAnswer("timeout")]
    faults.works_all_the_same.add("create-volume")
    here.now += 60
    listing = here.regions[region].volumes.list
    asked = 0

    async def silent(wanted: Mapping[str, str] | None = None) -> list[Volume]:
        nonlocal asked
        asked += 1
        # The first look is for others of the same name, before the create.
        if asked > 1:
            raise NoAnswer("timeout")
        return await listing(wanted)

    here.regions[region].volumes.list = silent  # type: ignore[method-assign, assignment]
    assert (await refused(here.use(ALICE, ALICE_ID, region))).name == "home-slow"
    return lambda: setattr(here.regions[region].volumes, "list", listing)


@pytest.mark.parametrize("restarted", [False, True])
async def test_while_a_region_may_have_made_a_home_and_is_silent_none_is_made_elsewhere(
    here: Scene, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    answers_again = await lose_a_create_in(here, "TACC", monkeypatch)
    before = set(here.iu.volumes.volumes)
    if restarted:
        here.restart()
    why = await refused(here.use(ALICE, ALICE_ID, "IU"))
    assert (why.name, "in TACC" in why.sentence, why.policy) == ("home-slow", True, "again")
    here.homes.finding._is_down = lambda region: region == "TACC"
    assert (await refused(here.use(ALICE, ALICE_ID, "IU", "TACC"))).name == "home-slow"
    here.homes.finding._is_down = lambda region: False
    answers_again()
    # Now it is known, and binds the start that may go anywhere.
    home, region = await here.use(ALICE, ALICE_ID, "IU", "TACC")
    assert region == "TACC"
    assert (list(here.regions["TACC"].volumes.volumes), set(here.iu.volumes.volumes)) == ([home.id], before)


async def test_a_create_that_made_nothing_after_all_keeps_nobody_from_another_region(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_again = await lose_a_create_in(here, "TACC", monkeypatch)
    here.regions["TACC"].volumes.volumes.clear()
    answers_again()
    assert (await here.use(ALICE, ALICE_ID, "IU"))[1] == "IU"


async def test_a_start_that_is_cancelled_while_its_home_is_made_leaves_no_second_one(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.use(BOB, BOB_ID, "IU")
    volumes, made = here.regions["TACC"].volumes, asyncio.Event()
    create = volumes.create

    async def never_answers(*args: Any, **more: Any) -> Volume:
        await create(*args, **more)
        made.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(volumes, "create", never_answers)
    starting = asyncio.create_task(here.use(ALICE, ALICE_ID, "TACC"))
    await made.wait()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert (await refused(here.use(ALICE, ALICE_ID, "IU"))).name == "home-elsewhere"
    assert (await here.use(ALICE, ALICE_ID, "IU", "TACC"))[1] == "TACC"


async def test_two_homes_in_two_regions_are_told_of_once(here: Scene, caplog: pytest.LogCaptureFixture) -> None:
    home = await here.used_home()
    other = await here.homes.in_cloud["TACC"].create("volume", "alice", ALICE_ID, VOLUME)
    rounds = HomeKeeping(here.homes, kinds=("volume",))
    for _ in range(2):
        for region in ("TACC", "IU"):
            await rounds.round(region)
    told = [line for line in caplog.messages if "both say" in line]
    assert len(told) == 1
    assert told[0].index(home.id) < told[0].index(other.id)
    counted = [REGISTRY.get_sample_value("js2_homes", {"region": name, "state": "double"}) for name in ("IU", "TACC")]
    assert counted == [0, 1]


async def test_a_home_that_vanished_is_looked_for_in_all_regions_before_another_is_made(here: Scene) -> None:
    home = await here.used_home()
    other = await here.homes.in_cloud["TACC"].create("volume", "alice", ALICE_ID, VOLUME)
    await here.homes.finding.ledger.load()
    await HomeKeeping(here.homes, kinds=("volume",)).round("TACC")
    del here.iu.volumes.volumes[home.id]
    here.now += 60
    assert (await refused(here.use())).name == "home-missing"
    assert (await here.use(ALICE, ALICE_ID, "IU", "TACC"))[0].id == other.id


async def test_a_home_whose_regular_end_takes_long_is_nobodys_any_more(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 5)})
    volumes = here.iu.volumes

    async def begin(volume_id: str) -> None:
        volumes.set(volume_id, status="deleting")

    volumes.delete = begin  # type: ignore[method-assign]
    rounds = HomeKeeping(here.homes, kinds=("volume",))
    for _ in range(3):
        await rounds.round("IU")
    for _ in range(3):
        here.now += 60
        fresh, _ = await here.use()
        assert fresh.id != home.id
        await rounds.round("IU")
    del volumes.volumes[home.id]
    here.now += 60
    assert (await here.use())[0].id == fresh.id


async def test_a_regular_end_that_the_hub_did_not_live_to_note_is_not_told_as_a_loss(here: Scene) -> None:
    home = await here.used_home()
    await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now - 5)})
    here.iu.volumes.set(home.id, status="deleting")
    assert (await here.use())[0].id != home.id


async def test_a_home_that_somebody_is_deleting_in_the_cloud_is_told_once_and_then_made_anew(here: Scene) -> None:
    home = await here.used_home()
    here.iu.volumes.set(home.id, status="deleting")
    why = await refused(here.use())
    assert (why.name, "is being deleted" in why.sentence) == ("home-missing", True)
    assert (await here.use())[0].id != home.id


async def test_a_late_word_of_an_instance_keeps_no_home_that_a_copy_has_replaced(here: Scene) -> None:
    home = await here.used_home()
    record = here.attempt(home)
    await here.attach(record)
    end = text_of(here.now + 60)
    await here.iu.volumes.set_metadata(home.id, {ROLE: "old", DELETE_AT: end})
    here.homes.took_report(record, HomeReport("mounted", 1.0, 9.8))
    await here.settled()
    assert here.iu.volumes.volumes[home.id].metadata[DELETE_AT] == end
    assert here.iu.volumes.volumes[home.id].metadata[FORMATTED] == "yes"


async def test_the_first_word_of_each_instance_rescues_its_home_however_soon_after_the_last(here: Scene) -> None:
    home = await here.used_home()
    for _ in range(2):
        record = here.attempt(home)
        await here.attach(record)
        await here.iu.volumes.set_metadata(home.id, {DELETE_AT: text_of(here.now + 60)})
        here.homes.took_report(record, HomeReport("mounted", 1.0, 9.8))
        await here.settled()
        assert DELETE_AT not in here.iu.volumes.volumes[home.id].metadata
        await here.homes.detach(record)


async def test_a_full_allocation_is_named(here: Scene) -> None:
    here.iu.faults.errors["create-volume"] = [QuotaExceeded("Maximum number of volumes exceeded", quota="volumes")]
    assert (await refused(here.use())).name == "home-quota"


async def test_a_home_that_broke_before_anybody_used_it_is_replaced(here: Scene) -> None:
    here.iu.volumes.new_status = "error"
    home, _ = await here.use()
    here.iu.volumes.new_status = "available"
    here.restart()
    again, _ = await here.use()
    assert list(here.iu.volumes.volumes) == [again.id]
    assert again.id != home.id


@pytest.mark.parametrize("mark", [FORMATTED, USED_AT])
async def test_a_broken_home_that_may_hold_data_is_never_replaced(here: Scene, mark: str) -> None:
    home, _ = await here.use()
    await here.iu.volumes.set_metadata(home.id, {mark: "yes"})
    here.iu.volumes.set(home.id, status="error")
    here.restart()
    assert (await refused(here.use())).name == "home-broken"
    assert list(here.iu.volumes.volumes) == [home.id]


async def test_a_region_that_was_never_seen_and_does_not_answer_gets_nobody_a_second_home(here: Scene) -> None:
    here.regions["TACC"].faults.errors["list-volumes"] = [Unreachable("no route")]
    assert (await refused(here.use())).name == "unreachable"
    assert not here.iu.volumes.volumes


async def test_a_region_that_was_seen_before_keeps_nobody_waiting(here: Scene) -> None:
    await here.use()
    here.restart()
    here.regions["TACC"].faults.errors["list-volumes"] = [Unreachable("no route")] * 10
    home, region = await here.use()
    assert region == "IU"
    assert list(here.iu.volumes.volumes) == [home.id]


async def test_a_region_that_is_down_and_hangs_keeps_nobody_waiting_for_a_first_home(here: Scene) -> None:
    await here.use()

    async def never(_wanted: object = None) -> list[Volume]:
        await asyncio.Event().wait()
        raise AssertionError

    here.regions["TACC"].volumes.list = never  # type: ignore[method-assign, assignment]
    here.down = frozenset({"TACC"})
    here.restart()
    async with asyncio.timeout(5):
        home, region = await here.use(BOB, BOB_ID)
    assert (region, home.id in here.iu.volumes.volumes) == ("IU", True)


async def test_a_home_in_a_region_that_left_the_catalog_is_told_with_what_to_do(here: Scene) -> None:
    await here.used_home()
    here.catalog = replace(here.catalog, regions=here.region("TACC"))
    here.restart()
    why = await refused(here.use(ALICE, ALICE_ID, "TACC"))
    assert (why.name, "region IU, where this hub starts nothing" in why.sentence) == ("home-elsewhere", True)
    assert "Choose that region" not in why.remedy
    assert not here.regions["TACC"].volumes.volumes


async def test_an_attach_that_is_not_wanted_any_more_asks_for_nothing(here: Scene) -> None:
    home = await here.used_home()
    record = here.attempt(home)
    here.records[:] = [replace(record, state=Ending(0, None, record.server_id))]  # type: ignore[arg-type]
    await here.attach(record)
    assert "attach" not in here.iu.faults.calls


async def test_what_lies_on_the_shelf_keeps_a_home_from_nobody_though_the_hub_knows_nothing_of_its_hold(
    here: Scene,
) -> None:
    home = await here.used_home()
    shelf = here.attempt(home, state=Shelved(0, "", ADDRESS, "hash"))
    nova = here.iu.compute
    nova.servers[shelf.server_id] = replace(nova.servers[shelf.server_id], status="SHELVED_OFFLOADED")
    # The hub died, or the answer was lost, between the attach and the shelving.
    here.iu.volumes.hold(home.id, shelf.server_id, "reserved")
    assert await attached(here, home, home_s=2) == "attached"


async def test_a_home_is_not_taken_from_what_has_it_and_is_no_instance(here: Scene) -> None:
    home = await here.used_home()
    # Somebody who runs the cloud has mounted it on a machine of theirs.
    here.iu.volumes.hold(home.id, "", "in-use")
    assert await attached(here, home, home_s=2) == "home-held"
    assert "drop-hold" not in here.iu.faults.calls


async def test_a_home_is_not_taken_from_an_instance_that_was_brought_back_meanwhile(here: Scene) -> None:
    home = await here.used_home()
    shelf = here.attempt(home, state=Shelved(0, "", ADDRESS, "hash"))
    here.iu.volumes.hold(home.id, shelf.server_id, "in-use")
    # Nova takes nothing from it while it is at work on it.
    here.iu.faults.errors["detach"] = [Conflict("task_state unshelving")] * 3
    letting_go = asyncio.create_task(here.homes.detach(shelf))
    back = replace(shelf, state=Running(0, shelf.server_id, ADDRESS, "hash"))
    await soon(lambda: here.records.__setitem__(0, back), lambda: "detach" in here.iu.faults.calls)
    assert await letting_go == Tick()
    assert here.iu.volumes.volumes[home.id].attached_to == (shelf.server_id,)


async def test_a_volume_of_others_is_nobodys_home(here: Scene) -> None:
    marks = {"js2_hub": new_id(), ROLE: "home", USER_ID: ALICE_ID, USER: "alice"}
    other = await here.iu.volumes.create("js2-home-alice", 10, marks)
    home, _ = await here.use()
    assert home.id != other.id
