"""Class data: what many may read, beside each one's home.

A share is mounted read-only by all. A snapshot becomes a volume of its own for each instance, made while its system
boots and deleted when the instance is over; storage that copies on write makes it in a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import ClassData
from js2spawner.cloud.errors import CloudError
from js2spawner.cloud.records import Volume
from js2spawner.fleet.home_attaching import Attaching
from js2spawner.fleet.home_sharing import Sharing
from js2spawner.fleet.homes_in_cloud import LOOK_EVERY_S, HomesInCloud
from js2spawner.fleet.names import ATTEMPT_KEY, HUB_KEY, data_name
from js2spawner.handshake.messages import DataMount
from js2spawner.home_copies import EXPORT_OF, left_behind
from js2spawner.homes import SERIAL_LENGTH
from js2spawner.instance import Instant, Record

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

DATA_KEY = "js2_data"
_PATIENCE_S = 300.0


class ClassVolumes:
    """The class data of all regions."""

    def __init__(
        self,
        in_cloud: Mapping[str, HomesInCloud],
        attaching: Mapping[str, Attaching],
        sharing: Mapping[str, Sharing],
        catalog: Catalog,
        records: Callable[[], Iterable[Record]],
        log: Log,
    ) -> None:
        self._in_cloud = in_cloud
        self._attaching = attaching
        self._sharing = sharing
        self._catalog = catalog
        self._records = records
        self._log = log
        self._ways: dict[str, asyncio.Task[tuple[DataMount, ...]]] = {}

    def begin(self, record: Record) -> None:
        """Have the record's class data got ready, so that nobody waits for it at the hand-over."""
        if record.attempt_id not in self._ways and record.address and self._wanted(record):
            way = asyncio.get_running_loop().create_task(self._all(record), name=f"class data of {record.attempt_id}")
            self._ways[record.attempt_id] = way
            for attempt_id in set(self._ways) - {each.attempt_id for each in self._records()} - {record.attempt_id}:
                self._ways.pop(attempt_id).cancel()

    async def mounts_of(self, record: Record) -> tuple[DataMount, ...]:
        """What the guest is told. What cannot be had in time is left out, and told in the log."""
        self.begin(record)
        way = self._ways.get(record.attempt_id)
        if way is None:
            return ()
        # Half of the time that an instance may wait for its assignment: the rest is for taking it.
        await asyncio.wait([way], timeout=record.plan.deadlines.assign_s / 2)
        if not way.done():
            self._log.error("%s: attempt %s goes without its class data: not ready", record.owner, record.attempt_id)
            return ()
        # Another start cancels it once the instance is over; this one hears of that end by itself.
        return () if way.cancelled() else way.result()

    async def stop(self) -> None:
        ways = list(self._ways.values())
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def sweep(self, region: str, now: Instant) -> None:
        """Delete the volumes whose instances are over, and what exports have left behind. Raises CloudError."""
        volumes = self._in_cloud[region].cloud.volumes
        there = await volumes.list({HUB_KEY: self._in_cloud[region].hub_id})
        # Asked for after the list: a volume that was made meanwhile has a record.
        live = {record.attempt_id for record in self._records()}
        for volume in there:
            over = DATA_KEY in volume.metadata and volume.metadata.get(ATTEMPT_KEY) not in live
            left = EXPORT_OF in volume.metadata and left_behind(volume.created.timestamp(), now)
            if (over or left) and not volume.attached_to and volume.status in ("available", "error"):
                await volumes.delete(volume.id)

    async def sweep_readers(self, region: str) -> None:
        """Take back what instances that are gone read class data by. Raises CloudError."""
        for data in self._catalog.data:
            if data.share and self._catalog.region_of_data(data) == region:
                await self._sharing[region].sweep_readers(data.share)

    def _wanted(self, record: Record) -> list[ClassData]:
        image = self._catalog.image(record.plan.image)
        named = self._catalog.profile_of(image).data if image else ()
        here, region_of = record.plan.region, self._catalog.region_of_data
        # What lies in another region nobody there was promised: the choice page says where it is.
        return [data for data in self._catalog.data if data.name in named and region_of(data) == here]

    async def _all(self, record: Record) -> tuple[DataMount, ...]:
        found = [await self._one(record, data) for data in self._wanted(record)]
        return tuple(mount for mount in found if mount is not None)

    async def _one(self, record: Record, data: ClassData) -> DataMount | None:
        why = "neither a share nor a snapshot is named"
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if data.share:
                    share = await self._sharing[record.plan.region].admit(data.share, record.address, level="ro")
                    return DataMount(data.name, "share", export=share.export, access=share.access, key=share.key)
                if data.snapshot:
                    return await self._volume(record, data, data.snapshot)
        except TimeoutError:
            why = f"not ready within {_PATIENCE_S:.0f} s"
        except CloudError as error:
            why = f"{error.name}: {error}"
        self._goes_without(record, data, why)
        return None

    async def _volume(self, record: Record, data: ClassData, snapshot_id: str) -> DataMount | None:
        there = self._in_cloud[record.plan.region]
        marks = {HUB_KEY: there.hub_id, DATA_KEY: data.name, ATTEMPT_KEY: record.attempt_id}
        found = await there.cloud.volumes.list(marks)
        volume = found[0] if found else await self._make(there, record, data.name, snapshot_id, marks)
        why = await self._attaching[record.plan.region].attach(
            volume.id, record.server_id, record.plan.deadlines.home_s, lambda: self._still_wanted(record)
        )
        if why is None:
            return DataMount(data.name, "volume", serial=volume.id[:SERIAL_LENGTH])
        self._goes_without(record, data, f"{why.name}: {why.detail}")
        return None

    def _goes_without(self, record: Record, data: ClassData, why: str) -> None:
        who = f"{record.owner}: attempt {record.attempt_id}"
        self._log.error("%s goes without class data %s: %s", who, data.name, why)

    async def _make(
        self, there: HomesInCloud, record: Record, named: str, snapshot_id: str, marks: Mapping[str, str]
    ) -> Volume:
        volumes = there.cloud.volumes
        snapshot = await volumes.get_snapshot(snapshot_id)
        name = data_name(named, record.attempt_id)
        try:
            return await volumes.create(name, snapshot.size_gb, marks, snapshot_id=snapshot.id)
        except CloudError as error:
            if error.certain:
                raise
        # An answer that was lost: the volume is there, or it is gone without.
        await asyncio.sleep(LOOK_EVERY_S)
        if found := await volumes.list(marks):
            return found[0]
        raise CloudError("the cloud never confirmed the volume")

    def _still_wanted(self, record: Record) -> bool:
        return any(each.attempt_id == record.attempt_id and not each.parted for each in self._records())
