"""The homes in one region of a cloud, as hub and command both see them: found, made, marked, copied, deleted.

Nothing is kept here. Every method raises CloudError, but for `whatever_answers`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from js2spawner.catalog_entries import Home as Terms
from js2spawner.catalog_entries import Region
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import BadAnswer, BadCloudConfig, CloudError, Forbidden, Gone, NoAnswer
from js2spawner.cloud.records import Image
from js2spawner.fleet.names import HUB_KEY, home_name
from js2spawner.home_copies import SNAPSHOT_OF, Snapshot, exported_home, snapshot_metadata, snapshot_of
from js2spawner.homes import DELETE_AT, Home, Kind, home_of_share, home_of_volume, is_home, meaning, new_metadata

LOOK_EVERY_S = 2.0


class HomesInCloud:
    """One region's homes of one hub."""

    def __init__(self, region: Region, cloud: Cloud, hub_id: str) -> None:
        self.region = region
        self.cloud = cloud
        self.hub_id = hub_id

    # ---- finding ----------------------------------------------------------------------------------------------------

    async def all(self) -> list[Home]:
        """Everybody's: those in use, those replaced or being restored. Where there is no Manila there are no shares."""
        volumes, shares = await asyncio.gather(self._volumes(), self._shares())
        return volumes + shares

    async def whatever_answers(self) -> tuple[list[Home], dict[Kind, CloudError]]:
        """Everybody's as far as the cloud tells, and why it does not tell of the others, by their kind."""
        asked: dict[Kind, Awaitable[list[Home]]] = {"volume": self._volumes(), "share": self._shares()}
        answers = dict(zip(asked, await asyncio.gather(*asked.values(), return_exceptions=True), strict=True))
        homes: list[Home] = []
        silent: dict[Kind, CloudError] = {}
        for kind, answer in answers.items():
            if isinstance(answer, CloudError):
                silent[kind] = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                homes += answer
        return homes, silent

    async def of_kind(self, kind: Kind) -> list[Home]:
        """Everybody's of that kind, asked for afresh."""
        return await (self._volumes() if kind == "volume" else self._shares_surely())

    async def get(self, kind: Kind, home_id: str) -> Home:
        """One of them as it is now, whatever is said of it. Raises Gone."""
        if kind == "volume":
            return home_of_volume(await self.cloud.volumes.get(home_id), self.region.name)
        return home_of_share(await self.cloud.shares.get(home_id), self.region.name)

    # ---- changing ---------------------------------------------------------------------------------------------------

    async def create(self, kind: Kind, user: str, user_id: str, terms: Terms) -> Home:
        """Ask for a new, empty home. Errors with `certain` False may have made one."""
        name, metadata = home_name(user), new_metadata(self.hub_id, user, user_id, terms)
        if kind == "volume":
            volume_type = self.region.volume_type
            volume = await self.cloud.volumes.create(name, terms.size_gb, metadata, volume_type=volume_type)
            return home_of_volume(volume, self.region.name)
        share = await self.cloud.shares.create(
            name, terms.size_gb, self.region.protocol_of_shares, metadata, share_type=self.region.share_type
        )
        return home_of_share(share, self.region.name)

    async def create_from(self, snapshot: Snapshot, home: Home, metadata: Mapping[str, str]) -> Home:
        """Ask for a volume that holds what the snapshot of the home does, as large as the home is now."""
        volume = await self.cloud.volumes.create(
            home.name or home_name(home.user),
            max(snapshot.size_gb, home.size_gb),
            metadata,
            volume_type=self.region.volume_type,
            snapshot_id=snapshot.id,
        )
        return home_of_volume(volume, self.region.name)

    async def mark(self, home: Home, values: Mapping[str, str]) -> None:
        """Say these things of the home; what else is said of it stays."""
        if values:
            service = self.cloud.volumes if home.kind == "volume" else self.cloud.shares
            await service.set_metadata(home.id, values)

    async def unmark(self, home: Home, *keys: str) -> None:
        """Say these things no longer."""
        service = self.cloud.volumes if home.kind == "volume" else self.cloud.shares
        for key in keys:
            if key in home.metadata:
                await service.delete_metadata(home.id, key)

    async def rescue(self, home: Home) -> None:
        """It is not to be deleted after all."""
        await self.unmark(home, DELETE_AT)

    async def grow(self, home: Home, size_gb: int) -> None:
        """Start growing it. Raises BadRequest or Conflict where the storage cannot as things are."""
        if home.kind == "share":
            await self.cloud.shares.extend(home.id, size_gb)
        else:
            await self.cloud.volumes.extend(home.id, size_gb, attached=meaning(home) == "used")

    async def delete(self, home: Home) -> None:
        """Start deleting it for good; one that is gone is no error. Raises Conflict while it has snapshots."""
        service = self.cloud.volumes if home.kind == "volume" else self.cloud.shares
        try:
            await service.delete(home.id)
        except Gone:
            pass

    # ---- copies -----------------------------------------------------------------------------------------------------

    async def snapshots(self, home: Home | None = None) -> list[Snapshot]:
        """The snapshots of a home, or of all homes of this hub, newest first. (Of shares none are made.)"""
        if home is not None and home.kind == "share":
            return []
        found = await self.cloud.volumes.snapshots(home.id if home else None)
        ours = [each for each in found if each.metadata.get(HUB_KEY) == self.hub_id and SNAPSHOT_OF in each.metadata]
        return sorted((snapshot_of(each, self.region.name) for each in ours), key=lambda s: s.taken_at, reverse=True)

    async def snapshots_of(self, home: Home) -> list[Snapshot]:
        """The snapshots of all that is or was the home of the same person, newest first."""
        return [each for each in await self.snapshots() if each.user_id == home.user_id] if home.user_id else []

    async def snapshot(self, home: Home, *, taken: str, clean: bool) -> Snapshot:
        """Ask for a snapshot. Errors with `certain` False may have made one."""
        metadata = snapshot_metadata(home, self.hub_id, taken=taken, clean=clean)
        made = await self.cloud.volumes.create_snapshot(home.id, home.name, metadata)
        return snapshot_of(made, self.region.name)

    async def delete_snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Start deleting them; those that are gone are no error."""
        for snapshot in snapshots:
            if snapshot.status != "deleting":
                try:
                    await self.cloud.volumes.delete_snapshot(snapshot.id)
                except Gone:
                    continue

    async def exported(self, homes: Iterable[Home], *, former: bool = False) -> list[Image]:
        """The images that exports of these homes have made, newest first; with `former` those of homes gone since."""
        ids, project_id = {home.id for home in homes}, await self.cloud.project_id()

        def is_wanted(image: Image) -> bool:
            home_id = exported_home(image, self.hub_id, project_id)
            return home_id in ids or (former and home_id != "" and HUB_KEY in image.properties)

        return [each for each in await self.cloud.images.list(properties={"owner": project_id}) if is_wanted(each)]

    async def delete_exported(self, image: Image) -> None:
        """Delete such an image; one that is gone is no error."""
        try:
            await self.cloud.images.delete(image.id)
        except Gone:
            pass

    # ---- waiting ----------------------------------------------------------------------------------------------------

    async def until_settled(self, home: Home, within_s: float, told: Callable[[Home], None] = lambda _: None) -> Home:
        """The home once the cloud is done with what it is doing. Raises Gone; NoAnswer after `within_s`."""
        until = time.monotonic() + within_s
        while meaning(home) == "moving":
            if time.monotonic() > until:
                raise NoAnswer(f"{home.kind} {home.id} was still {home.status} after {within_s:.0f} s")
            told(home)
            await asyncio.sleep(LOOK_EVERY_S)
            home = await self.get(home.kind, home.id)
        return home

    async def snapshot_settled(self, snapshot: Snapshot, within_s: float) -> Snapshot:
        """The snapshot once it is made, or has failed. Raises Gone; NoAnswer after `within_s`."""
        until = time.monotonic() + within_s
        while snapshot.status == "creating":
            if time.monotonic() > until:
                raise NoAnswer(f"snapshot {snapshot.id} was still being made after {within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)
            snapshot = snapshot_of(await self.cloud.volumes.get_snapshot(snapshot.id), self.region.name)
        return snapshot

    # ---- inside -----------------------------------------------------------------------------------------------------

    async def _volumes(self) -> list[Home]:
        found = await self.cloud.volumes.list({HUB_KEY: self.hub_id})
        return [home_of_volume(each, self.region.name) for each in found if is_home(each.metadata, self.hub_id)]

    async def _shares_surely(self) -> list[Home]:
        found = await self.cloud.shares.list({HUB_KEY: self.hub_id})
        return [home_of_share(each, self.region.name) for each in found if is_home(each.metadata, self.hub_id)]

    async def _shares(self) -> list[Home]:
        try:
            return await self._shares_surely()
        except (BadCloudConfig, Forbidden, BadAnswer):
            # No Manila, or none for this project: then no home can be there.
            return []
