"""Homes of a hub over regions in memory, and the people and instances that want them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Home as Terms
from js2spawner.catalog_entries import Region
from js2spawner.failures import Failure
from js2spawner.fleet.home_attaching import Pace
from js2spawner.fleet.home_ledger import HomeLedger
from js2spawner.fleet.homes import HomeFailed, Homes
from js2spawner.homes import FORMATTED, USED_AT, text_of
from js2spawner.instance import Booting, Deadlines, HomeUse, Owner, Record, State
from js2spawner.sightings import HomeAttached, HomeDetached, HomeTrouble, Sighting
from tests.unit import lives
from tests.unit.homes.clouds import HUB, RegionInMemory

ALICE, ALICE_ID = Owner("alice", ""), "1-1790000000"
ALICE_SECOND = Owner("alice", "gpu")
BOB, BOB_ID = Owner("bob", ""), "2-1790000000"
VOLUME = Terms.model_validate({"kind": "volume", "size_gb": 10, "most_gb": 50})
SHARE = Terms.model_validate({"kind": "share", "size_gb": 10})
QUICK = Pace(first_look_s=0.001, latest_look_s=0.005, stuck_s=0.02)

CATALOG = """
regions:
  IU: {cloud: js2}
  TACC: {cloud: js2, region: TACC, share_type: cephfs}
profiles:
  standard: {home: {kind: volume, size_gb: 10, most_gb: 50, seed: {git: "https://example.org/course.git"}}}
images:
  minimal: {title: Minimal, description: JupyterLab., image: js2-minimal, profile: standard}
flavors:
  m3.small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}
defaults: {image: minimal, flavor: m3.small}
"""


@dataclass
class Scene:
    """A hub's homes. `restart` is another process of the same hub, with the same clouds and state directory."""

    directory: Path
    catalog: Catalog
    regions: dict[str, RegionInMemory]
    records: list[Record] = field(default_factory=list)
    now: float = 1_800_000_000.0
    down: frozenset[str] = frozenset()
    homes: Homes = field(init=False)

    def __post_init__(self) -> None:
        for region in self.regions.values():
            region.volumes.now = lambda: datetime.fromtimestamp(self.now, UTC)
        self.restart()

    def restart(self) -> None:
        log = logging.getLogger("homes")
        desks: Any = {
            region.name: SimpleNamespace(region=region, cloud=self.regions[region.name], down=region.name in self.down)
            for region in self.catalog.regions
        }
        self.homes = Homes(
            desks,
            self.catalog,
            HUB,
            records=lambda: self.records,
            ledger=HomeLedger(self.directory / "homes.json", log),
            log=log,
            clock=lambda: self.now,
            pace=QUICK,
        )

    @property
    def iu(self) -> RegionInMemory:
        return self.regions["IU"]

    def region(self, *names: str) -> tuple[Region, ...]:
        return tuple(region for region in self.catalog.regions if region.name in names)

    async def use(
        self, owner: Owner = ALICE, user_id: str = ALICE_ID, *where: str, terms: Terms = VOLUME
    ) -> tuple[HomeUse, str | None]:
        return await self.homes.use(owner, user_id, terms, self.region(*(where or ("IU",))))

    async def used_home(self, owner: Owner = ALICE, user_id: str = ALICE_ID, content: str = "thesis") -> HomeUse:
        """A home in IU that a guest has formatted and filled."""
        home, _ = await self.use(owner, user_id)
        await self.iu.volumes.set_metadata(home.id, {FORMATTED: "yes", USED_AT: text_of(self.now)})
        self.iu.volumes.content[home.id] = content
        self.restart()
        # The next start takes note of it.
        await self.use(owner, user_id)
        self.restart()
        return home

    def attempt(self, home: HomeUse, owner: Owner = ALICE, state: State | None = None, **more: Any) -> Record:
        """An attempt with an instance of its own that is to have the home."""
        server_id = self.iu.compute.boot(js2_hub=HUB)
        deadlines = Deadlines(home_s=more.pop("home_s", 5.0))
        record = lives.record(
            replace(state, server_id=server_id) if state else Booting(self.now, server_id, lives.ADDRESS),
            attempt_id=server_id.replace("-", "")[:16],
            owner=owner,
            plan=replace(lives.PLAN, home=home, deadlines=deadlines),
        )
        self.records.append(record)
        return record

    async def settled(self) -> None:
        """Until nothing that a report set off is under way."""
        async with asyncio.timeout(5):
            while self.homes._background._tasks:
                await asyncio.sleep(0)

    async def attach(self, record: Record) -> Sighting:
        return await self.homes.attach(record)


def scene(directory: Path, *, shares: bool = True) -> Scene:
    file = directory / "catalog.yaml"
    file.write_text(CATALOG)
    catalog = Catalog.load(file)
    return Scene(directory, catalog, {name: RegionInMemory(shares=shares) for name in ("IU", "TACC")})


async def refused(asking: Any) -> Failure:
    """The failure with which a home is refused to a start."""
    try:
        found = await asking
    except HomeFailed as failed:
        return failed.why
    raise AssertionError(f"not refused: {found}")


def outcome(sighting: Sighting) -> str:
    match sighting:
        case HomeAttached():
            return "attached"
        case HomeDetached():
            return "detached"
        case HomeTrouble(why):
            return why.name
    raise AssertionError(sighting)


async def soon(do: Callable[[], object], seen: Callable[[], bool]) -> None:
    """Do something as soon as something is seen."""
    async with asyncio.timeout(5):
        while not seen():
            await asyncio.sleep(0.001)
    do()
