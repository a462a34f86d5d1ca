"""The service catalogue, and the small views that Keystone's answers share."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import User

REGION = "RegionOne"
DOMAIN = {"id": "default", "name": "Default"}


def catalogue(cloud: DevCloud, project_id: str) -> list[dict[str, Any]]:
    """The service catalogue of a project; one entry a service, the same address inside and outside."""
    url = cloud.settings.url
    entries = (
        ("identity", "keystone", f"{url}/identity/v3"),
        ("compute", "nova", f"{url}/compute/v2.1"),
        ("image", "glance", f"{url}/image"),
        ("network", "neutron", f"{url}/network"),
        ("block-storage", "cinder", f"{url}/volume/v3/{project_id}"),
    )
    return [
        {
            "id": stable_id(name),
            "type": kind,
            "name": name,
            "endpoints": [
                {
                    "id": stable_id(f"{name}-{interface}"),
                    "interface": interface,
                    "region_id": REGION,
                    "url": address,
                    "region": REGION,
                }
                for interface in ("internal", "public")
            ],
        }
        for kind, name, address in entries
    ]


def role_view(name: str) -> dict[str, Any]:
    return {"id": stable_id(f"role-{name}"), "name": name}


def own_links(call: Call) -> dict[str, Any]:
    return {"self": f"{call.cloud.settings.url}{call.path}", "previous": None, "next": None}


def stable_id(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, name).hex


def micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def user_of_path(call: Call) -> User:
    key = call.names["user_id"]
    user = call.cloud.store.get(User, key)
    if user is None or (key != call.caller.user.id and not call.caller.admin):
        raise Refusal(404, f"Could not find user: {key}.")
    return user
