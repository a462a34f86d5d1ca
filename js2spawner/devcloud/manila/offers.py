"""What Manila has to offer: versions, types, limits and quotas."""

from __future__ import annotations

from js2spawner.devcloud.calls import Answer, Call, Route, Version
from js2spawner.devcloud.manila.common import used
from js2spawner.devcloud.quota_sets import QuotaSets

LOWEST, HIGHEST = Version(2, 0), Version(2, 99)
SHARE_TYPE = {
    "id": "0f6c3c8a-6a4e-4c2e-8f0b-3d0f0d7c5a21",
    "name": "default",
    "is_default": True,
    "share_type_access:is_public": True,
    "required_extra_specs": {"driver_handles_share_servers": "False"},
    "extra_specs": {"driver_handles_share_servers": "False"},
    "description": None,
}


async def versions(call: Call) -> Answer:
    view = {
        "id": "v2.0",
        "status": "CURRENT",
        "version": str(HIGHEST),
        "min_version": str(LOWEST),
        "updated": "2015-08-27T11:33:21Z",
        "links": [{"rel": "self", "href": f"{call.cloud.settings.url}/share/v2/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.share+json;version=1"}],
    }
    return Answer({"versions": [view]}, 300 if call.path.rstrip("/") == "/share" else 200)


async def types(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"share_types": [SHARE_TYPE], "volume_types": [SHARE_TYPE]})


async def limits(call: Call) -> Answer:
    held = used(call.cloud, call.project_id)
    absolute = {
        "maxTotalShares": call.cloud.limit(call.project_id, "share.shares"),
        "maxTotalShareGigabytes": call.cloud.limit(call.project_id, "share.gigabytes"),
        "maxTotalShareSnapshots": 0,
        "maxTotalSnapshotGigabytes": 0,
        "maxTotalShareNetworks": 0,
        "totalSharesUsed": held["shares"],
        "totalShareGigabytesUsed": held["gigabytes"],
        "totalShareSnapshotsUsed": 0,
        "totalSnapshotGigabytesUsed": 0,
        "totalShareNetworksUsed": 0,
    }
    return Answer({"limits": {"rate": [], "absolute": absolute}})


QUOTAS = QuotaSets(
    "share",
    "quota_set",
    used,
    in_full=lambda call: call.path.endswith("/detail"),
    no_change="Access was denied to this resource.",
)

ROUTES = (
    *(Route("GET", path, "versions", versions, open=True) for path in ("", "/", "/v2", "/v2/")),
    Route("GET", "/v2/types", "types.list", types),
    Route("GET", "/v2/limits", "limits.show", limits),
    Route("GET", "/v2/quota-sets/{id}", "quotas.show", QUOTAS.show),
    Route("GET", "/v2/quota-sets/{id}/detail", "quotas.show", QUOTAS.show),
    Route("PUT", "/v2/quota-sets/{id}", "quotas.update", QUOTAS.update),
)
