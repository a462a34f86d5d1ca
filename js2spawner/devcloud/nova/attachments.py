"""A server's volumes and network interfaces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.attaching import OFFLOADED, attach, detach, let_go, volume_in
from js2spawner.devcloud.cloud import new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.groups import find_group
from js2spawner.devcloud.neutron.networks import usable
from js2spawner.devcloud.neutron.ports import bound, interfaces, made_for, ports_of, release
from js2spawner.devcloud.nova.found import in_state, server_of, unlocked
from js2spawner.devcloud.nova.schema import is_uuid, refuse
from js2spawner.devcloud.records import ActionEntry, AttachedVolume, Behaviour, Port, Server, Volume, WantedInterface

_ATTACHABLE = ("active", "stopped", "shelved", "shelved_offloaded", "resized")


async def list_volumes(call: Call) -> Answer:
    server = server_of(call)
    return Answer({"volumeAttachments": [_volume_view(call, server, held) for held in server.volumes]})


async def show_volume(call: Call) -> Answer:
    server = server_of(call)
    return Answer({"volumeAttachment": _volume_view(call, server, _held(call, server))})


async def attach_volume(call: Call) -> Answer:
    server, asked = unlocked(call, server_of(call)), call.member("volumeAttachment")
    key = str(asked.get("volumeId"))
    if not is_uuid(key):
        raise refuse("volumeId", key, f"{key!r} is not a 'uuid'")
    volume = volume_in(call.cloud, server.project_id, key)
    if volume is None:
        raise Refusal(404, f"Volume {key} could not be found.")
    holders = [known.id for known in call.cloud.servers(None) if any(held.volume_id == key for held in known.volumes)]
    if holders:
        text = f"volume {key} is already attached to instances: {', '.join(holders)}"
        raise Refusal(400, f"Invalid volume: {text}")
    if volume.status != "available":
        raise Refusal(
            400, f"Invalid input received: Invalid volume: status must be 'available'. Currently in '{volume.status}'"
        )
    in_state(server, "attach_volume", *_ATTACHABLE)
    ends = bool(asked.get("delete_on_termination")) and call.at_least(79)
    plain = AttachedVolume(key, "", new_id(), new_id(), ends, asked.get("tag"))
    noted = _with_action(call, server, "attach_volume")
    held = attach(call.cloud, noted, volume, plain, call.behaviour or Behaviour())
    if call.at_least(101):
        return Answer(status=202)
    view = _volume_view(call, server, held)
    recorded = {"id": key, "serverId": server.id, "volumeId": key, "device": held.device or None}
    return Answer(
        {"volumeAttachment": recorded | {key: view[key] for key in ("tag", "delete_on_termination") if key in view}}
    )


async def detach_volume(call: Call) -> Answer:
    server = unlocked(call, server_of(call))
    held = _held(call, server)
    volume = call.cloud.store.get(Volume, held.volume_id)
    if server.vm_state == OFFLOADED:
        # No host has to be asked.
        let_go(call.cloud, _with_action(call, server, "detach_volume"), held.volume_id)
        return Answer(status=202)
    if volume is None or volume.status != "in-use":
        text = "Volume status must be 'in-use' and attach_status must be 'attached' to detach."
        raise Refusal(
            400,
            f"Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. {text} (HTTP 400) "
            f"(Request-ID: {call.request_id})",
        )
    in_state(server, "detach_volume", *_ATTACHABLE)
    detach(call.cloud, _with_action(call, server, "detach_volume"), volume, call.behaviour or Behaviour())
    return Answer(status=202)


async def list_interfaces(call: Call) -> Answer:
    server = server_of(call)
    return Answer({"interfaceAttachments": [_interface_view(call, port) for port in ports_of(call.cloud, server.id)]})


async def show_interface(call: Call) -> Answer:
    return Answer({"interfaceAttachment": _interface_view(call, _port(call, server_of(call)))})


async def attach_interface(call: Call) -> Answer:
    server, asked = unlocked(call, server_of(call)), call.member("interfaceAttachment")
    in_state(server, "attach_interface", "active", "stopped")
    port = _asked_port(call, server, asked)
    call.cloud.store.put(port)
    await _refresh(call, server.id)
    return Answer({"interfaceAttachment": _interface_view(call, port)})


async def detach_interface(call: Call) -> Answer:
    server = unlocked(call, server_of(call))
    in_state(server, "detach_interface", "active", "stopped")
    release(call.cloud, _port(call, server))
    await _refresh(call, server.id)
    return Answer(status=202)


def _asked_port(call: Call, server: Server, asked: dict[str, Any]) -> Port:
    if asked.get("port_id"):
        port = call.cloud.store.get(Port, str(asked["port_id"]))
        if port is None or port.project_id != server.project_id:
            raise Refusal(404, f"Port {asked['port_id']} could not be found.")
        if port.device_id:
            raise Refusal(409, f"Port {port.id} is still in use.")
        return bound(port, server, now_updated=call.cloud.clock.now())
    network = usable(call.cloud, server.project_id, str(asked.get("net_id")))
    if network is None:
        raise Refusal(400, f"Network {asked.get('net_id')} could not be found.")
    groups = (find_group(call.cloud, server.project_id, name) for name in server.group_names)
    group_ids = tuple(group.id for group in groups if group)
    return made_for(call.cloud, server, network, WantedInterface(network.id), group_ids)


def _with_action(call: Call, server: Server, action: str) -> Server:
    """The server with one more line in its action log, of something that is no plan of its own."""
    now = call.cloud.clock.now()
    entry = ActionEntry(action, call.request_id, call.caller.user.id, now, now)
    return call.cloud.store.put(replace(server, actions=(*server.actions, entry)))


async def _refresh(call: Call, server_id: str) -> None:
    server = server_of(call)
    call.cloud.store.put(replace(server, interfaces=interfaces(call.cloud, server_id)))
    await call.cloud.life.network_changed(server_id)


def _volume_view(call: Call, server: Server, held: AttachedVolume) -> dict[str, Any]:
    view: dict[str, Any] = {"volumeId": held.volume_id, "serverId": server.id, "device": held.device or None}
    if not call.at_least(89):
        view["id"] = held.volume_id
    if call.at_least(70):
        view["tag"] = held.tag
    if call.at_least(79):
        view["delete_on_termination"] = held.delete_on_termination
    if call.at_least(89):
        view |= {"attachment_id": held.attachment_id, "bdm_uuid": held.mapping_id}
    return view


def _interface_view(call: Call, port: Port) -> dict[str, Any]:
    view: dict[str, Any] = {
        "net_id": port.network_id,
        "port_id": port.id,
        "mac_addr": port.mac,
        "port_state": port.status,
        "fixed_ips": [{"subnet_id": port.subnet_id, "ip_address": port.address}],
    }
    return view | ({"tag": None} if call.at_least(70) else {})


def _held(call: Call, server: Server) -> AttachedVolume:
    key = call.names["volume_id"]
    for held in server.volumes:
        if held.volume_id == key:
            return held
    raise Refusal(404, f"Instance {server.id} is not attached to volume {key}")


def _port(call: Call, server: Server) -> Port:
    key = call.names["port_id"]
    for port in ports_of(call.cloud, server.id):
        if port.id == key:
            return port
    raise Refusal(404, f"Instance {server.id} does not have a port with id {key}")


_VOLUMES = "/v2.1/servers/{server_id}/os-volume_attachments"
_INTERFACES = "/v2.1/servers/{server_id}/os-interface"
ROUTES = (
    Route("GET", _VOLUMES, "volume_attachments.list", list_volumes),
    Route("POST", _VOLUMES, "volume_attachments.create", attach_volume),
    Route("GET", f"{_VOLUMES}/{{volume_id}}", "volume_attachments.show", show_volume),
    Route("DELETE", f"{_VOLUMES}/{{volume_id}}", "volume_attachments.delete", detach_volume),
    Route("GET", _INTERFACES, "interfaces.list", list_interfaces),
    Route("POST", _INTERFACES, "interfaces.create", attach_interface),
    Route("GET", f"{_INTERFACES}/{{port_id}}", "interfaces.show", show_interface),
    Route("DELETE", f"{_INTERFACES}/{{port_id}}", "interfaces.delete", detach_interface),
)
