"""What a new cloud gets: a catalogue, people and projects, flavors, networks, images, and a hub's credential."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from openstack import connect
from openstack.connection import Connection

from tests.openstack.rig.layout import ADMIN_PASSWORD, HOST, PEOPLES_PASSWORD, REGION, SERVICE_PASSWORD, Layout, Port
from tests.openstack.rig.processes import until

CATALOGUE = {
    "nova": ("compute", Port.NOVA, "/v2.1"),
    "neutron": ("network", Port.NEUTRON, ""),
    "glance": ("image", Port.GLANCE, ""),
    "placement": ("placement", Port.PLACEMENT, ""),
    "cinder": ("block-storage", Port.CINDER, "/v3"),
}
# Project and user of the same name; the second is somebody whom the first must never meet.
MEMBERS = ("js2", "other")
IMAGES = ("js2-minimal", "js2-scientific", "js2-gpu", "Featured-Ubuntu24")
FLAVORS = Path(__file__).parent / "flavors.yaml"
NETWORK = "js2-net"
# Neutron accepts loopback where it has no DHCP to offer, and there a pretended instance can have its address.
CIDRS = {"js2": "127.77.0.0/22", "other": "127.78.0.0/22"}
# A booted guest has an interface of its own, and DHCP.
CIDRS_OF_BOOTED = {"js2": "10.77.0.0/22", "other": "10.78.0.0/22"}


def admin(layout: Layout) -> Connection:
    return _connection(layout, "admin", ADMIN_PASSWORD)


def member(layout: Layout, name: str) -> Connection:
    return _connection(layout, name, PEOPLES_PASSWORD)


def plant_people(layout: Layout) -> None:
    """Into a Keystone that has been bootstrapped: services with their accounts, projects with their members."""
    cloud = admin(layout)
    identity = cloud.identity
    roles = {role.name: role for role in identity.roles()}
    roles["service"] = roles.get("service") or identity.create_role(name="service")
    service_project = identity.create_project(name="service", domain_id="default")
    for name, (kind, port, path) in CATALOGUE.items():
        url = f"http://{HOST}:{layout.port(port)}{path}"
        service = identity.create_service(name=name, type=kind)
        for interface in ("public", "internal"):
            identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)
        account = identity.create_user(name=name, password=SERVICE_PASSWORD, domain_id="default")
        _grant(cloud, service_project, account, (roles["admin"], roles["service"]))
    for name in MEMBERS:
        project = identity.create_project(name=name, domain_id="default")
        user = identity.create_user(
            name=name, password=PEOPLES_PASSWORD, domain_id="default", default_project_id=project.id
        )
        _grant(cloud, project, user, (roles["member"], roles["reader"]))


def plant_flavors(cloud: Connection) -> None:
    for row in yaml.safe_load(FLAVORS.read_text()):
        flavor = cloud.compute.create_flavor(
            name=row["name"], vcpus=row["vcpus"], ram=row["ram_mb"], disk=row["disk_gb"]
        )
        if "specs" in row:
            cloud.compute.create_flavor_extra_specs(flavor, row["specs"])


def plant_outside(cloud: Connection) -> None:
    """The network that routers lead to, where floating IPs come from."""
    network = cloud.network
    outside = network.create_network(
        name="public", is_router_external=True, provider_network_type="flat", provider_physical_network="outside"
    )
    network.create_subnet(
        network_id=outside.id, name="public", cidr="198.51.100.0/24", ip_version=4, is_dhcp_enabled=False
    )


def plant_networks(layout: Layout, *, booted: bool) -> None:
    """A network for each project, with a router to the outside."""
    for name in MEMBERS:
        network = member(layout, name).network
        inside = network.create_network(name=NETWORK if name == "js2" else f"{name}-net")
        cidr = (CIDRS_OF_BOOTED if booted else CIDRS)[name]
        subnet = network.create_subnet(
            network_id=inside.id, name=inside.name, cidr=cidr, ip_version=4, is_dhcp_enabled=booted
        )
        if booted:
            # Neutron lets no router onto a subnet of loopback addresses.
            router = network.create_router(
                name=f"{name}-router", external_gateway_info={"network_id": network.find_network("public").id}
            )
            network.add_interface_to_router(router, subnet_id=subnet.id)


def plant_images(cloud: Connection, names: Iterable[str] = IMAGES) -> None:
    """Images of a kibibyte of nothing: a pretended hypervisor never reads them."""
    for name in names:
        cloud.create_image(
            name, data=b"\0" * 1024, disk_format="raw", container_format="bare", visibility="public", min_disk=1
        )


def write_clouds_yaml(layout: Layout) -> None:
    """With a new application credential: what a hub has."""
    owner = member(layout, MEMBERS[0])
    credential = owner.identity.create_application_credential(
        user=owner.current_user_id, name="js2spawner", description="a hub", unrestricted=False
    )
    application = {"application_credential_id": credential.id, "application_credential_secret": credential.secret}
    clouds = {
        "openstack": {"auth_type": "v3applicationcredential", **_entry(layout, application)},
        "openstack-user": _entry(layout, _password(layout, "js2", PEOPLES_PASSWORD)),
        "openstack-other": _entry(layout, _password(layout, "other", PEOPLES_PASSWORD)),
        "openstack-admin": _entry(layout, _password(layout, "admin", ADMIN_PASSWORD)),
    }
    layout.clouds_yaml.touch(mode=0o600)
    layout.clouds_yaml.write_text(yaml.safe_dump({"clouds": clouds}))


def wait_for_compute(layout: Layout, within_s: float) -> None:
    """Until a server could be placed: the compute service is up, and the scheduler knows its host."""
    cloud = admin(layout)

    def placeable() -> bool:
        up = any(each.binary == "nova-compute" and each.state == "up" for each in cloud.compute.services())
        return up and any(True for _ in cloud.compute.hypervisors())

    until(placeable, "nova-compute is up and its host is mapped", within_s)


def _connection(layout: Layout, user: str, password: str) -> Connection:
    return connect(
        load_yaml_config=False,
        load_envvars=False,
        region_name=REGION,
        auth_type="password",
        auth=_password(layout, user, password),
    )


def _password(layout: Layout, user: str, password: str) -> dict[str, str]:
    return {
        "auth_url": layout.keystone_url,
        "username": user,
        "password": password,
        "project_name": user,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


def _entry(layout: Layout, auth: dict[str, str]) -> dict[str, Any]:
    return {"region_name": REGION, "auth": {"auth_url": layout.keystone_url, **auth}}


def _grant(cloud: Connection, project: Any, user: Any, roles: Iterable[Any]) -> None:
    for role in roles:
        cloud.identity.assign_project_role_to_user(project, user, role)
