"""What Nova has to offer: its versions, flavors, zones, and the few things only an admin or Neutron asks for."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route, Version
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.nova.create import ZONE
from js2spawner.devcloud.nova.found import admin_only
from js2spawner.devcloud.nova.schema import refuse
from js2spawner.devcloud.nova.view import link_pair
from js2spawner.devcloud.records import Flavor, Server
from js2spawner.devcloud.scheduler import all_hosts

LOWEST, HIGHEST = Version(2, 1), Version(2, 104)
_UPDATED = "2013-07-23T11:33:21Z"
_OLD = {"id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z"}


async def versions(call: Call) -> Answer:
    old = _OLD | {"links": [{"rel": "self", "href": f"{call.cloud.settings.url}/compute/v2/"}]}
    return Answer({"versions": [old, _version(call, "CURRENT")]})


async def version(call: Call) -> Answer:
    described = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
    media = {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    view = _version(call, "CURRENT")
    return Answer({"version": view | {"links": [*view["links"], described], "media-types": [media]}})


async def list_flavors(call: Call) -> Answer:
    flavors = _visible(call)
    brief: list[dict[str, Any]] = [
        {"id": each.id, "name": each.name, "links": link_pair(call.cloud, f"flavors/{each.id}")} for each in flavors
    ]
    if call.at_least(55):
        brief = [each | {"description": None} for each in brief]
    return Answer({"flavors": brief})


async def list_flavor_details(call: Call) -> Answer:
    return Answer({"flavors": [_flavor_view(call, flavor) for flavor in _visible(call)]})


async def show_flavor(call: Call) -> Answer:
    return Answer({"flavor": _flavor_view(call, _flavor_of(call))})


async def extra_specs(call: Call) -> Answer:
    return Answer({"extra_specs": dict(_flavor_of(call).extra_specs)})


async def create_flavor(call: Call) -> Answer:
    admin_only(call, "os_compute_api:os-flavor-manage:create")
    raise Refusal(409, "devcloud reads its flavors from a file; restart it with another one.")


async def zones(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"availabilityZoneInfo": [{"zoneName": ZONE, "zoneState": {"available": True}, "hosts": None}]})


async def hypervisors(call: Call) -> Answer:
    admin_only(call, "os_compute_api:os-hypervisors:list")
    up = {"state": "up", "status": "enabled"}
    hosts = all_hosts(call.cloud.flavors.values())
    return Answer({"hypervisors": [{"id": host, "hypervisor_hostname": host, **up} for host in hosts]})


async def services(call: Call) -> Answer:
    admin_only(call, "os_compute_api:os-services:list")
    up = {"binary": "nova-compute", "zone": ZONE, "status": "enabled", "state": "up"}
    plain = up | {"disabled_reason": None, "updated_at": None, "forced_down": False}
    hosts = all_hosts(call.cloud.flavors.values())
    return Answer({"services": [{"id": host, "host": host, **plain} for host in hosts]})


async def server_groups(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"server_groups": []})


async def extensions(call: Call) -> Answer:  # noqa: ARG001
    return Answer({"extensions": []})


async def external_events(call: Call) -> Answer:
    events = call.body.get("events", []) if isinstance(call.body, dict) else []
    if not events:
        raise refuse("events", events, f"{events!r} should be non-empty")
    admin_only(call, "os_compute_api:os-server-external-events:create")
    answers = []
    for event in events:
        known = call.cloud.store.get(Server, str(event.get("server_uuid"))) is not None
        answers.append({**event, "status": "completed" if known else "failed", "code": 200 if known else 404})
    return Answer({"events": answers}, 200 if all(each["code"] == 200 for each in answers) else 207)


def _visible(call: Call) -> list[Flavor]:
    """All flavors, ordered and cut as the query asks."""
    keys: dict[str, Any] = {
        "flavorid": lambda flavor: flavor.id,
        "name": lambda flavor: flavor.name,
        "memory_mb": lambda flavor: flavor.ram_mb,
        "vcpus": lambda flavor: flavor.vcpus,
    }
    key = keys.get(call.query.get("sort_key", ""), keys["memory_mb"])
    found = sorted(call.cloud.flavors.values(), key=key, reverse=call.query.get("sort_dir") == "desc")
    marker = call.query.get("marker")
    if marker:
        ids = [flavor.id for flavor in found]
        if marker not in ids:
            raise Refusal(400, f"marker [{marker}] not found")
        found = found[ids.index(marker) + 1 :]
    limit = call.query.get("limit", "")
    return found[: int(limit)] if limit.isdecimal() else found


def _flavor_of(call: Call) -> Flavor:
    key = call.names["flavor_id"]
    for flavor in call.cloud.flavors.values():
        if flavor.id == key:
            return flavor
    raise Refusal(404, f"Flavor {key} could not be found.")


def _flavor_view(call: Call, flavor: Flavor) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "swap": 0 if call.at_least(75) else "",
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 1.0,
        "links": link_pair(call.cloud, f"flavors/{flavor.id}"),
    }
    if call.at_least(55):
        view["description"] = None
    if call.at_least(61):
        view["extra_specs"] = dict(flavor.extra_specs)
    return view


def _version(call: Call, status: str) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": status,
        "version": str(HIGHEST),
        "min_version": str(LOWEST),
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": f"{call.cloud.settings.url}/compute/v2.1/"}],
    }


ROUTES = (
    Route("GET", "", "versions", versions, open=True, versioned=False),
    Route("GET", "/", "versions", versions, open=True, versioned=False),
    Route("GET", "/v2.1", "version", version, open=True),
    Route("GET", "/v2.1/", "version", version, open=True),
    Route("GET", "/v2.1/flavors", "flavors.list", list_flavors),
    Route("GET", "/v2.1/flavors/detail", "flavors.list", list_flavor_details),
    Route("POST", "/v2.1/flavors", "flavors.create", create_flavor),
    Route("GET", "/v2.1/flavors/{flavor_id}", "flavors.show", show_flavor),
    Route("GET", "/v2.1/flavors/{flavor_id}/os-extra_specs", "flavors.show", extra_specs),
    Route("GET", "/v2.1/os-availability-zone", "zones.list", zones),
    Route("GET", "/v2.1/os-hypervisors", "hypervisors.list", hypervisors),
    Route("GET", "/v2.1/os-services", "services.list", services),
    Route("GET", "/v2.1/os-server-groups", "server_groups.list", server_groups),
    Route("GET", "/v2.1/extensions", "extensions.list", extensions),
    Route("POST", "/v2.1/os-server-external-events", "external_events.create", external_events),
)
