"""Ports: one address each, made by a user or by Nova for an instance."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from js2spawner.devcloud.addresses import free_address
from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.attributes import asked, invalid
from js2spawner.devcloud.neutron.collection import check_quota, page, visible
from js2spawner.devcloud.neutron.groups import default_group, find_group
from js2spawner.devcloud.records import FloatingIp, Interface, Network, Port, Server, Subnet, WantedInterface

_OWNER = "compute:nova"


def new_port(
    cloud: DevCloud, network: Network, *, project_id: str, group_ids: tuple[str, ...], address: str = ""
) -> Port:
    """A port with a free address, not yet stored; without one where the network has no subnet.

    Raises Refusal when no address is left, or the wished one is taken or of no subnet here.
    """
    subnet = _subnet_for(cloud, network, address)
    taken = _taken(cloud, network)
    if address and address in taken:
        text = f"IP address {address} already allocated in subnet {subnet.id if subnet else ''}"
        raise Refusal(409, text, kind="IpAddressAlreadyAllocated")
    given = address or (free_address(IPv4Network(subnet.cidr), taken, cloud.random) if subnet else "")
    if given is None:
        raise Refusal(
            409, f"No more IP addresses available on network {network.id}.", kind="IpAddressGenerationFailure"
        )
    now = cloud.clock.now()
    mac = "fa:16:3e:" + ":".join(f"{cloud.random.randrange(256):02x}" for _ in range(3))
    return Port(new_id(), project_id, network.id, subnet.id if subnet else "", given, mac, group_ids, now, now)


def _taken(cloud: DevCloud, network: Network) -> set[str]:
    """The addresses a network cannot give: its own ports', and any on loopback, which this machine has only once."""
    return {
        port.address
        for port in cloud.store.all(Port)
        if port.network_id == network.id or (port.address and IPv4Address(port.address).is_loopback)
    }


def _subnet_for(cloud: DevCloud, network: Network, address: str) -> Subnet | None:
    """The subnet of a wished address, or the network's first."""
    subnets = [known for known in cloud.store.all(Subnet) if known.network_id == network.id]
    if not address:
        return next(iter(subnets), None)
    for subnet in subnets:
        if IPv4Address(address) in IPv4Network(subnet.cidr):
            return subnet
    text = f"IP address {address} is not a valid IP for any of the subnets on the specified network."
    raise Refusal(400, text, kind="InvalidIpForNetwork")


def bind(cloud: DevCloud, server: Server, group_ids: tuple[str, ...]) -> None:
    """Give a server the interfaces it wants. Doing it twice gives no second ones."""
    held = ports_of(cloud, server.id)
    now = cloud.clock.now()
    for wanted in server.wanted:
        if wanted.port_id:
            port = cloud.store.get(Port, wanted.port_id)
            if port:
                _check_bootable(cloud, port)
                cloud.store.put(bound(port, server, now_updated=now))
        elif not any(port.network_id == wanted.network_id and port.with_instance for port in held):
            network = cloud.store.get(Network, wanted.network_id)
            if network:
                cloud.store.put(made_for(cloud, server, network, wanted, group_ids))


def made_for(
    cloud: DevCloud, server: Server, network: Network, wanted: WantedInterface, group_ids: tuple[str, ...]
) -> Port:
    """A port made by Nova for a server, which dies with it."""
    port = new_port(cloud, network, project_id=server.project_id, group_ids=group_ids, address=wanted.address)
    _check_bootable(cloud, port)
    return replace(bound(port, server, now_updated=port.created), with_instance=True)


def bound(port: Port, server: Server, *, now_updated: Any) -> Port:
    """The port once it is a server's."""
    return replace(port, device_id=server.id, device_owner=_OWNER, status="ACTIVE", updated=now_updated)


def set_status(cloud: DevCloud, server_id: str, status: str) -> None:
    """A server's ports are DOWN while it is on no host."""
    for port in ports_of(cloud, server_id):
        cloud.store.put(replace(port, status=status, updated=cloud.clock.now()))


def unbind(cloud: DevCloud, server_id: str) -> None:
    """Take a server's interfaces away: ports Nova made are deleted, a user's own are set free."""
    for port in ports_of(cloud, server_id):
        release(cloud, port)


def release(cloud: DevCloud, port: Port) -> None:
    if port.with_instance:
        _drop(cloud, port)
    else:
        now = cloud.clock.now()
        cloud.store.put(replace(port, device_id="", device_owner="", status="DOWN", updated=now))


def _check_bootable(cloud: DevCloud, port: Port) -> None:
    """An instance is a process on this machine, so it can only have an address that is one of this machine's."""
    inside = cloud.settings.addresses
    if not port.address or IPv4Address(port.address) not in inside:
        raise Refusal(400, f"This devcloud boots instances on addresses within {inside} only; use a subnet there.")


def ports_of(cloud: DevCloud, server_id: str) -> list[Port]:
    return [port for port in cloud.store.all(Port) if port.device_id == server_id]


