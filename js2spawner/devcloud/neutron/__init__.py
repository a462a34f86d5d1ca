"""Neutron v2.0: networks, subnets, ports, security groups, floating IPs, quotas."""

from js2spawner.devcloud.calls import Service
from js2spawner.devcloud.neutron import floating, groups, networks, ports, quotas
from js2spawner.devcloud.neutron.collection import tag_routes

SERVICE = Service(
    "network",
    "/network",
    (*quotas.ROUTES, *networks.ROUTES, *ports.ROUTES, *groups.ROUTES, *floating.ROUTES, *tag_routes()),
)
