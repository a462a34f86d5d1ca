"""Networks, subnets and get-me-a-network."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from js2spawner.devcloud.addresses import gateway
from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.clock import iso
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.attributes import asked
from js2spawner.devcloud.neutron.collection import check_quota, page, visible
from js2spawner.devcloud.records import Network, Port, Subnet

_INPUT = "InvalidInput"
_IP_VERSIONS = (4, "4")
AUTO_NAME = "auto_allocated_network"
EXTERNAL_NAME = "public"
FLOATING_RANGE = IPv4Network("198.51.100.0/24")  # TEST-NET-2 (RFC 5737): never a real machine's


def auto_network(cloud: DevCloud, project_id: str) -> Network:
    """The project's automatic network (get-me-a-network), made the first time it is asked for."""
    for network in cloud.store.all(Network):
        if network.auto_allocated and network.project_id == project_id:
            return network
    now = cloud.clock.now()
    network = Network(new_id(), project_id, AUTO_NAME, external=False, created=now, auto_allocated=True)
    cidr = str(cloud.settings.addresses)
    cloud.store.put(Subnet(new_id(), network.id, project_id, "auto_allocated_subnet_v4", cidr, now))
    return cloud.store.put(network)


def external_network(cloud: DevCloud, project_id: str) -> Network:
    """The one external network, owned by the admin's project."""
    for network in cloud.store.all(Network):
        if network.external:
            return network
    now = cloud.clock.now()
    network = Network(new_id(), project_id, EXTERNAL_NAME, external=True, created=now)
    cloud.store.put(Subnet(new_id(), network.id, project_id, "public-v4", str(FLOATING_RANGE), now))
    return cloud.store.put(network)


def usable(cloud: DevCloud, project_id: str, network_id: str) -> Network | None:
    """A network this project may put ports on."""
    network = cloud.store.get(Network, network_id)
    if network and not network.external and (network.shared or network.project_id == project_id):
        return network
    return None


async def list_networks(call: Call) -> Answer:
    auto_network(call.cloud, call.project_id)
    found = {network.id: network for network in visible(call, Network)}
    common = {network.id: network for network in call.cloud.store.all(Network) if network.external or network.shared}
    return page(call, "networks", [network_view(call.cloud, network) for network in (found | common).values()])


async def create_network(call: Call) -> Answer:
    body = asked(call, "network", "networks")
    check_quota(call, "network", Network)
    if body.get("router:external") and not call.caller.admin:
        text = "(rule:create_network and rule:create_network:router:external) is disallowed by policy"
        raise Refusal(403, text, kind="PolicyNotAuthorized")
    network = Network(
        new_id(),
        call.project_id,
        str(body.get("name") or ""),
        external=False,
        created=call.cloud.clock.now(),
        description=str(body.get("description") or ""),
        shared=bool(body.get("shared")) and call.caller.admin,
    )
    view = network_view(call.cloud, call.cloud.store.put(network))
    return Answer({"network": {**view, "is_default": False}}, 201)


async def show_network(call: Call) -> Answer:
    return Answer({"network": network_view(call.cloud, _network_of(call))})


async def update_network(call: Call) -> Answer:
    network, body = _own(call, _network_of(call), "update_network"), asked(call, "network", "networks")
    changed = replace(
        network,
        name=str(body.get("name", network.name)),
        description=str(body.get("description", network.description)),
    )
    return Answer({"network": network_view(call.cloud, call.cloud.store.put(changed))})


async def delete_network(call: Call) -> Answer:
    network = _own(call, _network_of(call), "delete_network")
    ports = [port.id for port in call.cloud.store.all(Port) if port.network_id == network.id]
    if ports:
        raise Refusal(
            409,
            f"Unable to complete operation on network {network.id}. There are one or more ports still in use on the "
            f"network, id for these ports is: {','.join(ports)}.",
            kind="NetworkInUse",
        )
    for subnet in call.cloud.store.all(Subnet):
        if subnet.network_id == network.id:
            call.cloud.store.remove(subnet)
    call.cloud.store.remove(network)
    return NOTHING


async def list_subnets(call: Call) -> Answer:
    auto_network(call.cloud, call.project_id)
    common = {network.id for network in call.cloud.store.all(Network) if network.external or network.shared}
    own = {subnet.id for subnet in visible(call, Subnet)}
    found = [subnet for subnet in call.cloud.store.all(Subnet) if subnet.id in own or subnet.network_id in common]
    return page(call, "subnets", [subnet_view(call.cloud, subnet) for subnet in found])


async def create_subnet(call: Call) -> Answer:
    body = asked(call, "subnet", "subnets")
    if body.get("ip_version") not in _IP_VERSIONS:
        raise Refusal(400, f"Invalid input for operation: '{body.get('ip_version')}' is not an integer.", kind=_INPUT)
    network = call.cloud.store.get(Network, str(body.get("network_id")))
    if network is None or not (call.caller.admin or network.project_id == call.project_id):
        raise Refusal(404, f"Network {body.get('network_id')} could not be found.", kind="NetworkNotFound")
    cidr = _cidr(call.cloud, network, body.get("cidr"))
    check_quota(call, "subnet", Subnet)
    subnet = Subnet(
        new_id(),
        network.id,
        call.project_id,
        str(body.get("name") or ""),
        cidr,
        call.cloud.clock.now(),
        description=str(body.get("description") or ""),
        dhcp=body.get("enable_dhcp") is not False,
    )
    return Answer({"subnet": subnet_view(call.cloud, call.cloud.store.put(subnet))}, 201)


