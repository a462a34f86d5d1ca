"""The homes of this hub's users: which one a start gets, and that it is there, attached, and let go of.

`home_finding` finds them, `home_attaching` and `home_sharing` get them to an instance, `home_data` brings class data.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Home as Terms
from js2spawner.catalog_entries import Region
from js2spawner.cloud.errors import CloudError, Gone
from js2spawner.failures import failure
from js2spawner.fleet import metrics
from js2spawner.fleet.background import Background
from js2spawner.fleet.home_attaching import Attaching, Pace
from js2spawner.fleet.home_data import ClassVolumes
from js2spawner.fleet.home_finding import Finding, HomeFailed
from js2spawner.fleet.home_ledger import HomeLedger
from js2spawner.fleet.home_sharing import Sharing
from js2spawner.fleet.homes_in_cloud import LOOK_EVERY_S, HomesInCloud
from js2spawner.fleet.regions import RegionDesk
from js2spawner.handshake.messages import DataMount, HomeMount, HomeReport, SeedWish
from js2spawner.home_copies import BY_SCHEDULE, Snapshot, snapshot_due
from js2spawner.homes import (
    CURRENT,
    DELETE_AT,
    FORMATTED,
    SERIAL_LENGTH,
    USED_AT,
    USED_GB,
    Home,
    text_of,
    worth_marking,
)
from js2spawner.instance import (
    NO_HOME,
    Assigned,
    Booting,
    Greeted,
    HomeUse,
    Instant,
    Owner,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
)
from js2spawner.sightings import HomeAttached, HomeDetached, HomeTrouble, Sighting, Tick

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

_MARK_TRIES = 3

__all__ = ["HomeFailed", "Homes"]


class Homes:
    """All homes of one hub, in all its regions. What is asked of a cloud is asked for few at a time."""

    def __init__(
        self,
        desks: Mapping[str, RegionDesk],
        catalog: Catalog,
        hub_id: str,
        *,
        records: Callable[[], Iterable[Record]],
        ledger: HomeLedger,
        log: Log,
        clock: Callable[[], Instant] = time.time,
        pace: Pace = Pace(),  # noqa: B008 - a frozen value
    ) -> None:
        """`records`: all attempts that may have something in a cloud."""
        self.in_cloud = {name: HomesInCloud(desk.region, desk.cloud, hub_id) for name, desk in desks.items()}
        self.records = records
        self.clock = clock
        self.log = log
        self._catalog = catalog
        self.finding = Finding(
            self.in_cloud,
            hub_id,
            records=records,
            ledger=ledger,
            log=log,
            clock=clock,
            is_down=lambda region: desks[region].down,
        )
        self._attaching = {
            name: Attaching(name, desk.cloud, hub_id, records, log, pace) for name, desk in desks.items()
        }
        self.sharing = {name: Sharing(desk.cloud, hub_id, records, log) for name, desk in desks.items()}
        self.data = ClassVolumes(self.in_cloud, self._attaching, self.sharing, catalog, records, log)
        self._background = Background(log)
        # For which attempt the use of a home was last written down, and when, by the home's id.
        self._marked_at: dict[str, tuple[str, Instant]] = {}
        self._copying: set[str] = set()

    async def stop(self) -> None:
        """Let go of what is under way. The next hub begins it anew."""
        await self.data.stop()
        await self._background.end()

    async def use(
        self, owner: Owner, user_id: str, terms: Terms, regions: tuple[Region, ...], wanted: bool = True
    ) -> tuple[HomeUse, str | None]:
        """The home of a start, and the region it binds the start to (None: any).

        A home that is to be deleted is rescued. Where there is none yet, one is made if `regions` is a single one;
        with several, the answer is a home without an id, and it is asked again with the one region the start got.
        It costs little to ask: ask once more right before the launch, since another server of the same person may
        have taken the home in the meantime.

        Args:
            user_id: `homes.user_key` of the person.
            terms: those of the profile.
            regions: where the start may go.
            wanted: False for a start that goes without.

        Raises HomeFailed.
        """
        if terms.kind == "none" or not wanted:
            return NO_HOME, None
        home = await self.finding.home_for(owner, user_id, terms, regions)
        return (home.use, home.region) if home else (HomeUse(kind=terms.kind, size_gb=terms.size_gb), None)

    # ---- the effects ------------------------------------------------------------------------------------------------

    async def attach(self, record: Record) -> Sighting:
        """See to it that the record's instance has its home, whatever state that is found in.

        Ends by itself after the plan's `home_s`, and when the record does not want it any more. May be called again,
        and while another call for the same record still runs.
        """
        home = record.plan.home
        if not home.id:
            return HomeAttached() if home.kind == "none" else HomeTrouble(failure("home-refused", "it was never made"))
        self.data.begin(record)
        if home.kind == "share":
            return HomeAttached()
        began = time.monotonic()
        why = await self._attaching[record.plan.region].attach(
            home.id, record.server_id, record.plan.deadlines.home_s, lambda: self._wanted(record)
        )
        if why is not None:
            self.log.warning("%s: attempt %s: %s: %s", record.owner, record.attempt_id, why.name, why.detail)
            return HomeTrouble(why)
        metrics.HOME_ATTACH_SECONDS.observe(time.monotonic() - began)
        return HomeAttached()

    async def detach(self, record: Record) -> Sighting:
        """See to it that it has not. As `attach`; `Tick` when it is back from the shelf, and is to keep it."""
        home, region = record.plan.home, record.plan.region
        if not home.id or not record.server_id:
            return HomeDetached()
        if home.kind == "share":
            return await self._end_access(record)
        within_s = record.plan.deadlines.home_s
        why = await self._attaching[region].detach(
            home.id, record.server_id, within_s, lambda: not self._is_back(record)
        )
        if why is not None and self._is_back(record):
            return Tick()
        if why is not None:
            self.log.warning("%s: attempt %s: %s: %s", record.owner, record.attempt_id, why.name, why.detail)
            return HomeTrouble(why)
        return HomeDetached()

    async def _end_access(self, record: Record) -> Sighting:
        try:
            await self.sharing[record.plan.region].refuse(record.plan.home.id, record)
        except CloudError as error:
            return HomeTrouble(failure("home-slow", f"{error.name}: {error}"))
        return HomeDetached()

    def _wanted(self, record: Record) -> bool:
        now = self._now(record)
        return now is not None and not now.parted

    def _is_back(self, record: Record) -> bool:
        """Whether it was on the shelf, or on its way there, and was brought back meanwhile."""
        now = self._now(record)
        returned = now is not None and isinstance(now.state, Returning | Booting | Greeted | Assigned | Running)
        return returned and isinstance(record.state, Shelving | Shelved)

    def _now(self, record: Record) -> Record | None:
        return next((each for each in self.records() if each.attempt_id == record.attempt_id), None)

    # ---- the hand-over ----------------------------------------------------------------------------------------------

    async def mount_of(self, record: Record) -> HomeMount | None:
        """What the guest is told of its home; None without one. Raises HomeFailed within the plan's `home_s`."""
        home, region = record.plan.home, record.plan.region
        if not home.id:
            return None
        try:
            async with asyncio.timeout(record.plan.deadlines.home_s):
                if home.kind == "share":
                    mount = await self.sharing[region].admit(home.id, record.address)
                else:
                    formatted = await self._is_formatted(home.id, region)
                    mount = HomeMount("volume", serial=home.id[:SERIAL_LENGTH], may_format=not formatted)
        except TimeoutError:
            raise HomeFailed(failure("home-slow", f"{home.kind} {home.id}")) from None
        except Gone as gone:
            raise HomeFailed(failure("home-missing", str(gone))) from None
        except CloudError as error:
            raise HomeFailed(failure("home-refused", f"{error.name}: {error}")) from None
        return replace(mount, seed=self._seed(record))

    async def data_of(self, record: Record) -> tuple[DataMount, ...]:
        """What the guest is told of class data. What cannot be had is left out and told to the operator."""
        return await self.data.mounts_of(record)

    async def _is_formatted(self, home_id: str, region: str) -> bool:
        if home_id not in self.finding.formatted and (await self.in_cloud[region].get("volume", home_id)).formatted:
            self.finding.formatted.add(home_id)
        return home_id in self.finding.formatted

    def _seed(self, record: Record) -> SeedWish | None:
        image = self._catalog.image(record.plan.image)
        seed = self._catalog.profile_of(image).home.seed if image else None
        if seed is None or not (seed.git or seed.archive):
            return None
        return SeedWish("git" if seed.git else "archive", seed.git or seed.archive or "", seed.branch or "", seed.into)

    # ---- what guests tell -------------------------------------------------------------------------------------------

    def took_report(self, record: Record, report: HomeReport) -> None:
        """Take in what a guest says of its home: that it has a file system now, is in use, or was let go of.

        A guest may lie: all that comes of it is that its own home is never formatted, and when it was last used.
        """
        home_id = record.plan.home.id
        if not home_id or report.state == "none":
            return
        now, values = self.clock(), dict[str, str]()
        if home_id not in self.finding.formatted and (report.formatted or report.state == "mounted"):
            self.finding.formatted.add(home_id)
            values[FORMATTED] = "yes"
        clean = report.state == "clean"
        by, at = self._marked_at.get(home_id, ("", None))
        if values or clean or by != record.attempt_id or worth_marking(at, now):
            self._marked_at[home_id] = (record.attempt_id, now)
            values |= {USED_AT: text_of(now), USED_GB: f"{report.used_gb:.1f}"}
        if values:
            self._background.spawn(self._mark(record, values, clean=clean), f"mark of home {home_id}")

    async def _mark(self, record: Record, values: Mapping[str, str], *, clean: bool) -> None:
        there, kind = self.in_cloud[record.plan.region], record.plan.home.kind
        assert kind != "none"
        for attempt in range(1, _MARK_TRIES + 1):
            try:
                home = await there.get(kind, record.plan.home.id)
                await there.mark(home, values)
                rescued = not clean and self._has(record, home)
                if rescued:
                    # Somebody had it marked for deletion just when it was started with.
                    await there.rescue(home)
                break
            except Gone:
                return
            except CloudError as error:
                self.log.warning("home %s: not marked (%s: %s)", record.plan.home.id, error.name, error)
                if attempt == _MARK_TRIES:
                    self._marked_at.pop(record.plan.home.id, None)
                    return
                await asyncio.sleep(LOOK_EVERY_S * attempt)
        if home.role != CURRENT:
            # It was replaced by a copy meanwhile, and stays for its grace only.
            return
        kept = {key: value for key, value in home.metadata.items() if key != DELETE_AT or not rescued}
        home = replace(home, metadata={**kept, **values})
        await self.finding.remember(home)
        if clean and home.schedule is not None:
            # It does not wait for being let go of any longer, though the cloud shows it as attached for a moment.
            await self.snapshot_if_due(replace(home, status="available"))

    def _has(self, record: Record, home: Home) -> bool:
        """Whether the home is still somebody's, and the record's instance has it. A report may come late."""
        has = home.kind == "share" or record.server_id in home.attached_to
        return home.role == CURRENT and has and self._wanted(record)

    async def snapshot_if_due(self, home: Home, snapshots: Iterable[Snapshot] | None = None) -> None:
        """Ask for a snapshot of the home where its schedule wants one now. A failure is counted and logged.

        `snapshots` are those there are, if they are known.
        """
        if home.id in self._copying:
            return
        self._copying.add(home.id)
        there = self.in_cloud[home.region]
        try:
            known = await there.snapshots(home) if snapshots is None else snapshots
            if not snapshot_due(home, known, self.clock()):
                return
            await there.snapshot(home, taken=BY_SCHEDULE, clean=home.status == "available")
        except CloudError as error:
            metrics.HOME_SNAPSHOTS.labels(outcome=error.name).inc()
            self.log.warning("home %s (%s): no snapshot: %s: %s", home.id, home.user, error.name, error)
            return
        finally:
            self._copying.discard(home.id)
        metrics.HOME_SNAPSHOTS.labels(outcome="taken").inc()
