"""A cloud in memory for tests of the fleet: it does what it is told and counts what it was asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from js2spawner.cloud.errors import CloudError, Conflict, Gone
from js2spawner.cloud.records import NewServer, Server
from js2spawner.failures import Failure
from js2spawner.fleet.fleet import Fleet, FleetSettings
from js2spawner.fleet.inventory import Pace
from js2spawner.fleet.regions import RegionDesk
from js2spawner.fleet.store import Store
from js2spawner.instance import Booting, Building, Owner, Plan, Record
from js2spawner.sightings import HomeAttached, HomeDetached, HomeTrouble, Sighting
from tests.unit.lives import ADDRESS, PLAN, server

HUB_ID = "hub"
ALICE = Owner("alice", "")
# How long a test waits for what should take milliseconds: a busy machine may make it seconds.
DEADLINE_S = 60
QUICK = Pace(0.01, 0.05)  # rounds of 10 ms


class Compute:
    """Servers become ACTIVE when the test says so; faults are raised once, in order, by operation."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.created: list[NewServer] = []
        self.deleted: list[str] = []
        self.acted: list[str] = []
        # Whether the cloud can bring back what it was asked to; one that cannot says nothing.
        self.unshelves = True
        self.lists = 0
        self.faults: dict[str, list[CloudError]] = {}
        self.works_all_the_same = False

    def _maybe_fail(self, operation: str) -> None:
        if self.faults.get(operation):
            raise self.faults[operation].pop(0)

    async def create_server(self, new: NewServer) -> str:
        self.created.append(new)
        server_id = f"server-{len(self.created)}"
        made = server("BUILD", id=server_id, name=new.name, metadata=dict(new.metadata), addresses=())
        if not self.faults.get("create") or self.works_all_the_same:
            self.servers[server_id] = made
        self._maybe_fail("create")
        return server_id

    async def list_servers(self, *, tag: str) -> list[Server]:
        del tag
        self.lists += 1
        self._maybe_fail("list")
        return list(self.servers.values())

    async def get_server(self, server_id: str) -> Server:
        self._maybe_fail("get")
        if server_id not in self.servers:
            raise Gone("no such server")
        return self.servers[server_id]

    async def delete_server(self, server_id: str) -> None:
        self._maybe_fail("delete")
        self.deleted.append(server_id)
        if self.servers.pop(server_id, None) is None:
            raise Gone("no such server")

    async def set_metadata(self, server_id: str, values: Mapping[str, str]) -> None:
        self._maybe_fail("set-metadata")
        found = self.servers[server_id]
        if found.status not in ("ACTIVE", "SHUTOFF"):
            raise Conflict(f"Cannot 'update metadata' while it is in vm_state {found.vm_state}")
        self.servers[server_id] = replace(found, metadata={**found.metadata, **values})

    async def act(self, server_id: str, action: str, arguments: object = None) -> None:
        del arguments
        self.acted.append(action)
        self._maybe_fail(action)
        status = {"shelve": "SHELVED_OFFLOADED", "unshelve": "ACTIVE" if self.unshelves else "SHELVED_OFFLOADED"}
        self.servers[server_id] = replace(self.servers[server_id], status=status[action])

    async def console_log(self, server_id: str, *, lines: int) -> str:
        del lines
        return f"the console of {server_id}"

    def boot(self, server_id: str) -> None:
        self.servers[server_id] = replace(self.servers[server_id], status="ACTIVE", addresses=(ADDRESS,))


class Cloud(SimpleNamespace):
    async def close(self) -> None:
        return None


class Homes:
    """Attaches and detaches what it is asked to; trouble is told once, in order."""

    def __init__(self) -> None:
        self.attached: set[str] = set()
        self.asked: list[str] = []
        self.trouble: list[Failure] = []
        self.may = asyncio.Event()
        self.may.set()

    async def attach(self, record: Record) -> Sighting:
        self.asked.append("attach")
        await self.may.wait()
        if self.trouble:
            return HomeTrouble(self.trouble.pop(0))
        self.attached.add(record.server_id)
        return HomeAttached()

    async def detach(self, record: Record) -> Sighting:
        self.asked.append("detach")
        self.attached.discard(record.server_id)
        return HomeDetached()


@asynccontextmanager
async def fleet_over(
    compute: Compute,
    tmp_path: Path,
    *,
    orphan_grace_s: float = 900.0,
    clock: Callable[[], float] | None = None,
    pace: Pace = QUICK,
    homes: Homes | None = None,
    region: str = "IU",
) -> AsyncIterator[Fleet]:
    """A running fleet with one region. It stops without deleting anything, as a hub does."""
    log = logging.getLogger("test")
    cloud = Cloud(compute=compute, images=SimpleNamespace(list=None), network=None)
    compute.flavors = compute.limits = None  # type: ignore[attr-defined]
    clocked = {"clock": clock} if clock else {}
    desk = RegionDesk(
        SimpleNamespace(name=region),
        cloud,
        SimpleNamespace(images=()),
        hub_id=HUB_ID,
        hub_cidrs=(),
        clock=clock or (lambda: 0.0),
        log=log,  # type: ignore[arg-type]
    )
    fleet = Fleet(
        FleetSettings(HUB_ID, pace, orphan_grace_s),
        Store(f"sqlite:///{tmp_path / 'js2.sqlite'}", HUB_ID),
        {region: desk},
        user_data=lambda attempt_id, ticket: f"{attempt_id} {ticket}",
        log=log,
        homes=homes,
        **clocked,  # type: ignore[arg-type]
    )
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def until(fleet: Fleet, attempt_id: str, wanted: Callable[[Record], bool]) -> Record:
    """The attempt's record once it is as wanted; fails after a minute."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            record = fleet.get(attempt_id)
            assert record is not None
            if wanted(record):
                return record
            await fleet.changed(attempt_id, 1.0)


def is_(kind: type) -> Callable[[Record], bool]:
    """Whether a record is in a state of that kind, for `until`."""
    return lambda record: isinstance(record.state, kind)


async def booted(fleet: Fleet, compute: Compute, plan: Plan = PLAN) -> str:
    """The id of an attempt of alice's whose system boots."""
    attempt = fleet.launch(ALICE, plan, 1).attempt_id
    record = await until(fleet, attempt, is_(Building))
    compute.boot(record.server_id)
    await until(fleet, attempt, is_(Booting))
    return attempt


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until something holds; fails after a minute."""
    async with asyncio.timeout(DEADLINE_S):
        while not true():
            await asyncio.sleep(0.01)
