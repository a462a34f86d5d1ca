"""Leaving, the shelf and the way back over the embedded cloud's HTTP: hub and cloud are real, the guest is played."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.settings import CloudSettings
from js2spawner.failures import failure
from js2spawner.fleet.fleet import Fleet, FleetSettings
from js2spawner.fleet.home_attaching import Pace as HomePace
from js2spawner.fleet.home_ledger import HomeLedger
from js2spawner.fleet.homes import Homes
from js2spawner.fleet.inventory import Pace
from js2spawner.fleet.names import end_of
from js2spawner.fleet.regions import RegionDesk
from js2spawner.fleet.store import Store
from js2spawner.instance import Booting, Deadlines, Ended, Leaving, Plan, Record, Running, Shelved
from js2spawner.sightings import Hello, Left, Listening, Taken
from tests.devcloud.client import Scene
from tests.unit.fleet.stand_ins import DEADLINE_S, until
from tests.unit.homes.scenes import ALICE, ALICE_ID, CATALOG, VOLUME
from tests.unit.lives import PLAN

HUB = "5f1d7a3e-0000-4000-8000-00000000abcd"
STOPPED = failure("stopped")
LOG = logging.getLogger("shelf")


@dataclass
class Hub:
    """One region of one hub over a devcloud. `restart` is its next process."""

    scene: Scene
    directory: Path
    stack: AsyncExitStack
    fleet: Fleet = field(init=False)
    homes: Homes = field(init=False)

    async def restart(self) -> None:
        await self.stack.aclose()
        await self.stack.enter_async_context(self._running())

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        file = self.directory / "catalog.yaml"
        file.write_text(CATALOG)
        catalog = Catalog.load(file)
        settings = CloudSettings(calls_per_second=1000, burst=1000)
        cloud = Cloud("devcloud", config_file=str(self.scene.running.clouds_yaml), settings=settings)
        desk = RegionDesk(catalog.regions[0], cloud, catalog, hub_id=HUB, hub_cidrs=(), clock=lambda: 0.0, log=LOG)
        self.fleet = Fleet(
            FleetSettings(HUB, Pace(0.02, 0.02, 0.02, 0.02)),
            Store(f"sqlite:///{self.directory / 'js2.sqlite'}", HUB),
            {"IU": desk},
            user_data=lambda attempt_id, ticket: f"{attempt_id} {ticket}",
            log=LOG,
        )
        self.fleet.homes = self.homes = Homes(
            self.fleet.desks,
            catalog,
            HUB,
            records=self.fleet.live,
            ledger=HomeLedger(self.directory / "homes.json", LOG),
            log=LOG,
            pace=HomePace(first_look_s=0.01, latest_look_s=0.05, stuck_s=1.0),
        )
        self.catalog = catalog
        await self.fleet.start()
        try:
            yield
        finally:
            await self.homes.stop()
            await self.fleet.stop()

    async def plan(self, **changes: Any) -> Plan:
        home, _ = await self.homes.use(ALICE, ALICE_ID, VOLUME, self.catalog.regions[:1])
        flavors = (await self.scene.hub.get("/compute/v2.1/flavors"))["flavors"]
        images = (await self.scene.hub.get("/image/v2/images"))["images"]
        networks = (await self.scene.hub.get("/network/v2.0/networks"))["networks"]
        plan = replace(
            PLAN,
            flavor="m3.tiny",
            flavor_id=next(each["id"] for each in flavors if each["name"] == "m3.tiny"),
            image_id=images[0]["id"],
            network_id=next(each["id"] for each in networks if each["name"] == "auto_allocated_network"),
            security_groups=(),
            home=home,
            idle="shelve",
            deadlines=Deadlines(delete_again_s=0.5),
        )
        return replace(plan, **changes)

    async def until(self, attempt: str, wanted: Callable[[Record], bool]) -> Record:
        return await until(self.fleet, attempt, wanted)

    async def comes_up(self, attempt: str) -> Record:
        """Play the guest of an instance that boots."""
        await self.until(attempt, lambda r: isinstance(r.state, Booting) and not r.lacks_home)
        for sighting in (Hello("channel"), Taken(), Listening()):
            self.fleet.feed(attempt, sighting)
        return await self.until(attempt, lambda r: isinstance(r.state, Running))

    async def brought_up(self, **changes: Any) -> Record:
        return await self.comes_up(self.fleet.launch(ALICE, await self.plan(**changes), 1).attempt_id)

    async def put_by(self) -> Record:
        record = await self.brought_up()
        await self.fleet.part(record.attempt_id, STOPPED)
        self.fleet.feed(record.attempt_id, Left(clean=True))
        return await self.until(record.attempt_id, lambda r: isinstance(r.state, Shelved))

    async def volume(self, record: Record) -> dict[str, Any]:
        shown = await self.scene.hub.get(f"/volume/v3/volumes/{record.plan.home.id}")
        return dict(shown["volume"])

    async def status(self, record: Record) -> str:
        return str((await self.scene.hub.get(f"/compute/v2.1/servers/{record.server_id}"))["server"]["status"])

    async def until_told(self, record: Record) -> None:
        """Wait until the instance's metadata say when the record ends, give or take the time that shelving takes."""
        path = f"/compute/v2.1/servers/{record.server_id}/metadata"
        async with asyncio.timeout(DEADLINE_S):
            while (end_of((await self.scene.hub.get(path))["metadata"]) or 0) != pytest.approx(
                record.expires_at, abs=60
            ):
                await asyncio.sleep(0.01)

    async def control(self, method: str, path: str, body: Any = None) -> None:
        seen = await self.scene.nobody.call(method, f"/devcloud{path}", body)
        assert seen.status in (200, 201, 204), seen


