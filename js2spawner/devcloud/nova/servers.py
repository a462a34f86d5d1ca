"""Servers: list, show, rename, delete."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.faults import bend
from js2spawner.devcloud.nova.create import create
from js2spawner.devcloud.nova.found import server_of, unlocked
from js2spawner.devcloud.nova.pages import page
from js2spawner.devcloud.nova.plans import deleted
from js2spawner.devcloud.nova.schema import check_name
from js2spawner.devcloud.nova.view import addresses, brief_view, host_id, server_json, server_view
from js2spawner.devcloud.records import ActionEntry, Operation, Server

# What Nova's compute service calls the work behind an action.
_EVENTS = {
    "create": "compute__do_build_and_run_instance",
    "delete": "compute_terminate_instance",
    **{action: f"compute_{action}_instance" for action in ("stop", "start", "reboot", "shelve", "unshelve", "rebuild")},
    "createImage": "compute_snapshot_instance",
}


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
    check_name("name", name)
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
        operation = Operation(call.request_id, "delete")
        call.cloud.life.end(deleted(call.cloud, server), operation, user_id=call.caller.user.id)
    elif not doomed:
        plan = {"building": "delete_spawning", "shelved_offloaded": "delete_offloaded"}.get(server.vm_state, "delete")
        call.cloud.life.begin(
            replace(server, task_state="deleting"),
            Operation(call.request_id, plan),
            action="delete",
            user_id=call.caller.user.id,
        )
    return Answer(status=204)


async def show_addresses(call: Call) -> Answer:
    shown = addresses(server_of(call).interfaces)
    brief = {name: [{key: each[key] for key in ("version", "addr")} for each in shown[name]] for name in shown}
    return Answer({"addresses": brief})


async def list_actions(call: Call) -> Answer:
    server = _known_server(call)
    return Answer({"instanceActions": [_action_view(call, server, entry) for entry in reversed(server.actions)]})


async def show_action(call: Call) -> Answer:
    server, request_id = _known_server(call), call.names["request_id"]
    for entry in server.actions:
        if entry.request_id == request_id:
            under_way = server.operation is not None and server.operation.id == request_id
            events = {"events": [] if under_way else [_event_view(call, server, entry)]}
            return Answer({"instanceAction": _action_view(call, server, entry) | (events if call.at_least(51) else {})})
    raise Refusal(404, f"Action {request_id} not found")


def _known_server(call: Call) -> Server:
    """What was done to a server is told after its end too."""
    server = call.cloud.store.get(Server, call.names["server_id"])
    if server is not None and server.project_id == call.project_id and call.at_least(21):
        return server
    return server_of(call)


def _action_view(call: Call, server: Server, entry: ActionEntry) -> dict[str, Any]:
    view = {
        "action": entry.action,
        "instance_uuid": server.id,
        "request_id": entry.request_id,
        "user_id": entry.user_id,
        "project_id": server.project_id,
        "start_time": _micro(entry.start),
        "message": entry.message,
    }
    return view | ({"updated_at": _micro(entry.updated)} if call.at_least(58) else {})


def _event_view(call: Call, server: Server, entry: ActionEntry) -> dict[str, Any]:
    view = {
        "event": _EVENTS.get(entry.action, f"compute_{entry.action}"),
        "start_time": _micro(entry.start),
        "finish_time": _micro(entry.updated),
        "result": "Error" if entry.message else "Success",
    }
    if call.at_least(62):
        view["hostId"] = host_id(server)
    return view | ({"details": None} if call.at_least(84) else {})


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000000")


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
