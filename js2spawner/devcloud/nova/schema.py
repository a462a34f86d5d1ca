"""The checks Nova makes before it looks anything up, with its own texts (jsonschema's, wrapped)."""

from __future__ import annotations

import re
from typing import Any

from js2spawner.devcloud.errors import Refusal

MAX_USER_DATA = 65_535
MAX_TAGS = 50
MAX_TAG_LENGTH = 60
MAX_METADATA_LENGTH = 255
_TAG = re.compile(r"[^,/]*")
_CREATE_MEMBERS = {
    1: {
        "name", "imageRef", "flavorRef", "adminPass", "metadata", "networks", "OS-DCF:diskConfig", "accessIPv4",
        "accessIPv6", "personality", "availability_zone", "block_device_mapping", "block_device_mapping_v2",
        "config_drive", "key_name", "min_count", "max_count", "return_reservation_id", "security_groups", "user_data",
    },
    19: {"description"},
    52: {"tags"},
    63: {"trusted_image_certificates"},
    74: {"host", "hypervisor_hostname"},
    90: {"hostname"},
}  # fmt: skip


def refuse(field: str, value: object, why: str) -> Refusal:
    return Refusal(400, f"Invalid input for field/attribute {field}. Value: {value}. {why}")


def check_create(asked: dict[str, Any], minor: int) -> None:
    """Refuse a create request that is malformed for its microversion."""
    allowed = {name for since, names in _CREATE_MEMBERS.items() if since <= minor for name in names}
    unexpected = [repr(name) for name in asked if name not in allowed]
    if unexpected:
        be = "was" if len(unexpected) == 1 else "were"
        text = f"Additional properties are not allowed ({', '.join(unexpected)} {be} unexpected)"
        raise refuse("server", asked, text)
    required = ["name", "flavorRef"] + (["networks"] if minor >= 37 else [])
    for name in required:
        if name not in asked:
            raise refuse("server", asked, f"'{name}' is a required property")
    _check_name("name", asked["name"])
    _check_user_data(asked.get("user_data"))
    check_metadata(asked.get("metadata", {}))
    if "tags" in asked:
        check_tags(asked["tags"])
    networks = asked.get("networks", [])
    if not isinstance(networks, list) and networks not in ("auto", "none"):
        raise refuse("networks", networks, f"{networks!r} is not valid under any of the given schemas")


def check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict):
        raise refuse("metadata", metadata, f"{metadata!r} is not of type 'object'")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise refuse(key, value, f"{value!r} is not of type 'string'")
        if len(value) > MAX_METADATA_LENGTH:
            raise refuse(key, value, f"{value!r} is too long")
        if not 0 < len(key) <= MAX_METADATA_LENGTH:
            raise refuse(
                "metadata", metadata, f"{key!r} does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{{1,255}}$'"
            )


def check_tags(tags: object) -> None:
    if not isinstance(tags, list):
        raise refuse("tags", tags, f"{tags!r} is not of type 'array'")
    if len(tags) > MAX_TAGS:
        raise refuse("tags", tags, f"{tags!r} is too long")
    for place, tag in enumerate(tags):
        check_tag(str(place), tag)


def check_tag(field: str, tag: object) -> None:
    if not isinstance(tag, str) or not tag:
        raise refuse(
            field, tag, f"{tag!r} is not of type 'string'" if not isinstance(tag, str) else f"{tag!r} is too short"
        )
    if not _TAG.fullmatch(tag):
        raise refuse(field, tag, f"{tag!r} does not match '^[^,/]*$'")
    if len(tag) > MAX_TAG_LENGTH:
        raise refuse(field, tag, f"{tag!r} is too long")


def _check_name(field: str, name: object) -> None:
    if not isinstance(name, str):
        raise refuse(field, name, f"{name!r} is not of type 'string'")
    if not 0 < len(name) <= 255:
        raise refuse(field, name, f"{name!r} is too {'long' if name else 'short'}")


def _check_user_data(user_data: object) -> None:
    if user_data is None:
        return
    if not isinstance(user_data, str):
        raise refuse("user_data", user_data, f"{user_data!r} is not of type 'string'")
    if len(user_data) > MAX_USER_DATA:
        raise refuse("user_data", user_data, f"{user_data!r} is too long")
