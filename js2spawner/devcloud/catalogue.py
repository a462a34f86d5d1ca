"""The service catalogue, and the small views that Keystone's answers share."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import User

_SERVICES = (
    ("identity", "keystone", "/identity/v3"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/network"),
    ("block-storage", "cinder", "/volume/v3"),
    ("shared-file-system", "manila", "/share/v2"),
)
DOMAIN = {"id": "default", "name": "Default"}
MALFORMED = (
    "The server could not comply with the request since it is either malformed or otherwise incorrect. "
    "The client is assumed to be in error."
)


def catalogue(cloud: DevCloud) -> list[dict[str, Any]]:
    """The service catalogue; one entry a service with addresses in every region, the same inside and outside."""
    return [
        {
            "id": stable_id(name),
            "type": kind,
            "name": name,
            "endpoints": [
                {
                    "id": stable_id(f"{region}-{name}-{interface}"),
                    "interface": interface,
                    "region_id": region,
                    "url": (cloud.settings.identity_url if name == "keystone" else place.url) + path,
                    "region": region,
                }
                for region, place in cloud.regions.items()
                for interface in ("internal", "public")
            ],
        }
        for kind, name, path in _SERVICES
    ]


def role_view(name: str) -> dict[str, Any]:
    return {"id": stable_id(f"role-{name}"), "name": name}


def own_links(call: Call) -> dict[str, Any]:
    return {"self": f"{call.cloud.settings.identity_url}{call.path}", "previous": None, "next": None}


def stable_id(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, name).hex


def micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def user_of_path(call: Call, rule: str) -> User:
    """The user in the path, whom only that user and an administrator may ask for. Raises Refusal."""
    key = call.names["user_id"]
    if key != call.caller.user.id and not call.caller.admin:
        raise not_allowed(rule)
    user = call.cloud.store.get(User, key)
    if user is None:
        raise Refusal(404, f"Could not find user: {key}.")
    return user


def not_allowed(rule: str) -> Refusal:
    return Refusal(403, f"You are not authorized to perform the requested action: {rule}.")


def invalid(field: str, value: object, why: str) -> Refusal:
    """What Keystone's JSON schema has against a value."""
    return Refusal(400, f"Invalid input for field/attribute {field}. Value: {value}. {why}")