@pytest.fixture
async def hub(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr("js2spawner.fleet.homes_in_cloud.LOOK_EVERY_S", 0.01)
    async with AsyncExitStack() as stack:
        made = Hub(scene, tmp_path, stack)
        await made.restart()
        yield made


async def test_the_whole_way_to_the_shelf_and_back_with_a_home(hub: Hub) -> None:
    shelf = await hub.put_by()
    assert await hub.status(shelf) == "SHELVED_OFFLOADED"
    assert (await hub.volume(shelf))["status"] == "available"
    await hub.until_told(shelf)
    hub.fleet.bring_back(shelf.attempt_id)
    back = await hub.comes_up(shelf.attempt_id)
    await hub.until_told(back)
    assert back.server_id == shelf.server_id
    assert back.address == shelf.address
    attached = (await hub.volume(back))["attachments"]
    assert [each["server_id"] for each in attached] == [back.server_id]
    assert await hub.status(back) == "ACTIVE"


async def test_a_hub_that_dies_at_each_step_gets_there_all_the_same(hub: Hub) -> None:
    record = await hub.brought_up()
    await hub.fleet.part(record.attempt_id, STOPPED)
    await hub.restart()
    await hub.until(record.attempt_id, lambda r: isinstance(r.state, Leaving))
    hub.fleet.feed(record.attempt_id, Left(clean=True))
    await hub.fleet.saved()
    await hub.restart()
    shelf = await hub.until(record.attempt_id, lambda r: isinstance(r.state, Shelved) and not r.home_attached)
    await hub.restart()
    hub.fleet.bring_back(record.attempt_id)
    await hub.fleet.saved()
    await hub.restart()
    back = await hub.comes_up(record.attempt_id)
    assert (back.server_id, back.plan.home.id) == (shelf.server_id, shelf.plan.home.id)
    assert await hub.status(back) == "ACTIVE"


async def test_a_home_that_is_in_use_is_let_go_of_on_the_shelf(hub: Hub) -> None:
    record = await hub.brought_up()
    await hub.fleet.part(record.attempt_id, STOPPED)
    hub.fleet.feed(record.attempt_id, Left(clean=False))
    shelf = await hub.until(record.attempt_id, lambda r: isinstance(r.state, Shelved) and not r.home_attached)
    assert (await hub.volume(shelf))["status"] == "available"


async def test_a_cloud_without_room_leaves_it_on_the_shelf_and_the_next_start_brings_it_back(hub: Hub) -> None:
    shelf = await hub.put_by()
    await hub.control("PUT", "/capacity", {"m3.tiny": 0})
    hub.fleet.bring_back(shelf.attempt_id)
    fallen = await hub.until(shelf.attempt_id, lambda r: r.on_shelf)
    assert fallen.because is not None
    assert fallen.because.name == "no-return"
    actions = await hub.scene.hub.get(f"/compute/v2.1/servers/{shelf.server_id}/os-instance-actions")
    assert [each["action"] for each in actions["instanceActions"]].count("unshelve") == 2

    await hub.control("PUT", "/capacity", {"m3.tiny": None})
    await hub.until(shelf.attempt_id, lambda r: isinstance(r.state, Shelved))
    hub.fleet.bring_back(shelf.attempt_id)
    assert (await hub.comes_up(shelf.attempt_id)).server_id == shelf.server_id


async def test_a_shelf_in_a_dashboard_is_a_shelf(hub: Hub) -> None:
    record = await hub.brought_up(idle="delete")
    await hub.scene.hub.act(record.server_id, "shelve")
    shelf = await hub.until(record.attempt_id, lambda r: isinstance(r.state, Shelved) and not r.home_attached)
    assert (await hub.volume(shelf))["status"] == "available"
    await hub.scene.hub.act(record.server_id, "unshelve")
    await hub.until(record.attempt_id, lambda r: not isinstance(r.state, Shelved))
    await hub.until(record.attempt_id, lambda r: isinstance(r.state, Shelved))
    assert await hub.status(record) == "SHELVED_OFFLOADED"


async def test_a_request_to_shelve_whose_answer_is_lost_is_not_lost(hub: Hub) -> None:
    record = await hub.brought_up()
    fault = {
        "name": "lost",
        "match": {"operation": "compute.servers.shelve"},
        "when": {"count": 2},
        "effect": {"lose": "before"},
    }
    await hub.control("POST", "/faults", fault)
    await hub.fleet.part(record.attempt_id, STOPPED)
    hub.fleet.feed(record.attempt_id, Left(clean=True))
    await hub.until(record.attempt_id, lambda r: isinstance(r.state, Shelved))


async def test_a_start_right_after_a_stop_waits_for_the_home_of_the_one_that_goes(hub: Hub) -> None:
    record = await hub.brought_up(idle="delete")
    await hub.fleet.part(record.attempt_id, STOPPED)
    again = hub.fleet.launch(ALICE, await hub.plan(idle="delete"), 1).attempt_id
    await hub.until(again, lambda r: isinstance(r.state, Booting))
    assert hub.fleet.get(again).lacks_home
    hub.fleet.feed(record.attempt_id, Left(clean=True))
    await hub.until(record.attempt_id, lambda r: isinstance(r.state, Ended))
    fresh = await hub.comes_up(again)
    attached = (await hub.volume(fresh))["attachments"]
    assert [each["server_id"] for each in attached] == [fresh.server_id]
