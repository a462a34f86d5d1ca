"""Servers: list, show, rename, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import detach_all
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.faults import bend
from js2spawner.devcloud.nova.create import create
from js2spawner.devcloud.nova.found import server_of, unlocked
from js2spawner.devcloud.nova.pages import page
from js2spawner.devcloud.nova.schema import refuse
from js2spawner.devcloud.nova.view import addresses, brief_view, forget, server_json, server_view
from js2spawner.devcloud.records import Operation, Server


async def list_brief(call: Call) -> Answer:
    servers, next_links = page(call)
    body: dict[str, Any] = {"servers": [brief_view(call.cloud, server) for server in servers]}
    return Answer(body | ({"servers_links": next_links} if next_links else {}))


async def list_detail(call: Call) -> Answer:
    servers, next_links = page(call)
    minor, admin = call.version.minor, call.caller.admin
    rows = b", ".join(server_json(call.cloud, server, minor, admin=admin) for server in servers)
    if not next_links:
        return Answer(b'{"servers": [' + rows + b"]}")
    link = f'[{{"rel": "next", "href": "{next_links[0]["href"]}"}}]'.encode()
    return Answer(b'{"servers": [' + rows + b'], "servers_links": ' + link + b"}")


async def show(call: Call) -> Answer:
    server = server_of(call)
    view = server_view(call.cloud, server, call.version.minor, admin=call.caller.admin, alone=True)
    return Answer({"server": view})


async def update(call: Call) -> Answer:
    server, asked = server_of(call), call.member("server")
    name = asked.get("name", server.name)
    if not isinstance(name, str) or not 0 < len(name) <= 255:
        raise refuse("name", name, f"{name!r} is too {'long' if name else 'short'}")
    description = asked.get("description", server.description) if call.at_least(19) else server.description
    changed = replace(server, name=name, description=description, updated=call.cloud.clock.now())
    call.cloud.store.put(changed)
    view = server_view(call.cloud, changed, call.version.minor, admin=call.caller.admin, alone=True)
    return Answer({"server": view})


async def delete(call: Call) -> Answer:
    """Before a host is chosen, and in ERROR without one, a server is gone at once; on a host it takes its time."""
    server = unlocked(call, server_of(call))
    if call.behaviour:
        server = replace(server, behaviour=bend(server.behaviour, call.behaviour))
    doomed = server.task_state == "deleting" or server.terminated is not None
    if server.host is None and server.vm_state in ("building", "error") and server.behaviour.stuck != "deleting":
        detach_all(call.cloud, server)
        call.cloud.store.remove(server)
        forget(call.cloud, server.id)
    elif not doomed:
        building = server.vm_state == "building"
        plan = "delete_spawning" if building else "delete"
        call.cloud.life.begin(
            replace(server, task_state="deleting"),
            Operation(call.request_id, plan),
            action="delete",
            user_id=call.caller.user.id,
        )
    return Answer(status=204)


async def show_addresses(call: Call) -> Answer:
    return Answer({"addresses": addresses(server_of(call).interfaces)})


async def list_actions(call: Call) -> Answer:
    server = server_of(call)
    return Answer({"instanceActions": [_action_view(server, entry) for entry in reversed(server.actions)]})


async def show_action(call: Call) -> Answer:
    server = server_of(call)
    for entry in server.actions:
        if entry.request_id == call.names["request_id"]:
            return Answer({"instanceAction": _action_view(server, entry) | {"events": []}})
    raise Refusal(404, f"Action for request_id {call.names['request_id']} on instance {server.id} not found")


def _action_view(server: Server, entry: Any) -> dict[str, Any]:
    return {
        "action": entry.action,
        "instance_uuid": server.id,
        "request_id": entry.request_id,
        "user_id": entry.user_id,
        "project_id": server.project_id,
        "start_time": entry.start.strftime("%Y-%m-%dT%H:%M:%S.000000"),
        "message": entry.message,
        "updated_at": entry.updated.strftime("%Y-%m-%dT%H:%M:%S.000000"),
    }


ROUTES = (
    Route("GET", "/v2.1/servers", "servers.list", list_brief),
    Route("GET", "/v2.1/servers/detail", "servers.list", list_detail),
    Route("POST", "/v2.1/servers", "servers.create", create),
    Route("GET", "/v2.1/servers/{server_id}", "servers.show", show),
    Route("PUT", "/v2.1/servers/{server_id}", "servers.update", update),
    Route("DELETE", "/v2.1/servers/{server_id}", "servers.delete", delete),
    Route("GET", "/v2.1/servers/{server_id}/ips", "servers.show", show_addresses),
    Route("GET", "/v2.1/servers/{server_id}/os-instance-actions", "actions.list", list_actions),
    Route("GET", "/v2.1/servers/{server_id}/os-instance-actions/{request_id}", "actions.show", show_action),
)
