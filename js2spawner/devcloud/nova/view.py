"""How a server looks to a caller: by microversion, by role, in a list or alone.

Nova's REST API version history says which microversion shows what; the shapes are those of recorded answers of Nova 34.
A list of hundreds is asked for every few seconds, so each server's JSON is kept until its record changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from js2spawner.devcloud.clock import iso, iso_micro
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.nova.status import status_of
from js2spawner.devcloud.records import Interface, Server

_WITH_PROGRESS = {"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"}
_WITH_FAULT = {"ERROR", "DELETED"}


def server_json(cloud: DevCloud, server: Server, minor: int, *, admin: bool) -> bytes:
    """A server as an element of a detailed list, encoded."""
    key = (server.id, minor, admin)
    known = cloud.rendered.get(key)
    if known is not None and known[0] is server:
        return known[1]
    encoded = json.dumps(server_view(cloud, server, minor, admin=admin)).encode()
    cloud.rendered[key] = (server, encoded)
    return encoded


def forget(cloud: DevCloud, server_id: str) -> None:
    """Drop what is kept of a server that is gone."""
    for key in [key for key in cloud.rendered if key[0] == server_id]:
        del cloud.rendered[key]


def server_view(cloud: DevCloud, server: Server, minor: int, *, admin: bool, alone: bool = False) -> dict[str, Any]:
    """A server's detailed form. `alone` is GET /servers/{id}, which says a little more than a list."""
    status = status_of(server.vm_state, server.task_state)
    view: dict[str, Any] = {
        "accessIPv4": "",
        "accessIPv6": "",
        "addresses": addresses(server.interfaces),
        "created": iso(server.created),
        "flavor": _flavor(cloud, server, minor),
        "hostId": host_id(server),
        "id": server.id,
        "image": _image(cloud, server),
        "links": links(cloud, server.id),
        "metadata": dict(server.metadata),
        "name": server.name,
        "status": status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "updated": iso(server.updated),
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "nova" if server.host else "",
        "config_drive": "True" if server.config_drive else "",
        "key_name": server.key_name,
        "OS-SRV-USG:launched_at": iso_micro(server.launched),
        "OS-SRV-USG:terminated_at": iso_micro(server.terminated),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": server.power_state,
        "os-extended-volumes:volumes_attached": _volumes(server, minor),
    }
    if status in _WITH_PROGRESS:
        view["progress"] = 0
    if server.interfaces and server.group_names:
        view["security_groups"] = [{"name": name} for name in server.group_names]
    if status in _WITH_FAULT and server.fault:
        view["fault"] = _fault(server, admin=admin)
    _add_later_members(view, server, minor, alone=alone)
    if admin:
        _add_admin_members(view, server, minor)
    return view


def host_id(server: Server) -> str:
    """A name for the hypervisor that differs from project to project."""
    return hashlib.sha224(f"{server.project_id}{server.host}".encode()).hexdigest() if server.host else ""


def brief_view(cloud: DevCloud, server: Server) -> dict[str, Any]:
    return {"id": server.id, "name": server.name, "links": links(cloud, server.id)}


def links(cloud: DevCloud, server_id: str) -> list[dict[str, str]]:
    return link_pair(cloud, f"servers/{server_id}")


def link_pair(cloud: DevCloud, path: str) -> list[dict[str, str]]:
    base = f"{cloud.settings.url}/compute"
    return [{"rel": "self", "href": f"{base}/v2.1/{path}"}, {"rel": "bookmark", "href": f"{base}/{path}"}]


def addresses(interfaces: tuple[Interface, ...]) -> dict[str, list[dict[str, Any]]]:
    """Nova's `addresses`: by network name, fixed and floating."""
    found: dict[str, list[dict[str, Any]]] = {}
    for interface in interfaces:
        entries = found.setdefault(interface.network_name, [])
        entries.append(_address(interface, interface.address, "fixed"))
        if interface.floating:
            entries.append(_address(interface, interface.floating, "floating"))
    return found


def _address(interface: Interface, address: str, kind: str) -> dict[str, Any]:
    return {"version": 4, "addr": address, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": interface.mac}


def _flavor(cloud: DevCloud, server: Server, minor: int) -> dict[str, Any]:
    flavor = server.flavor
    if minor < 47:
        return {"id": flavor.id, "links": link_pair(cloud, f"flavors/{flavor.id}")[1:]}
    return {
        "vcpus": flavor.vcpus,
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "ephemeral": 0,
        "swap": 0,
        "original_name": flavor.name,
        "extra_specs": dict(flavor.extra_specs),
    }


def _image(cloud: DevCloud, server: Server) -> dict[str, Any] | str:
    if server.boot_volume:
        return ""
    return {"id": server.image_id, "links": link_pair(cloud, f"images/{server.image_id}")[1:]}


def _volumes(server: Server, minor: int) -> list[dict[str, Any]]:
    if minor < 3:
        return [{"id": volume.volume_id} for volume in server.volumes]
    return [
        {"id": volume.volume_id, "delete_on_termination": volume.delete_on_termination} for volume in server.volumes
    ]


def _fault(server: Server, *, admin: bool) -> dict[str, Any]:
    fault = server.fault
    if fault is None:
        return {}
    view: dict[str, Any] = {"code": fault.code, "created": iso(fault.created), "message": fault.message}
    return view | {"details": f"devcloud: {fault.message}"} if admin else view


def _add_later_members(view: dict[str, Any], server: Server, minor: int, *, alone: bool) -> None:
    if minor >= 9:
        view["locked"] = bool(server.locked_by)
    if minor >= 19:
        view["description"] = server.description
    if minor >= 26:
        view["tags"] = sorted(server.tags)
    if minor >= 63:
        view["trusted_image_certificates"] = None
    if minor >= 71 and alone:
        view["server_groups"] = []
    if minor >= 73:
        view["locked_reason"] = server.locked_reason
    if minor >= 90:
        view["OS-EXT-SRV-ATTR:hostname"] = server.hostname
    if minor >= 96:
        view["pinned_availability_zone"] = server.zone
    if minor >= 98 and isinstance(view["image"], dict):
        view["image"]["properties"] = {}
    if minor >= 100:
        view["scheduler_hints"] = {}


def _add_admin_members(view: dict[str, Any], server: Server, minor: int) -> None:
    view["OS-EXT-SRV-ATTR:host"] = server.host
    view["OS-EXT-SRV-ATTR:instance_name"] = f"instance-{server.number:08x}"
    view["OS-EXT-SRV-ATTR:hypervisor_hostname"] = server.host
    if minor >= 3:
        view["OS-EXT-SRV-ATTR:hostname"] = server.hostname
        view["OS-EXT-SRV-ATTR:kernel_id"] = ""
        view["OS-EXT-SRV-ATTR:launch_index"] = 0
        view["OS-EXT-SRV-ATTR:ramdisk_id"] = ""
        view["OS-EXT-SRV-ATTR:reservation_id"] = server.reservation_id
        view["OS-EXT-SRV-ATTR:root_device_name"] = "/dev/sda" if server.host or server.launched else None
        view["OS-EXT-SRV-ATTR:user_data"] = server.user_data
    if minor >= 16:
        view["host_status"] = "UP" if server.host else ""
