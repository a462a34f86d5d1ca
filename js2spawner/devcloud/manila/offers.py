"""What Manila has to offer: versions, types, limits and quotas."""

from __future__ import annotations

from js2spawner.devcloud.calls import Answer, Call, Route, Version
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.manila.common import used

LOWEST, HIGHEST = Version(2, 0), Version(2, 91)
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


async def show_quota(call: Call) -> Answer:
    project_id = call.names["id"]
    if project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, "Policy doesn't allow quota_set:show to be performed.")
    held = used(call.cloud, project_id)
    limits_of = {name: call.cloud.limit(project_id, f"share.{name}") for name in held}
    if not call.path.endswith("/detail"):
        return Answer({"quota_set": {"id": project_id, **limits_of}})
    full = {name: {"limit": limits_of[name], "in_use": held[name], "reserved": 0} for name in held}
    return Answer({"quota_set": {"id": project_id, **full}})


async def update_quota(call: Call) -> Answer:
    if not call.caller.admin:
        raise Refusal(403, "Policy doesn't allow quota_set:update to be performed.")
    asked = {name: value for name, value in call.member("quota_set").items() if isinstance(value, int)}
    call.cloud.set_limits(call.names["id"], {f"share.{name}": value for name, value in asked.items()})
    return Answer({"quota_set": asked})


ROUTES = (
    *(Route("GET", path, "versions", versions, open=True) for path in ("", "/", "/v2", "/v2/")),
    Route("GET", "/v2/types", "types.list", types),
    Route("GET", "/v2/limits", "limits.show", limits),
    Route("GET", "/v2/quota-sets/{id}", "quotas.show", show_quota),
    Route("GET", "/v2/quota-sets/{id}/detail", "quotas.show", show_quota),
    Route("PUT", "/v2/quota-sets/{id}", "quotas.update", update_quota),
)
