"""What is done about homes while nobody asks: copies on a schedule, ends whose grace is over, what was left behind.

One loop for each region, so that a cloud that does not answer keeps nobody else waiting; in each, one call at a time.
A home is deleted only when it was seen to be due twice, and looked at once more right before.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable

from js2spawner.catalog import Catalog
from js2spawner.cloud.errors import BadCloudConfig, CloudError, Gone
from js2spawner.fleet import metrics
from js2spawner.fleet.background import Background
from js2spawner.fleet.home_ledger import Entry
from js2spawner.fleet.homes import Homes
from js2spawner.home_copies import Snapshot, left_behind, superfluous
from js2spawner.homes import CURRENT, FORMATTED, Home, Kind, choose, end_is_due, meaning

EVERY_S = 300.0
_ROUND_S = 1800.0
_STATES = ("ready", "used", "moving", "broken", "gone", "ending", "double", "old")


def kinds_of(catalog: Catalog) -> tuple[Kind, ...]:
    """What homes (and class data, which come as either) this catalog has to be looked after in the clouds."""
    kinds: set[Kind] = {profile.home.kind for profile in catalog.profiles if profile.home.kind != "none"}
    kinds |= {"volume" if data.snapshot else "share" for data in catalog.data}
    return tuple(sorted(kinds, reverse=True))


class HomeKeeping:
    """The loops. `every_s`: seconds between two rounds of a region."""

    def __init__(self, homes: Homes, *, kinds: Iterable[Kind], every_s: float = EVERY_S) -> None:
        """`kinds`: those the catalog has."""
        self._homes = homes
        self._kinds = tuple(kinds)
        self._every_s = every_s
        self._background = Background(homes.log)
        self._due_before: set[str] = set()
        # Homes and images of which it was told that they cannot be deleted yet: once each.
        self._told: set[str] = set()

    def start(self) -> None:
        """Begin; it goes on until `stop`."""
        for region in self._homes.in_cloud if self._kinds else ():
            self._background.spawn(self._run(region), f"homes of {region}")

    async def stop(self) -> None:
        await self._background.end()

    async def _run(self, region: str) -> None:
        while True:
            try:
                async with asyncio.timeout(_ROUND_S):
                    await self.round(region)
            except (CloudError, TimeoutError) as error:
                self._homes.log.warning("region %s: homes were not looked after: %s", region, error or "too slow")
            except Exception:
                self._homes.log.exception("region %s: homes were not looked after", region)
            await asyncio.sleep(self._every_s)

    async def round(self, region: str) -> None:
        """Look at all homes of a region, and do what is due. Raises CloudError; the next round begins anew."""
        there = self._homes.in_cloud[region]
        await self._homes.finding.ledger.load()
        everybody: list[Home] = []
        kinds: set[Kind] = set()
        for kind in self._kinds:
            try:
                homes = await there.of_kind(kind)
            except BadCloudConfig:
                # This region's cloud has no such service, whatever others have.
                continue
            kinds.add(kind)
            await self._homes.finding.seen(region, kind, [home for home in homes if home.role == CURRENT])
            everybody += homes
        self._count(region, everybody)
        await self._copy(region, everybody)
        for home in everybody:
            await self._end_if_due(home)
        if "share" in kinds:
            for home in everybody:
                if home.kind == "share":
                    await self._homes.sharing[region].sweep(home.id)
            await self._homes.data.sweep_readers(region)
        if "volume" in kinds:
            await self._homes.data.sweep(region, self._homes.clock())
            await self._sweep_exported(region, everybody)

    def _count(self, region: str, homes: list[Home]) -> None:
        ledger = self._homes.finding.ledger
        found = Counter(_state(home, homes, ledger.get(home.kind, home.user_id)) for home in homes)
        for state in _STATES:
            metrics.HOMES.labels(region=region, state=state).set(found[state])

    # ---- copies -----------------------------------------------------------------------------------------------------

    async def _copy(self, region: str, homes: list[Home]) -> None:
        """Take the snapshots that are due and delete those that newer ones have replaced."""
        there = self._homes.in_cloud[region]
        mine = [home for home in homes if home.kind == "volume" and home.role == CURRENT]
        for home in mine:
            if home.id in self._homes.finding.formatted and FORMATTED not in home.metadata:
                await there.mark(home, {FORMATTED: "yes"})
        if not mine:
            return
        of: defaultdict[str, list[Snapshot]] = defaultdict(list)
        for snapshot in await there.snapshots():
            of[snapshot.home_id].append(snapshot)
        for home in mine:
            if home.delete_at is None:
                await self._homes.snapshot_if_due(home, of[home.id])
            try:
                await there.delete_snapshots(superfluous(home, of[home.id], self._homes.clock()))
            except CloudError as error:
                self._homes.log.warning("home %s: an old snapshot stays: %s: %s", home.id, error.name, error)

    async def _sweep_exported(self, region: str, homes: list[Home]) -> None:
        """Delete the images that nobody goes on fetching."""
        there = self._homes.in_cloud[region]
        for image in await there.exported(homes, former=True):
            if not left_behind(image.created.timestamp(), self._homes.clock()):
                continue
            try:
                await there.delete_exported(image)
            except CloudError as error:
                if image.id not in self._told:
                    self._told.add(image.id)
                    self._homes.log.warning("image %s of an export stays: %s: %s", image.id, error.name, error)

    # ---- ends -------------------------------------------------------------------------------------------------------

    async def _end_if_due(self, home: Home) -> None:
        if not end_is_due(home, self._homes.clock()):
            self._due_before.discard(home.id)
            return
        if home.id not in self._due_before:
            self._due_before.add(home.id)
            return
        there = self._homes.in_cloud[home.region]
        # A start that rescues the home holds the lock until the mark is off.
        async with self._homes.finding.lock(home.user_id):
            try:
                now = await there.get(home.kind, home.id)
                if not end_is_due(now, self._homes.clock()) or self._is_used(now):
                    return
                # Cinder deletes no volume that has snapshots: these go first, the volume with a later round.
                if left := await there.snapshots(now):
                    await there.delete_snapshots(left)
                    return
                await there.delete(now)
            except Gone:
                pass
            except CloudError as error:
                if home.id not in self._told:
                    self._told.add(home.id)
                    who = f"home {home.id} of {home.user}"
                    self._homes.log.warning("%s: not deleted yet: %s: %s", who, error.name, error)
                return
            self._homes.log.info("home %s of %s is deleted: its grace was over", home.id, home.user)
            await self._homes.finding.forget(home)
        self._due_before.discard(home.id)

    def _is_used(self, home: Home) -> bool:
        return any(record.plan.home.id == home.id and not record.over for record in self._homes.records())


def _state(home: Home, homes: list[Home], entry: Entry | None) -> str:
    """The word under which it is counted. `homes` are all of its region, `entry` what is noted as its owner's home."""
    if home.role != CURRENT:
        return "old"
    if home.delete_at is not None:
        return "ending"
    if meaning(home) == "gone":
        return "gone"
    elsewhere = entry is not None and entry.region != home.region
    return "double" if elsewhere or choose(homes, home.user_id, home.kind).home != home else meaning(home)
