"""A start that finds no room: it waits where everybody sees it, over a restart of the hub, and can be given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from js2spawner.cloud.errors import CloudError, QuotaExceeded, Unreachable
from js2spawner.cloud.records import Limits, NewServer
from js2spawner.failures import failure
from js2spawner.fleet import metrics
from js2spawner.fleet.home_finding import HomeFailed
from js2spawner.instance import Booting, HomeUse, Owner, Shelved
from js2spawner.refusals import StartRefused
from js2spawner.sightings import Left
from tests.unit.fleet.stand_ins import DEADLINE_S, eventually, until
from tests.unit.hubs import CATALOG, CloudInMemory, FleetInMemory, Hub, hub_process, notebook_at
from tests.unit.lives import HOME

ADDRESS = "127.99.0.19"
BOB, CAROL = Owner("bob", ""), Owner("carol", "")


@pytest.fixture(autouse=True)
def _addresses_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", ADDRESS)


class SmallCloud(CloudInMemory):
    """It has room for so many instances, and refuses more as Nova does."""

    def __init__(self, instances: int) -> None:
        super().__init__()
        self.most = instances
        self.asked = 0
        self.refused = 0

    async def limits(self) -> Limits:
        self.asked += 1
        return Limits(len(self.servers), self.most, 0, None, 0, None)

    async def create_server(self, new: NewServer) -> str:
        if len(self.servers) >= self.most:
            self.refused += 1
            raise QuotaExceeded("Quota exceeded for instances: Requested 1, but already used all")
        return await super().create_server(new)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> CloudInMemory:
    """The cloud of a second region, which the standard profile may use."""
    second = CloudInMemory()
    plain = FleetInMemory.cloud_of

    def cloud_of(self: FleetInMemory, region: Any) -> Any:
        cloud = plain(self, region)
        if region.name == "TACC":
            cloud.compute, cloud.images = second, second.images
        return cloud

    monkeypatch.setattr(FleetInMemory, "cloud_of", cloud_of)
    catalog = CATALOG.replace("  IU: {cloud: js2}\n", "  IU: {cloud: js2}\n  TACC: {cloud: far}\n")
    catalog = catalog.replace("standard: {", "standard: {regions: [IU, TACC], ")
    monkeypatch.setattr("tests.unit.hubs.CATALOG", catalog)
    monkeypatch.setattr("js2spawner.fleet.effects._UNREACHABLE_REST_S", 0.0)
    return second


async def start_of(hub: Hub, name: str, **options: str) -> asyncio.Task[Any]:
    return asyncio.create_task(hub.user(name).spawn("", options=options))


async def runs(hub: Hub, name: str, start: asyncio.Task[Any], attempt: int = 1) -> None:
    await hub.bring_up(await hub.attempt(Owner(name, ""), attempt))
    await asyncio.wait_for(start, DEADLINE_S)


def waits(hub: Hub, name: str) -> bool:
    standing = hub.settings.admission.where(Owner(name, ""))
    return standing is not None and standing.waits is not None


async def place_told(hub: Hub, name: str) -> dict[str, Any]:
    """The first event about the line that a progress page gets."""
    async with asyncio.timeout(DEADLINE_S):
        async for event in hub.user(name).spawner.progress():
            if event["js2"]["kind"] == "place":
                return event["js2"]
    raise AssertionError("the start ended without a word about the line")


async def test_a_full_cloud_is_a_wait_and_no_error_and_the_page_says_for_what(tmp_path: Path) -> None:
    cloud = SmallCloud(1)
    async with hub_process(tmp_path, cloud) as hub, notebook_at(ADDRESS):
        await runs(hub, "alice", await start_of(hub, "alice"))
        waiting = await start_of(hub, "bob")
        told = await place_told(hub, "bob")
        assert (told["position"], told["of"]) == (1, 1)
        assert "allocation" in told["waits_for"]
        await hub.user("alice").stop()
        # Its first attempt went by no figures, and was refused.
        await runs(hub, "bob", waiting, attempt=2)


@pytest.mark.parametrize("error", [Unreachable("no route"), QuotaExceeded("cores")])
async def test_what_the_first_region_cannot_the_next_one_does_at_once(
    tmp_path: Path, far: CloudInMemory, error: CloudError
) -> None:
    near = CloudInMemory()
    near.faults["create"] = [error] * 3
    for cloud in (near, far):
        kept = cloud.images.kept
        kept["i1"] = replace(kept["i1"], os_hash_algo="sha512", os_hash_value="5" * 128)
    async with hub_process(tmp_path, near) as hub:
        start = await start_of(hub, "alice")
        await eventually(lambda: len(far.created) == 1)
        record = await hub.attempt(number=2)
        assert record.plan.region == "TACC"
        start.cancel()
        await asyncio.wait([start])
        await hub.user("alice").stop()


async def test_who_got_a_first_home_in_a_region_that_is_full_waits_there(
    tmp_path: Path, far: CloudInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = CloudInMemory()
    near.faults["create"] = [QuotaExceeded("cores")]
    for cloud in (near, far):
        kept = cloud.images.kept
        kept["i1"] = replace(kept["i1"], os_hash_algo="sha512", os_hash_value="5" * 128)

    async def use(_owner: Owner, _mark: str, _terms: Any, regions: tuple[Any, ...], _wanted: bool) -> Any:
        if len(regions) > 1:
            return HomeUse("volume"), None
        if regions[0].name != "IU":
            raise HomeFailed(failure("home-elsewhere"))
        return HOME, "IU"

    async with hub_process(tmp_path, near) as hub:
        monkeypatch.setattr(hub.settings.homes, "use", use)
        start = await start_of(hub, "alice")
        await eventually(lambda: waits(hub, "alice") or start.done())
        assert not start.done()
        assert far.created == []
        start.cancel()
        await asyncio.wait([start])
        await hub.user("alice").stop()


def starts_that_ended(outcome: str) -> float:
    (starts,) = metrics.STARTS.collect()
    totals = [each for each in starts.samples if each.name == "js2_starts_total"]
    return sum(each.value for each in totals if each.labels["outcome"] == outcome)


async def test_a_start_that_got_no_instance_is_counted_by_what_was_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(*_: object) -> Any:
        raise HomeFailed(failure("home-busy"))

    before = starts_that_ended("home-busy")
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        monkeypatch.setattr(hub.settings.homes, "use", use)
        with pytest.raises(StartRefused):
            await hub.user("alice").spawn("")
    assert starts_that_ended("home-busy") == before + 1


async def test_a_lone_start_asks_the_cloud_for_no_figures(tmp_path: Path) -> None:
    cloud = SmallCloud(5)
    async with hub_process(tmp_path, cloud) as hub, notebook_at(ADDRESS):
        await runs(hub, "alice", await start_of(hub, "alice"))
        await runs(hub, "bob", await start_of(hub, "bob"))
        assert cloud.asked == 0


async def test_many_starts_at_once_never_run_into_the_quota(tmp_path: Path) -> None:
    cloud = SmallCloud(3)
    async with hub_process(tmp_path, cloud) as hub:
        starts = [await start_of(hub, f"user{number}") for number in range(9)]
        await eventually(lambda: len(cloud.created) == 3)
        await eventually(lambda: sum(waits(hub, f"user{number}") for number in range(9)) == 6)
        assert len(cloud.created) == 3
        assert cloud.refused == 0
        for start in starts:
            start.cancel()
        await asyncio.wait(starts)


async def test_who_gives_up_is_out_of_the_line_and_the_next_one_moves_up(tmp_path: Path) -> None:
    async with hub_process(tmp_path, SmallCloud(1)) as hub, notebook_at(ADDRESS):
        await runs(hub, "alice", await start_of(hub, "alice"))
        bob = await start_of(hub, "bob")
        await eventually(lambda: waits(hub, "bob"))
        carol = await start_of(hub, "carol")
        await eventually(lambda: waits(hub, "carol"))
        assert await hub.user("bob").spawner.poll() is None
        # What JupyterHub does on DELETE of a pending spawn.
        bob.cancel()
        await asyncio.wait([bob])
        await hub.user("bob").stop()
        assert hub.settings.admission.where(BOB) is None
        assert await hub.user("bob").spawner.poll() == 0
        await hub.user("alice").stop()
        await runs(hub, "carol", carol)


async def test_a_restarted_hub_keeps_the_order_of_the_line(tmp_path: Path) -> None:
    cloud = SmallCloud(1)
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, cloud) as hub:
            await runs(hub, "alice", await start_of(hub, "alice"))
            starts = [await start_of(hub, name, image="minimal") for name in ("bob", "carol")]
            await eventually(lambda: waits(hub, "bob") and waits(hub, "carol"))
            await hub.fleet.saved()
            for start in starts:
                start.cancel()  # the process is gone: nobody stops anything
            await asyncio.wait(starts)
        async with hub_process(tmp_path, cloud) as hub:
            await hub.until_ready()
            assert hub.settings.admission.where(BOB).options == {"image": "minimal"}
            assert await hub.user("bob").spawner.poll() == 0
            # Carol's page is back first; the only room there is goes to Bob all the same.
            carol = await start_of(hub, "carol", image="minimal")
            await eventually(lambda: waits(hub, "carol"))
            await hub.user("alice").stop()
            await hub.until_nothing_is_left()
            bob = await start_of(hub, "bob", image="minimal")
            await runs(hub, "bob", bob)
            assert waits(hub, "carol")
            await hub.user("bob").stop()
            await runs(hub, "carol", carol)


async def test_a_removed_server_keeps_no_place(tmp_path: Path) -> None:
    cloud = SmallCloud(1)
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, cloud) as hub:
            await runs(hub, "alice", await start_of(hub, "alice"))
            start = await start_of(hub, "bob")
            await eventually(lambda: waits(hub, "bob"))
            await hub.fleet.saved()
            start.cancel()
            await asyncio.wait([start])
        async with hub_process(tmp_path, cloud) as hub:
            assert hub.settings.admission.where(BOB) is not None
            await hub.user("bob").spawner.delete_forever()
            assert hub.settings.admission.where(BOB) is None
            await hub.until_ready()


async def test_another_choice_after_a_restart_is_another_place(tmp_path: Path) -> None:
    cloud = SmallCloud(1)
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, cloud) as hub:
            await runs(hub, "alice", await start_of(hub, "alice"))
            start = await start_of(hub, "bob", image="minimal")
            await eventually(lambda: waits(hub, "bob"))
            await hub.fleet.saved()
            kept = hub.settings.admission.where(BOB).place
            start.cancel()
            await asyncio.wait([start])
        async with hub_process(tmp_path, cloud) as hub:
            start = await start_of(hub, "bob", image="lasting")
            await eventually(lambda: waits(hub, "bob"))
            assert hub.settings.admission.where(BOB).place.id != kept.id
            start.cancel()
            await asyncio.wait([start])


async def test_what_is_on_the_shelf_waits_for_room_and_comes_back_itself(tmp_path: Path) -> None:
    cloud = CloudInMemory()
    async with hub_process(tmp_path, cloud) as hub, notebook_at(ADDRESS):
        await runs(hub, "bob", await start_of(hub, "bob"))
        await runs(hub, "alice", await start_of(hub, "alice", image="shelved"))
        shelf = hub.user().spawner.record
        await hub.user().stop()
        hub.fleet.feed(shelf.attempt_id, Left(clean=True))
        await until(hub.fleet, shelf.attempt_id, lambda r: isinstance(r.state, Shelved))
        cloud.faults["unshelve"] = [QuotaExceeded("Quota exceeded for cores")]
        start = await start_of(hub, "alice", image="shelved")
        await eventually(lambda: waits(hub, "alice"))
        assert await hub.user().spawner.poll() is None
        await hub.user("bob").stop()
        await until(hub.fleet, shelf.attempt_id, lambda r: isinstance(r.state, Booting))
        assert len(cloud.created) == 2
        start.cancel()
        await asyncio.wait([start])
