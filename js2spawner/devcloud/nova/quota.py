"""Quotas and limits: what a project uses, may use, and is refused."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.found import admin_only
from js2spawner.devcloud.records import Flavor, Keypair

_RESOURCES = ("cores", "instances", "key_pairs", "metadata_items", "ram", "server_group_members", "server_groups")


def usage(cloud: DevCloud, project_id: str) -> dict[str, int]:
    """What the project's instances use; shelved and failed ones count, deleted ones do not."""
    servers = list(cloud.servers(project_id))
    return {
        "instances": len(servers),
        "cores": sum(server.flavor.vcpus for server in servers),
        "ram": sum(server.flavor.ram_mb for server in servers),
    }


def check_room(cloud: DevCloud, project_id: str, flavor: Flavor, count: int) -> None:
    """403 when the project may not have `count` more instances of a flavor, in Nova's words."""
    used = usage(cloud, project_id)
    wanted = {"instances": count, "cores": flavor.vcpus * count, "ram": flavor.ram_mb * count}
    over = [name for name in sorted(wanted) if cloud.over(project_id, f"compute.{name}", used[name] + wanted[name])]
    if over:
        requested = ", ".join(str(wanted[name]) for name in over)
        already = ", ".join(str(used[name]) for name in over)
        limits = ", ".join(str(cloud.limit(project_id, f"compute.{name}")) for name in over)
        names = ", ".join(over)
        raise Refusal(
            403, f"Quota exceeded for {names}: Requested {requested}, but already used {already} of {limits} {names}"
        )


async def limits(call: Call) -> Answer:
    project_id = call.query.get("tenant_id", call.project_id) if call.caller.admin else call.project_id
    used = usage(call.cloud, project_id)

    def limit(name: str) -> int:
        return call.cloud.limit(project_id, f"compute.{name}")

    absolute = {
        "maxTotalCores": limit("cores"),
        "maxTotalInstances": limit("instances"),
        "maxTotalKeypairs": limit("key_pairs"),
        "maxServerMeta": limit("metadata_items"),
        "maxTotalRAMSize": limit("ram"),
        "maxServerGroups": limit("server_groups"),
        "maxServerGroupMembers": limit("server_group_members"),
        "totalRAMUsed": used["ram"],
        "totalCoresUsed": used["cores"],
        "totalInstancesUsed": used["instances"],
        "totalServerGroupsUsed": 0,
    }
    return Answer({"limits": {"rate": [], "absolute": absolute}})


async def show_quota(call: Call) -> Answer:
    project_id = _project(call)
    view = {name: call.cloud.limit(project_id, f"compute.{name}") for name in _RESOURCES}
    return Answer({"quota_set": {"id": project_id, **view}})


async def show_quota_detail(call: Call) -> Answer:
    project_id = _project(call)
    used = usage(call.cloud, project_id)
    used["key_pairs"] = sum(1 for key in call.cloud.store.all(Keypair) if key.user_id == call.caller.user.id)
    view: dict[str, Any] = {
        name: {"limit": call.cloud.limit(project_id, f"compute.{name}"), "in_use": used.get(name, 0), "reserved": 0}
        for name in _RESOURCES
    }
    return Answer({"quota_set": {"id": project_id, **view}})


async def update_quota(call: Call) -> Answer:
    admin_only(call, "os_compute_api:os-quota-sets:update")
    project_id = call.names["project_id"]
    asked = {name: value for name, value in call.member("quota_set").items() if name in _RESOURCES}
    if not all(isinstance(value, int) and value >= -1 for value in asked.values()):
        raise Refusal(400, "Quota limit must be -1 or greater.")
    call.cloud.set_limits(project_id, {f"compute.{name}": value for name, value in asked.items()})
    view = {name: call.cloud.limit(project_id, f"compute.{name}") for name in _RESOURCES}
    return Answer({"quota_set": view})


async def default_quota(call: Call) -> Answer:
    view = {name: call.cloud.settings.quotas.get(f"compute.{name}", -1) for name in _RESOURCES}
    return Answer({"quota_set": {"id": call.names["project_id"], **view}})


def _project(call: Call) -> str:
    project_id = call.names["project_id"]
    if project_id != call.project_id:
        admin_only(call, "os_compute_api:os-quota-sets:show")
    return project_id


ROUTES = (
    Route("GET", "/v2.1/limits", "limits.show", limits),
    Route("GET", "/v2.1/os-quota-sets/{project_id}", "quotas.show", show_quota),
    Route("GET", "/v2.1/os-quota-sets/{project_id}/detail", "quotas.show", show_quota_detail),
    Route("GET", "/v2.1/os-quota-sets/{project_id}/defaults", "quotas.show", default_quota),
    Route("PUT", "/v2.1/os-quota-sets/{project_id}", "quotas.update", update_quota),
)