async def show_subnet(call: Call) -> Answer:
    return Answer({"subnet": subnet_view(call.cloud, _subnet_of(call))})


async def delete_subnet(call: Call) -> Answer:
    subnet = _subnet_of(call)
    if any(port.subnet_id == subnet.id for port in call.cloud.store.all(Port)):
        reason = "One or more ports have an IP allocation from this subnet."
        text = f"Unable to complete operation on subnet {subnet.id}: {reason}"
        raise Refusal(409, text, kind="SubnetInUse")
    call.cloud.store.remove(subnet)
    return NOTHING


async def auto_topology(call: Call) -> Answer:
    key = call.names["project_id"]
    if key not in ("null", "None", call.project_id) and not call.caller.admin:
        raise Refusal(403, "Not authorized.", kind="NotAuthorized")
    if "dry-run" in call.query.getall("fields", []):
        return Answer({"auto_allocated_topology": {"id": "dry-run=pass", "project_id": call.project_id}})
    network = auto_network(call.cloud, call.project_id)
    view = {"id": network.id, "tenant_id": call.project_id, "project_id": call.project_id}
    return Answer({"auto_allocated_topology": view})


def network_view(cloud: DevCloud, network: Network) -> dict[str, Any]:
    return {
        "id": network.id,
        "name": network.name,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "admin_state_up": True,
        "mtu": 1450,
        "status": "ACTIVE",
        "subnets": [subnet.id for subnet in cloud.store.all(Subnet) if subnet.network_id == network.id],
        "shared": network.shared,
        "router:external": network.external,
        **({"is_default": True} if network.external else {}),
        "vlan_transparent": False,
        "qinq": False,
        "availability_zone_hints": [],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "port_security_enabled": True,
        "description": network.description,
        "tags": list(network.tags),
        "created_at": iso(network.created),
        "updated_at": iso(network.created),
        "revision_number": 2,
    }


def subnet_view(cloud: DevCloud, subnet: Subnet) -> dict[str, Any]:
    network, parent = IPv4Network(subnet.cidr), cloud.store.get(Network, subnet.network_id)
    return {
        "id": subnet.id,
        "name": subnet.name,
        "network_id": subnet.network_id,
        "tenant_id": subnet.project_id,
        "project_id": subnet.project_id,
        "ip_version": 4,
        "cidr": subnet.cidr,
        "gateway_ip": str(gateway(network)),
        "enable_dhcp": subnet.dhcp,
        "allocation_pools": [{"start": str(network[2]), "end": str(network[-2])}],
        "dns_nameservers": [],
        "host_routes": [],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "router:external": parent is not None and parent.external,
        "service_types": [],
        "description": subnet.description,
        "tags": list(subnet.tags),
        "created_at": iso(subnet.created),
        "updated_at": iso(subnet.created),
        "revision_number": 0,
    }


def _cidr(cloud: DevCloud, network: Network, text: object) -> str:
    """A subnet's range. It may be any, but instances boot on loopback addresses only (see `ports.made_for`)."""
    if text is None:
        why = "a subnetpool must be specified in the absence of a cidr"
        raise Refusal(400, f"Bad subnets request: {why}.", kind="BadRequest")
    try:
        wanted = IPv4Network(str(text), strict=False)
    except ValueError as problem:
        raise Refusal(400, f"Invalid input for operation: {text} is not in a CIDR format.", kind=_INPUT) from problem
    for subnet in cloud.store.all(Subnet):
        if subnet.network_id == network.id and wanted.overlaps(IPv4Network(subnet.cidr)):
            why = f"Requested subnet with cidr: {wanted} for network: {network.id} overlaps with another subnet"
            raise Refusal(400, f"Invalid input for operation: {why}.", kind=_INPUT)
    return str(wanted)


def _network_of(call: Call) -> Network:
    key = call.names["id"]
    network = call.cloud.store.get(Network, key)
    seen = network and (
        call.caller.admin or network.external or network.shared or network.project_id == call.project_id
    )
    if network is None or not seen:
        raise Refusal(404, f"Network {key} could not be found.", kind="NetworkNotFound")
    return network


def _own(call: Call, network: Network, rule: str) -> Network:
    if network.project_id != call.project_id and not call.caller.admin:
        raise Refusal(403, f"rule:{rule} is disallowed by policy", kind="PolicyNotAuthorized")
    return network


def _subnet_of(call: Call) -> Subnet:
    key = call.names["id"]
    subnet = call.cloud.store.get(Subnet, key)
    if subnet is None or not (call.caller.admin or subnet.project_id == call.project_id):
        raise Refusal(404, f"Subnet {key} could not be found.", kind="SubnetNotFound")
    return subnet


ROUTES = (
    Route("GET", "/v2.0/networks", "networks.list", list_networks),
    Route("POST", "/v2.0/networks", "networks.create", create_network),
    Route("GET", "/v2.0/networks/{id}", "networks.show", show_network),
    Route("PUT", "/v2.0/networks/{id}", "networks.update", update_network),
    Route("DELETE", "/v2.0/networks/{id}", "networks.delete", delete_network),
    Route("GET", "/v2.0/subnets", "subnets.list", list_subnets),
    Route("POST", "/v2.0/subnets", "subnets.create", create_subnet),
    Route("GET", "/v2.0/subnets/{id}", "subnets.show", show_subnet),
    Route("DELETE", "/v2.0/subnets/{id}", "subnets.delete", delete_subnet),
    Route("GET", "/v2.0/auto-allocated-topology/{project_id}", "auto_topology.show", auto_topology),
)
