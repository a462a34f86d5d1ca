"""Block storage, shares and instances of a region in memory, whose states a test sets as faults would leave them.

What a volume holds is a text of its own (`content`), so that a test can see whether anybody's files are still there.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from js2spawner.cloud.errors import BadCloudConfig, BadRequest, CloudError, Conflict, Gone, NoAnswer, ServerFault
from js2spawner.cloud.records import (
    Image,
    Server,
    Share,
    ShareAccess,
    Volume,
    VolumeAttachment,
    VolumeHold,
    VolumeSnapshot,
)
from tests.unit import lives

HUB = "11111111-aaaa-bbbb-cccc-000000000000"
PROJECT = "22222222aaaabbbbcccc000000000000"
_IDS = itertools.count(1)


def new_id() -> str:
    return f"{next(_IDS):08d}-0000-4000-8000-000000000000"


@dataclass
class Faults:
    """Errors by operation, raised in order; one of `works_all_the_same` after the call has had its effect."""

    errors: dict[str, list[CloudError]] = field(default_factory=dict)
    works_all_the_same: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def before(self, operation: str) -> None:
        self.calls.append(operation)
        if operation not in self.works_all_the_same:
            self._raise(operation)

    def after(self, operation: str) -> None:
        if operation in self.works_all_the_same:
            self._raise(operation)

    def _raise(self, operation: str) -> None:
        if self.errors.get(operation):
            raise self.errors[operation].pop(0)


class Nova:
    def __init__(self, cinder: Cinder, faults: Faults) -> None:
        self.cinder = cinder
        self.faults = faults
        self.servers: dict[str, Server] = {}
        # What becomes of an attach: "works", "sticks" (nothing more happens) or "comes back" (fails later).
        self.attaching = "works"
        self.detaching = "works"

    def boot(self, status: str = "ACTIVE", **metadata: str) -> str:
        server_id = new_id()
        self.servers[server_id] = lives.server(status, id=server_id, metadata=metadata)
        return server_id

    def delete(self, server_id: str) -> None:
        """The end of an instance, which lets go of its volumes."""
        del self.servers[server_id]
        for hold in [each for each in self.cinder.held if each.server_id == server_id]:
            self.cinder.let_go(hold)

    async def get_server(self, server_id: str) -> Server:
        self.faults.before("get-server")
        if server_id not in self.servers:
            raise Gone(f"Instance {server_id} could not be found.")
        return self.servers[server_id]

    async def attach_volume(self, server_id: str, volume_id: str) -> VolumeAttachment:
        self.faults.before("attach")
        await self.get_server(server_id)
        volume = await self.cinder.get(volume_id)
        if volume.status != "available":
            raise Conflict(f"Invalid volume: status must be 'available'. Currently in '{volume.status}'")
        if self.attaching == "works":
            self.cinder.hold(volume_id, server_id, "in-use")
        elif self.attaching == "sticks":
            self.cinder.hold(volume_id, server_id, "attaching")
        self.faults.after("attach")
        return VolumeAttachment(volume_id, server_id, "/dev/vdb")

    async def detach_volume(self, server_id: str, volume_id: str) -> None:
        self.faults.before("detach")
        held = [each for each in self.cinder.held if (each.server_id, each.volume_id) == (server_id, volume_id)]
        if not held:
            raise Gone(f"Instance {server_id} is not attached to volume {volume_id}")
        offloaded = self.servers[server_id].status == "SHELVED_OFFLOADED"
        if self.cinder.volumes[volume_id].status != ("reserved" if offloaded else "in-use"):
            raise Conflict("Invalid volume: Volume status must be 'in-use' to detach.")
        if self.detaching == "works":
            self.cinder.let_go(held[0])
        else:
            self.cinder.set(volume_id, status="detaching")
            self.detaching = "works"


class Cinder:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.volumes: dict[str, Volume] = {}
        self.kept_snapshots: dict[str, VolumeSnapshot] = {}
        self.held: list[VolumeHold] = []
        self.content: dict[str, str] = {}
        self.nova: Nova | None = None
        self.glance = Glance(faults)
        self.new_status = "available"
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    # ---- what a test does -------------------------------------------------------------------------------------------

    def set(self, volume_id: str, **changes: Any) -> None:
        self.volumes[volume_id] = replace(self.volumes[volume_id], **changes)

    def hold(self, volume_id: str, server_id: str, status: str) -> None:
        """As Cinder is while a server has the volume, or is about to."""
        state = {"in-use": "attached"}.get(status, status)
        self.held.append(VolumeHold(new_id(), volume_id, server_id, state))
        attached = (server_id,) if status in ("in-use", "detaching") else ()
        self.set(volume_id, status=status, attached_to=attached)

    def let_go(self, hold: VolumeHold) -> None:
        self.held.remove(hold)
        if hold.volume_id in self.volumes:
            self.set(hold.volume_id, status="available", attached_to=())

    # ---- what the hub asks ------------------------------------------------------------------------------------------

    async def create(
        self, name: str, size_gb: int, metadata: Mapping[str, str], *, volume_type: Any = None, snapshot_id: Any = None
    ) -> Volume:
        self.faults.before("create-volume")
        volume_id = new_id()
        made = Volume(volume_id, name, self.new_status, size_gb, dict(metadata), (), self.now(), snapshot_id or "")
        self.volumes[volume_id] = made
        self.content[volume_id] = self.content.get(snapshot_id, "")
        self.faults.after("create-volume")
        return made

    async def get(self, volume_id: str) -> Volume:
        self.faults.before("get-volume")
        if volume_id not in self.volumes:
            raise Gone(f"Volume {volume_id} could not be found.")
        return self.volumes[volume_id]

    async def list(self, metadata: Mapping[str, str] | None = None) -> list[Volume]:
        self.faults.before("list-volumes")
        wanted = dict(metadata or {}).items()
        return [volume for volume in self.volumes.values() if wanted <= volume.metadata.items()]

    async def delete(self, volume_id: str) -> None:
        self.faults.before("delete-volume")
        volume = await self.get(volume_id)
        if volume.attached_to or any(each.volume_id == volume_id for each in self.kept_snapshots.values()):
            raise Conflict("Invalid volume: Volume must not be attached or have snapshots.")
        del self.volumes[volume_id], self.content[volume_id]

    async def extend(self, volume_id: str, size_gb: int, *, attached: bool = False) -> None:
        self.faults.before("extend")
        self.set(volume_id, size_gb=size_gb)

    async def set_metadata(self, volume_id: str, values: Mapping[str, str]) -> None:
        self.faults.before("set-metadata")
        volume = await self.get(volume_id)
        self.set(volume_id, metadata={**volume.metadata, **values})

    async def delete_metadata(self, volume_id: str, key: str) -> None:
        self.faults.before("delete-metadata")
        volume = await self.get(volume_id)
        self.set(volume_id, metadata={name: value for name, value in volume.metadata.items() if name != key})

    async def holds(self, volume_id: str) -> tuple[VolumeHold, ...]:
        self.faults.before("holds")
        return tuple(each for each in self.held if each.volume_id == volume_id)

    async def drop_hold(self, hold_id: str) -> None:
        self.faults.before("drop-hold")
        hold = next(each for each in self.held if each.id == hold_id)
        if self.nova and hold.server_id in self.nova.servers and hold.status == "attached":
            raise Conflict(f"Detach volume from instance {hold.server_id} using the Compute API")
        self.let_go(hold)

    async def unreserve(self, volume_id: str) -> None:
        self.faults.before("unreserve")
        if self.volumes[volume_id].status == "attaching":
            self.set(volume_id, status="available")

    async def roll_detaching(self, volume_id: str) -> None:
        self.faults.before("roll-detaching")
        if self.volumes[volume_id].status != "detaching":
            raise BadRequest("Invalid volume: Volume status must be 'detaching' to roll back.")
        self.set(volume_id, status="in-use")

    async def disown(self, volume_id: str) -> None:
        self.faults.before("disown")
        if any(hold.volume_id == volume_id for hold in self.held):
            raise ServerFault("The server has either erred or is incapable of performing the requested operation.")
        self.set(volume_id, status="available")

    async def upload(self, volume_id: str, image_name: str, disk_format: str) -> str:
        self.faults.before("upload")
        volume = await self.get(volume_id)
        if volume.status != "available":
            raise Conflict("Invalid volume: Volume status must be available.")
        image_id = self.glance.write(image_name, self.content[volume_id].encode())
        self.faults.after("upload")
        return image_id

    async def snapshots(self, volume_id: str | None = None) -> tuple[VolumeSnapshot, ...]:
        self.faults.before("list-snapshots")
        return tuple(each for each in self.kept_snapshots.values() if volume_id in (None, each.volume_id))

    async def get_snapshot(self, snapshot_id: str) -> VolumeSnapshot:
        if snapshot_id not in self.kept_snapshots:
            raise Gone(f"Snapshot {snapshot_id} could not be found.")
        return self.kept_snapshots[snapshot_id]

    async def create_snapshot(self, volume_id: str, name: str, metadata: Mapping[str, str]) -> VolumeSnapshot:
        self.faults.before("create-snapshot")
        volume = await self.get(volume_id)
        made = VolumeSnapshot(new_id(), volume_id, name, "available", volume.size_gb, dict(metadata), self.now())
        self.kept_snapshots[made.id] = made
        self.content[made.id] = self.content[volume_id]
        return made

    async def delete_snapshot(self, snapshot_id: str) -> None:
        self.faults.before("delete-snapshot")
        if self.kept_snapshots.pop(snapshot_id, None) is None:
            raise Gone(f"Snapshot {snapshot_id} could not be found.")


class Manila:
    def __init__(self, faults: Faults, *, there: bool) -> None:
        self.faults = faults
        self.there = there
        self.kept: dict[str, Share] = {}
        self.rules: dict[str, list[ShareAccess]] = {}

    async def create(
        self, name: str, size_gb: int, protocol: str, metadata: Mapping[str, str], *, share_type: Any = None
    ) -> Share:
        self.faults.before("create-share")
        made = Share(new_id(), name, "available", size_gb, protocol, dict(metadata), datetime.now(UTC))
        self.kept[made.id] = made
        self.rules[made.id] = []
        return made

    async def get(self, share_id: str) -> Share:
        if share_id not in self.kept:
            raise Gone(f"Share {share_id} could not be found.")
        return self.kept[share_id]

    async def list(self, metadata: Mapping[str, str] | None = None) -> list[Share]:
        self.faults.before("list-shares")
        if not self.there:
            raise BadCloudConfig("Cloud test has no shared-file-system service in its catalogue.")
        wanted = dict(metadata or {}).items()
        return [share for share in self.kept.values() if wanted <= share.metadata.items()]

    async def delete(self, share_id: str) -> None:
        del self.kept[share_id]

    async def extend(self, share_id: str, size_gb: int) -> None:
        self.kept[share_id] = replace(self.kept[share_id], size_gb=size_gb)

    async def set_metadata(self, share_id: str, values: Mapping[str, str]) -> None:
        share = self.kept[share_id]
        self.kept[share_id] = replace(share, metadata={**share.metadata, **values})

    async def delete_metadata(self, share_id: str, key: str) -> None:
        share = self.kept[share_id]
        left = {name: value for name, value in share.metadata.items() if name != key}
        self.kept[share_id] = replace(share, metadata=left)

    async def exports(self, share_id: str) -> tuple[str, ...]:
        return (f"10.0.0.2:/volumes/{share_id}",)

    async def accesses(self, share_id: str) -> tuple[ShareAccess, ...]:
        await self.get(share_id)
        return tuple(self.rules[share_id])

    async def allow(
        self, share_id: str, kind: str, to: str, level: str = "rw", metadata: Mapping[str, str] | None = None
    ) -> ShareAccess:
        self.faults.before("allow")
        if any((rule.kind, rule.to) == (kind, to) for rule in self.rules[share_id]):
            raise BadRequest(f"Share access {kind}:{to} exists.")
        key = f"key-{new_id()}" if kind == "cephx" else ""
        rule = ShareAccess(new_id(), kind, to, level, "active", key, dict(metadata or {}))
        self.rules[share_id].append(rule)
        return rule

    async def deny(self, share_id: str, access_id: str) -> None:
        self.rules[share_id] = [rule for rule in self.rules[share_id] if rule.id != access_id]


class Glance:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.images: dict[str, Image] = {}
        self.data: dict[str, bytes] = {}
        # How many bytes a download gets before it breaks off, once each.
        self.breaks_after: list[int] = []

    def set(self, image_id: str, **changes: Any) -> None:
        self.images[image_id] = replace(self.images[image_id], **changes)

    def write(self, name: str, data: bytes) -> str:
        image_id, digest = new_id(), hashlib.sha512(data).hexdigest()
        self.data[image_id] = data
        made = datetime.now(UTC)
        self.images[image_id] = Image(
            image_id, name, "active", "private", len(data), 0, 0, made, digest, {},
            owner=PROJECT, os_hash_algo="sha512", os_hash_value=digest,
        )  # fmt: skip
        return image_id

    async def list(self, *, name: str | None = None, properties: Any = None) -> list[Image]:
        # Properties are not looked at: a filter saves time, and is no promise of whose an image is.
        return [image for image in self.images.values() if name in (None, image.name)]

    async def get(self, image_id: str) -> Image:
        if image_id not in self.images:
            raise Gone(f"No image found with ID {image_id}")
        return self.images[image_id]

    async def update(self, image_id: str, *, put: Mapping[str, str]) -> Image:
        self.faults.before("update-image")
        image = await self.get(image_id)
        self.set(image_id, properties={**image.properties, **put})
        return self.images[image_id]

    async def delete(self, image_id: str) -> None:
        self.faults.before("delete-image")
        await self.get(image_id)
        del self.images[image_id], self.data[image_id]

    async def download(self, image_id: str, file: Path, told: Callable[[int], None] = lambda _: None) -> None:
        self.faults.before("download")
        had = file.stat().st_size if file.exists() else 0
        rest = self.data[image_id][had:]
        broken = self.breaks_after.pop(0) if self.breaks_after else None
        with file.open("ab") as out:
            out.write(rest[:broken])
        told(had + len(rest[:broken]))
        if broken is not None:
            raise NoAnswer("the connection broke off")


class RegionInMemory:
    """The clients of one region, as `cloud.Cloud` has them."""

    def __init__(self, *, shares: bool = True) -> None:
        self.faults = Faults()
        self.volumes = Cinder(self.faults)
        self.compute = Nova(self.volumes, self.faults)
        self.volumes.nova = self.compute
        self.shares = Manila(self.faults, there=shares)
        self.images = self.volumes.glance

    async def project_id(self) -> str:
        return PROJECT

    async def close(self) -> None:
        return None
