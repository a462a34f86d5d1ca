"""Homes and the shelf in the fleet's shell: what is asked of the cloud and of who attaches homes, and when."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.cloud.errors import Conflict, QuotaExceeded, Unreachable
from js2spawner.failures import failure
from js2spawner.fleet import metrics, names
from js2spawner.fleet.fleet import Fleet
from js2spawner.instance import (
    Booting,
    Ended,
    Ending,
    Greeted,
    Leaving,
    Plan,
    Record,
    Running,
    Shelved,
)
from js2spawner.sightings import Broken, Hello, Left, Listening, Taken
from tests.unit.fleet.stand_ins import ALICE, DEADLINE_S, Compute, Homes, booted, eventually, fleet_over, is_, until
from tests.unit.lives import HOME, PLAN

STOPPED = failure("stopped")
AT_HOME = replace(PLAN, home=HOME)
KEPT = replace(AT_HOME, idle="shelve")


async def brought_up(fleet: Fleet, compute: Compute, plan: Plan) -> str:
    attempt = await booted(fleet, compute, plan)
    await until(fleet, attempt, lambda r: not r.lacks_home)
    for sighting in (Hello("channel"), Taken(), Listening()):
        fleet.feed(attempt, sighting)
    await until(fleet, attempt, is_(Running))
    return attempt


async def put_by(fleet: Fleet, compute: Compute) -> str:
    attempt = await brought_up(fleet, compute, KEPT)
    await fleet.part(attempt, STOPPED)
    fleet.feed(attempt, Left(clean=True))
    await until(fleet, attempt, is_(Shelved))
    return attempt


async def test_a_home_is_attached_while_the_system_boots(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await booted(fleet, compute, AT_HOME)
        record = await until(fleet, attempt, lambda r: not r.lacks_home)
        assert isinstance(record.state, Booting)
        assert homes.attached == {"server-1"}


async def test_a_hub_that_died_while_a_home_was_attached_asks_again(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    homes.may.clear()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await booted(fleet, compute, AT_HOME)
        await eventually(lambda: homes.asked == ["attach"])
    homes.may.set()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        await until(fleet, attempt, lambda r: not r.lacks_home)


async def test_one_home_is_asked_for_by_one_task_however_often_the_list_comes(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    homes.may.clear()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        await booted(fleet, compute, AT_HOME)
        lists = compute.lists
        await eventually(lambda: compute.lists > lists + 3)
        assert homes.asked == ["attach"]


async def test_a_home_that_cannot_be_had_ends_the_attempt_and_its_instance(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    homes.trouble = [failure("home-broken")]
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await booted(fleet, compute, AT_HOME)
        record = await until(fleet, attempt, is_(Ended))
        assert record.because is not None
        assert record.because.name == "home-broken"
        assert compute.servers == {}


async def test_what_was_never_set_up_to_have_homes_says_so_and_hangs_nowhere(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = await booted(fleet, compute, AT_HOME)
        record = await until(fleet, attempt, is_(Ended))
        assert record.because is not None
        assert record.because.name == "home-refused"


async def test_an_end_is_durable_while_the_guest_still_leaves(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await brought_up(fleet, compute, AT_HOME)
        await fleet.end(attempt, STOPPED)
        stored = await fleet.find(attempt)
        assert stored is not None
        assert isinstance(stored.state, Leaving)
        assert compute.deleted == []
    # The hub died; its guest has left meanwhile and says so to the next one.
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        fleet.feed(attempt, Left(clean=True))
        await until(fleet, attempt, is_(Ended))
        assert compute.servers == {}


async def test_the_shelf_takes_what_holds_work_and_gives_it_back(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await put_by(fleet, compute)
        assert compute.deleted == []
        assert homes.attached == set()
        shelf = fleet.current(ALICE)
        assert shelf is not None
        assert shelf.on_shelf
        fleet.bring_back(attempt)
        record = await until(fleet, attempt, lambda r: isinstance(r.state, Booting) and not r.lacks_home)
        assert record.server_id == "server-1"
        assert homes.attached == {"server-1"}
        assert compute.acted == ["shelve", "unshelve"]
        fleet.feed(attempt, Hello("channel"))
        await until(fleet, attempt, is_(Greeted))


async def test_what_its_metadata_say_of_its_end_is_so_on_the_shelf_and_after_it(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()

    def told() -> float | None:
        return names.end_of(compute.servers["server-1"].metadata)

    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await put_by(fleet, compute)
        shelf = fleet.get(attempt)
        assert shelf is not None
        # Nova takes nothing for one that lies there: what it was told on its way is a little early.
        assert told() == pytest.approx(shelf.expires_at, abs=DEADLINE_S)
        fleet.bring_back(attempt)
        back = await until(fleet, attempt, is_(Booting))
        assert back.expires_at < shelf.expires_at
        await eventually(lambda: told() == int(back.expires_at))


async def test_a_cloud_that_takes_no_metadata_shelves_all_the_same(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        compute.faults["set-metadata"] = [Unreachable("down")]
        await put_by(fleet, compute)
        assert compute.acted == ["shelve"]


async def test_the_shelf_outlives_the_hub_and_costs_it_no_hurry(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await put_by(fleet, compute)
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        record = await until(fleet, attempt, is_(Shelved))
        assert not record.moving
        await fleet.end(attempt, STOPPED)
        await until(fleet, attempt, is_(Ended))
        assert compute.servers == {}


async def test_who_gives_up_waiting_for_the_shelf_to_come_back_loses_nothing_whatever_was_chosen_for_it(
    tmp_path: Path,
) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await put_by(fleet, compute)
        fleet.amend(attempt, lambda r: r.renewed(replace(AT_HOME, idle="delete")))
        await fleet.part(attempt, failure("cancelled"))
        await until(fleet, attempt, is_(Shelved))


async def test_a_cloud_that_is_busy_or_away_is_asked_to_shelve_again(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    now = [time.time()]
    async with fleet_over(compute, tmp_path, homes=homes, clock=lambda: now[0]) as fleet:
        attempt = await brought_up(fleet, compute, KEPT)
        compute.faults["shelve"] = [Conflict("task_state image_uploading"), Unreachable("down")]
        await fleet.part(attempt, STOPPED)
        fleet.feed(attempt, Left(clean=True))
        for asked in (1, 2, 3):
            await eventually(lambda asked=asked: len(compute.acted) == asked)
            now[0] += KEPT.deadlines.delete_again_s + 1
        await until(fleet, attempt, is_(Shelved))


async def test_a_cloud_that_cannot_bring_it_back_is_asked_twice_and_the_instance_is_kept(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    now = [time.time()]

    def clock() -> float:
        now[0] += 0.001
        return now[0]

    async with fleet_over(compute, tmp_path, homes=homes, clock=clock) as fleet:
        attempt = await put_by(fleet, compute)
        compute.unshelves = False
        fleet.bring_back(attempt)
        record = await until(fleet, attempt, lambda r: r.on_shelf)
        assert record.because is not None
        assert record.because.name == "no-return"
        assert compute.acted == ["shelve", "unshelve", "unshelve"]
        assert compute.servers


async def test_what_is_set_aside_lets_go_of_the_home_and_is_kept_on_the_shelf(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await brought_up(fleet, compute, AT_HOME)
        fleet.let_go(attempt, set_aside=True)
        fleet.feed(attempt, Left(clean=True))
        await until(fleet, attempt, is_(Shelved))
        # The next start of the same server needs it at once.
        assert homes.attached == set()
        assert compute.deleted == []
        assert fleet.current(ALICE) is None


async def test_a_return_that_is_refused_for_quota_says_so(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await put_by(fleet, compute)
        compute.faults["unshelve"] = [QuotaExceeded("Quota exceeded for cores")]
        fleet.bring_back(attempt)
        record = await until(fleet, attempt, lambda r: r.on_shelf)
        assert record.because is not None
        assert record.because.name == "quota"
        await until(fleet, attempt, is_(Shelved))


async def test_what_is_on_the_shelf_comes_last_among_the_servers_of_that_name(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        await put_by(fleet, compute)
        other = fleet.launch(ALICE, replace(PLAN, flavor="m3.large"), 1)
        found = fleet.current(ALICE)
        assert found is not None
        assert found.attempt_id == other.attempt_id


async def test_a_broken_card_is_counted_by_its_host_and_held_while_the_next_one_comes(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        attempt = await booted(fleet, compute, replace(PLAN, gpu=True))
        compute.servers["server-1"] = replace(compute.servers["server-1"], host_id="broken-host-of-this-test")
        await until(fleet, attempt, lambda r: r.host_id != "")
        for sighting in (Hello("channel"), Taken(), Broken(failure("gpu"))):
            fleet.feed(attempt, sighting)
        record = fleet.get(attempt)
        assert record is not None
        assert isinstance(record.state, Ending)
        lists = compute.lists
        await eventually(lambda: compute.lists > lists + 2)
        assert compute.servers
        assert metrics.BROKEN_GPUS.labels(host="broken-host-")._value.get() == 1.0


def test_hosts_that_never_end_fill_no_memory() -> None:
    for number in range(1000):
        metrics.count_broken_gpu(f"{number:012}-of-many")
    assert len([sample for metric in metrics.BROKEN_GPUS.collect() for sample in metric.samples]) < 1000


async def test_who_is_over_for_its_user_is_told_once_however_it_goes(tmp_path: Path) -> None:
    compute, homes = Compute(), Homes()
    told: list[Record] = []
    async with fleet_over(compute, tmp_path, homes=homes) as fleet:
        fleet.when_parted(told.append)
        attempt = await put_by(fleet, compute)
        assert [record.attempt_id for record in told] == [attempt]
        await fleet.end(attempt, STOPPED)
        assert len(told) == 1
