"""What the parts of Cinder share: usage against quotas, metadata, removal."""

from __future__ import annotations

from typing import Any, TypeVar

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.records import Snapshot, Volume

R = TypeVar("R", Volume, Snapshot)
ZONE = "nova"
TEXT_AT_MOST = 255
VOLUME_TYPE = {
    "id": "6f0e1f0c-0d2b-4e0f-9d6e-6d5a1c2b7a11",
    "name": "__DEFAULT__",
    "description": "Default Volume Type",
}


def used(cloud: DevCloud, project_id: str) -> dict[str, int]:
    volumes = [known for known in cloud.store.all(Volume) if known.project_id == project_id]
    snapshots = [known for known in cloud.store.all(Snapshot) if known.project_id == project_id]
    return {
        "volumes": len(volumes),
        "gigabytes": sum(known.size_gb for known in volumes),
        "snapshots": len(snapshots),
    }


def check_room(call: Call, volumes: int, gigabytes: int) -> None:
    held = used(call.cloud, call.project_id)
    if call.cloud.over(call.project_id, "volume.volumes", held["volumes"] + volumes):
        limit = call.cloud.limit(call.project_id, "volume.volumes")
        raise Refusal(
            413, f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'."
        )
    if call.cloud.over(call.project_id, "volume.gigabytes", held["gigabytes"] + gigabytes):
        limit = call.cloud.limit(call.project_id, "volume.gigabytes")
        text = (
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
            f"Requested {gigabytes}G, quota is {limit}G and {held['gigabytes']}G has been consumed."
        )
        raise Refusal(413, text)


def checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise invalid("metadata", metadata, f"{metadata!r} is not of type 'object'")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise invalid(key, value, f"{value!r} is not of type 'string'")
        if len(value) > TEXT_AT_MOST:
            raise invalid(key, value, f"{value!r} is too long")
        if len(key) > TEXT_AT_MOST:
            raise invalid("metadata", metadata, f"{key!r} is too long")
    return dict(metadata)


def invalid(field: str, value: object, why: str) -> Refusal:
    """What Cinder's JSON schema has against a value."""
    return Refusal(400, f"Invalid input for field/attribute {field}. Value: {value}. {why}")


def remove(cloud: DevCloud, kind: type[Volume | Snapshot], key: str) -> None:
    record = cloud.store.get(kind, key)
    if record is not None:
        cloud.store.remove(record)
        cloud.life.spawn(sweep(cloud))


def cut(call: Call, found: list[R], kind: str) -> tuple[list[R], list[dict[str, str]]]:
    """One page of a list, and the link to the next if there is one."""
    marker = call.query.get("marker")
    if marker:
        ids = [known.id for known in found]
        if marker not in ids:
            raise Refusal(404, f"{kind} {marker} could not be found.")
        found = found[ids.index(marker) + 1 :]
    limit = call.query.get("limit", "")
    if limit and not limit.isdecimal():
        raise Refusal(400, "limit param must be an integer")
    size = int(limit or 0) or 1000
    if len(found) <= size:
        return found, []
    href = f"{call.cloud.settings.url}{call.path}?limit={size}&marker={found[size - 1].id}"
    return found[:size], [{"rel": "next", "href": href}]


def volume_of(call: Call) -> Volume:
    key = call.names["id"]
    volume = call.cloud.store.get(Volume, key)
    if volume is None or (volume.project_id != call.project_id and not call.caller.admin):
        raise Refusal(404, f"Volume {key} could not be found.")
    return volume
