"""What Cinder has to offer: versions, types, zones, limits and quotas."""

from __future__ import annotations

from js2spawner.devcloud.calls import Answer, Call, Route, Version
from js2spawner.devcloud.cinder.common import VOLUME_TYPE, ZONE, used
from js2spawner.devcloud.errors import Refusal

LOWEST, HIGHEST = Version(3, 0), Version(3, 71)


async def versions(call: Call) -> Answer:
    link = {"rel": "self", "href": f"{call.cloud.settings.url}/volume/v3/"}
    view = {
        "id": "v3.0",
        "status": "CURRENT",
        "version": str(HIGHEST),
        "min_version": str(LOWEST),
        "updated": "2024-09-11T00:00:00Z",
        "links": [link],
        "media-types": [],
    }
    return Answer({"versions": [view]}, 300 if call.path.rstrip("/") == "/volume" else 200)


async def types(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"volume_types": [VOLUME_TYPE | {"is_public": True, "extra_specs": {}}]})


async def zones(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"availabilityZoneInfo": [{"zoneName": ZONE, "zoneState": {"available": True}}]})


async def limits(call: Call) -> Answer:
    held = used(call.cloud, call.project_id)
    absolute = {
        "maxTotalVolumes": call.cloud.limit(call.project_id, "volume.volumes"),
        "maxTotalSnapshots": call.cloud.limit(call.project_id, "volume.snapshots"),
        "maxTotalVolumeGigabytes": call.cloud.limit(call.project_id, "volume.gigabytes"),
        "maxTotalBackups": 0,
        "maxTotalBackupGigabytes": 0,
        "totalVolumesUsed": held["volumes"],
        "totalSnapshotsUsed": held["snapshots"],
        "totalGigabytesUsed": held["gigabytes"],
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }
    return Answer({"limits": {"rate": [], "absolute": absolute}})


async def show_quota(call: Call) -> Answer:
    project_id = call.names["id"]
    if project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, "Policy doesn't allow volume_extension:quotas:show to be performed.")
    held = used(call.cloud, project_id)
    limits_of = {name: call.cloud.limit(project_id, f"volume.{name}") for name in held}
    if call.query.get("usage", "").lower() != "true":
        return Answer({"quota_set": {"id": project_id, **limits_of}})
    full = {name: {"limit": limits_of[name], "in_use": held[name], "reserved": 0} for name in held}
    return Answer({"quota_set": {"id": project_id, **full}})


async def update_quota(call: Call) -> Answer:
    if not call.caller.admin:
        raise Refusal(403, "Policy doesn't allow volume_extension:quotas:update to be performed.")
    asked = {name: value for name, value in call.member("quota_set").items() if isinstance(value, int)}
    call.cloud.set_limits(call.names["id"], {f"volume.{name}": value for name, value in asked.items()})
    return Answer({"quota_set": asked})


ROUTES = (
    Route("GET", "/types", "types.list", types),
    Route("GET", "/os-availability-zone", "zones.list", zones),
    Route("GET", "/limits", "limits.show", limits),
    Route("GET", "/os-quota-sets/{id}", "quotas.show", show_quota),
    Route("PUT", "/os-quota-sets/{id}", "quotas.update", update_quota),
)
VERSION_ROUTES = tuple(Route("GET", path, "versions", versions, open=True) for path in ("", "/", "/v3", "/v3/"))
