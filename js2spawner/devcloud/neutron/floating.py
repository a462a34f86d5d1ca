"""Floating IPs. They are recorded and shown like the real ones; no packet reaches an instance through one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.addresses import free_address
from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.attributes import asked
from js2spawner.devcloud.neutron.collection import check_quota, page, visible
from js2spawner.devcloud.neutron.networks import FLOATING_RANGE
from js2spawner.devcloud.records import FloatingIp, Network, Port

ROUTER_ID = "a5704426-3ac3-4631-8572-f81c18424044"


async def list_floating(call: Call) -> Answer:
    return page(call, "floatingips", [floating_view(call.cloud, known) for known in visible(call, FloatingIp)])


async def create_floating(call: Call) -> Answer:
    body = asked(call, "floatingip", "floatingips")
    network = call.cloud.store.get(Network, str(body.get("floating_network_id")))
    if network is None:
        raise Refusal(404, f"Network {body.get('floating_network_id')} could not be found.", kind="NetworkNotFound")
    if not network.external:
        text = f"Bad floatingip request: Network {network.id} is not a valid external network."
        raise Refusal(400, text, kind="BadRequest")
    check_quota(call, "floatingip", FloatingIp)
    port = _free_port(call, body.get("port_id"), network.id)
    address = free_address(
        FLOATING_RANGE, {known.address for known in call.cloud.store.all(FloatingIp)}, call.cloud.random
    )
    if address is None:
        raise Refusal(
            409, f"No more IP addresses available on network {network.id}.", kind="IpAddressGenerationFailure"
        )
    now = call.cloud.clock.now()
    floating = FloatingIp(
        new_id(), call.project_id, network.id, address, now, now,
        port_id=port.id if port else None,
        description=str(body.get("description") or ""),
    )  # fmt: skip
    call.cloud.store.put(floating)
    await _tell_nova(call, port)
    return Answer({"floatingip": floating_view(call.cloud, floating)}, 201)


async def show_floating(call: Call) -> Answer:
    return Answer({"floatingip": floating_view(call.cloud, _floating_of(call))})


async def update_floating(call: Call) -> Answer:
    floating, body = _floating_of(call), asked(call, "floatingip", "floatingips")
    before = call.cloud.store.get(Port, floating.port_id) if floating.port_id else None
    port = _free_port(call, body["port_id"], floating.network_id) if "port_id" in body else before
    changed = replace(
        floating,
        port_id=port.id if port else None,
        description=str(body.get("description", floating.description)),
        updated=call.cloud.clock.now(),
    )
    call.cloud.store.put(changed)
    await _tell_nova(call, before)
    await _tell_nova(call, port)
    return Answer({"floatingip": floating_view(call.cloud, changed)})


async def delete_floating(call: Call) -> Answer:
    floating = _floating_of(call)
    call.cloud.store.remove(floating)
    await _tell_nova(call, call.cloud.store.get(Port, floating.port_id) if floating.port_id else None)
    return NOTHING


def floating_view(cloud: DevCloud, floating: FloatingIp) -> dict[str, Any]:
    port = cloud.store.get(Port, floating.port_id) if floating.port_id else None
    return {
        "id": floating.id,
        "tenant_id": floating.project_id,
        "project_id": floating.project_id,
        "floating_ip_address": floating.address,
        "floating_network_id": floating.network_id,
        "router_id": ROUTER_ID if port else None,
        "port_id": floating.port_id,
        "fixed_ip_address": port.address if port else None,
        "status": "ACTIVE" if port else "DOWN",
        "description": floating.description,
        "port_details": _port_details(port) if port else None,
        "tags": list(floating.tags),
        "created_at": iso(floating.created),
        "updated_at": iso(floating.updated),
        "revision_number": 0,
    }


def _port_details(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "network_id": port.network_id,
        "mac_address": port.mac,
        "admin_state_up": True,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }


def _free_port(call: Call, key: object, network_id: str) -> Port | None:
    """The port to associate, checked: it must exist and have no floating IP yet."""
    if not key:
        return None
    port = call.cloud.store.get(Port, str(key))
    if port is None or not (call.caller.admin or port.project_id == call.project_id):
        raise Refusal(404, f"Port {key} could not be found.", kind="PortNotFound")
    for known in call.cloud.store.all(FloatingIp):
        if known.port_id == port.id:
            raise Refusal(
                409,
                f"Cannot associate floating IP {known.address} ({known.id}) with port {port.id} using fixed IP "
                f"{port.address}, as that fixed IP already has a floating IP on external network {network_id}.",
                kind="FloatingIPPortAlreadyAssociated",
            )
    return port


async def _tell_nova(call: Call, port: Port | None) -> None:
    if port and port.device_id:
        await call.cloud.life.network_changed(port.device_id)


def _floating_of(call: Call) -> FloatingIp:
    key = call.names["id"]
    floating = call.cloud.store.get(FloatingIp, key)
    if floating is None or not (call.caller.admin or floating.project_id == call.project_id):
        raise Refusal(404, f"Floating IP {key} could not be found", kind="FloatingIPNotFound")
    return floating


ROUTES = (
    Route("GET", "/v2.0/floatingips", "floatingips.list", list_floating),
    Route("POST", "/v2.0/floatingips", "floatingips.create", create_floating),
    Route("GET", "/v2.0/floatingips/{id}", "floatingips.show", show_floating),
    Route("PUT", "/v2.0/floatingips/{id}", "floatingips.update", update_floating),
    Route("DELETE", "/v2.0/floatingips/{id}", "floatingips.delete", delete_floating),
)