def interfaces(cloud: DevCloud, server_id: str) -> tuple[Interface, ...]:
    """What Nova's information cache is to say of a server's ports."""
    found = []
    floating = {known.port_id: known.address for known in cloud.store.all(FloatingIp)}
    for port in ports_of(cloud, server_id):
        network = cloud.store.get(Network, port.network_id)
        name = network.name if network else ""
        found.append(
            Interface(port.id, port.network_id, name, port.subnet_id, port.address, port.mac, floating.get(port.id))
        )
    return tuple(found)


async def list_ports(call: Call) -> Answer:
    return page(call, "ports", (port_view(port) for port in visible(call, Port)))


async def create_port(call: Call) -> Answer:
    body = asked(call, "port", "ports")
    address, group_ids = _address(body.get("fixed_ips")), _groups(call, body.get("security_groups"))
    network = _network_for(call, str(body.get("network_id")))
    check_quota(call, "port", Port)
    port = new_port(call.cloud, network, project_id=call.project_id, group_ids=group_ids, address=address)
    named = replace(
        port,
        name=str(body.get("name") or ""),
        description=str(body.get("description") or ""),
        tags=tuple(body.get("tags") or ()),
    )
    return Answer({"port": port_view(call.cloud.store.put(named))}, 201)


async def show_port(call: Call) -> Answer:
    return Answer({"port": port_view(_port_of(call))})


async def update_port(call: Call) -> Answer:
    port, body = _port_of(call), asked(call, "port", "ports")
    groups = _groups(call, body["security_groups"]) if "security_groups" in body else port.group_ids
    changed = replace(
        port,
        name=str(body.get("name", port.name)),
        description=str(body.get("description", port.description)),
        group_ids=groups,
        updated=call.cloud.clock.now(),
    )
    call.cloud.store.put(changed)
    if changed.device_id:
        await call.cloud.life.network_changed(changed.device_id)
    return Answer({"port": port_view(changed)})


async def delete_port(call: Call) -> Answer:
    port = _port_of(call)
    if port.device_id and not call.caller.admin:
        # The port of an instance is Nova's to delete.
        raise Refusal(403, "rule:delete_port is disallowed by policy", kind="PolicyNotAuthorized")
    _drop(call.cloud, port)
    if port.device_id:
        await call.cloud.life.network_changed(port.device_id)
    return NOTHING


def port_view(port: Port) -> dict[str, Any]:
    return {
        "id": port.id,
        "name": port.name,
        "network_id": port.network_id,
        "tenant_id": port.project_id,
        "project_id": port.project_id,
        "mac_address": port.mac,
        "admin_state_up": True,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": [{"subnet_id": port.subnet_id, "ip_address": port.address}] if port.address else [],
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "security_groups": list(port.group_ids),
        "description": port.description,
        "binding:vnic_type": "normal",
        "port_security_enabled": True,
        "tags": list(port.tags),
        "created_at": iso(port.created),
        "updated_at": iso(port.updated),
        "revision_number": 4 if port.device_id else 1,
    }


def _address(wanted: object) -> str:
    """The first address of `fixed_ips`, or none."""
    first = wanted[0] if isinstance(wanted, list) and wanted else {}
    address = str(first.get("ip_address", "")) if isinstance(first, dict) else ""
    try:
        return str(IPv4Address(address)) if address else ""
    except ValueError as problem:
        raise invalid("fixed_ips", f"'{address}' is not a valid IP address") from problem


def _network_for(call: Call, key: str) -> Network:
    """A network the caller may make ports on."""
    network = call.cloud.store.get(Network, key)
    own = network and (call.caller.admin or network.shared or network.project_id == call.project_id)
    if network is None or not (own or network.external):
        raise Refusal(404, f"Network {key} could not be found.", kind="NetworkNotFound")
    if not own:
        raise Refusal(403, "rule:create_port is disallowed by policy", kind="PolicyNotAuthorized")
    return network


def _groups(call: Call, wanted: object) -> tuple[str, ...]:
    if wanted is None:
        return (default_group(call.cloud, call.project_id).id,)
    if not isinstance(wanted, list):
        raise invalid("security_groups", f"'{wanted}' is not a list")
    found = []
    for key in wanted:
        group = find_group(call.cloud, call.project_id, str(key))
        if group is None:
            raise Refusal(404, f"Security group {key} does not exist", kind="SecurityGroupNotFound")
        found.append(group.id)
    return tuple(found)


def _drop(cloud: DevCloud, port: Port) -> None:
    for floating in cloud.store.all(FloatingIp):
        if floating.port_id == port.id:
            cloud.store.put(replace(floating, port_id=None, updated=cloud.clock.now()))
    cloud.store.remove(port)


def _port_of(call: Call) -> Port:
    key = call.names["id"]
    port = call.cloud.store.get(Port, key)
    if port is None or not (call.caller.admin or port.project_id == call.project_id):
        raise Refusal(404, f"Port {key} could not be found.", kind="PortNotFound")
    return port


ROUTES = (
    Route("GET", "/v2.0/ports", "ports.list", list_ports),
    Route("POST", "/v2.0/ports", "ports.create", create_port),
    Route("GET", "/v2.0/ports/{id}", "ports.show", show_port),
    Route("PUT", "/v2.0/ports/{id}", "ports.update", update_port),
    Route("DELETE", "/v2.0/ports/{id}", "ports.delete", delete_port),
)
