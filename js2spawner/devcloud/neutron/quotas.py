"""Neutron's quotas, extensions and versions."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.collection import count
from js2spawner.devcloud.records import FloatingIp, Network, Port, SecurityGroup, Subnet

_COUNTED: dict[str, Any] = {
    "network": Network,
    "subnet": Subnet,
    "port": Port,
    "security_group": SecurityGroup,
    "floatingip": FloatingIp,
}
_RESOURCES = (*_COUNTED, "router", "security_group_rule")
_EXTENSIONS = (
    "auto-allocated-topology",
    "external-net",
    "quotas",
    "quota_details",
    "security-group",
    "standard-attr-tag",
    "standard-attr-timestamp",
    "sorting",
    "pagination",
)


async def versions(call: Call) -> Answer:
    link = {"rel": "self", "href": f"{call.cloud.settings.url}/network/v2.0/"}
    return Answer({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})


async def resources(call: Call) -> Answer:
    names = ("networks", "subnets", "ports", "security-groups", "security-group-rules", "floatingips")
    base = f"{call.cloud.settings.url}/network/v2.0"
    return Answer(
        {"resources": [{"name": name, "links": [{"rel": "self", "href": f"{base}/{name}"}]} for name in names]}
    )


async def extensions(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"extensions": [_extension(alias) for alias in _EXTENSIONS]})


async def extension(call: Call) -> Answer:
    alias = call.names["alias"]
    if alias not in _EXTENSIONS:
        raise Refusal(404, f"Extension with alias {alias} does not exist", kind="HTTPNotFound")
    return Answer({"extension": _extension(alias)})


async def routers(call: Call) -> Answer:  # noqa: ARG001
    """The automatic topology's router is not a thing of its own here; loopback routes by itself."""
    return Answer({"routers": []})


async def show_quota(call: Call) -> Answer:
    project_id = _project(call)
    return Answer({"quota": {name: call.cloud.limit(project_id, f"network.{name}") for name in _RESOURCES}})


async def show_quota_details(call: Call) -> Answer:
    project_id = _project(call)
    used = _used(call.cloud, project_id)
    details = {
        name: {"limit": call.cloud.limit(project_id, f"network.{name}"), "used": used.get(name, 0), "reserved": 0}
        for name in _RESOURCES
    }
    return Answer({"quota": details})


async def update_quota(call: Call) -> Answer:
    if not call.caller.admin:
        raise Refusal(403, "rule:update_quota is disallowed by policy", kind="PolicyNotAuthorized")
    asked = {name: value for name, value in call.member("quota").items() if name in _RESOURCES}
    if not all(isinstance(value, int) and value >= -1 for value in asked.values()):
        raise Refusal(
            400, "Invalid input for operation: a quota is a whole number of at least -1.", kind="InvalidInput"
        )
    used = _used(call.cloud, call.names["project_id"])
    for name, value in asked.items():
        if 0 <= value < used.get(name, 0):
            text = f"Quota limit {value} for {name} must be greater than or equal to already used {used[name]}"
            raise Refusal(400, text)
    call.cloud.set_limits(call.names["project_id"], {f"network.{name}": value for name, value in asked.items()})
    return await show_quota(call)


def _used(cloud: DevCloud, project_id: str) -> dict[str, int]:
    rules = sum(len(group.rules) for group in cloud.store.all(SecurityGroup) if group.project_id == project_id)
    return {**{name: count(cloud, kind, project_id) for name, kind in _COUNTED.items()}, "security_group_rule": rules}


def _project(call: Call) -> str:
    project_id = call.names["project_id"]
    if project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, "rule:get_quota is disallowed by policy", kind="PolicyNotAuthorized")
    return project_id


def _extension(alias: str) -> dict[str, Any]:
    return {"alias": alias, "name": alias, "description": "", "updated": "2016-01-01T00:00:00-00:00", "links": []}


ROUTES = (
    Route("GET", "", "versions", versions, open=True),
    Route("GET", "/", "versions", versions, open=True),
    Route("GET", "/v2.0", "resources", resources),
    Route("GET", "/v2.0/", "resources", resources),
    Route("GET", "/v2.0/extensions", "extensions.list", extensions),
    Route("GET", "/v2.0/extensions/{alias}", "extensions.show", extension),
    Route("GET", "/v2.0/routers", "routers.list", routers),
    Route("GET", "/v2.0/quotas/{project_id}", "quotas.show", show_quota),
    Route("GET", "/v2.0/quotas/{project_id}/details.json", "quotas.show", show_quota_details),
    Route("GET", "/v2.0/quotas/{project_id}/details", "quotas.show", show_quota_details),
    Route("PUT", "/v2.0/quotas/{project_id}", "quotas.update", update_quota),
)
