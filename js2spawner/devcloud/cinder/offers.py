"""What Cinder has to offer: versions, types, zones, limits and quotas."""

from __future__ import annotations

from js2spawner.devcloud.calls import Answer, Call, Route, Version
from js2spawner.devcloud.cinder.common import VOLUME_TYPE, ZONE, used
from js2spawner.devcloud.quota_sets import QuotaSets

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


QUOTAS = QuotaSets(
    "volume",
    "volume_extension:quotas",
    used,
    in_full=lambda call: call.query.get("usage", "").lower() == "true",
)

ROUTES = (
    Route("GET", "/types", "types.list", types),
    Route("GET", "/os-availability-zone", "zones.list", zones),
    Route("GET", "/limits", "limits.show", limits),
    Route("GET", "/os-quota-sets/{id}", "quotas.show", QUOTAS.show),
    Route("PUT", "/os-quota-sets/{id}", "quotas.update", QUOTAS.update),
)
VERSION_ROUTES = tuple(Route("GET", path, "versions", versions, open=True) for path in ("", "/", "/v3", "/v3/"))
