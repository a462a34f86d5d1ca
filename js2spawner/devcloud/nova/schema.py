"""The checks Nova makes before it looks anything up, with its own texts (jsonschema's, wrapped)."""

from __future__ import annotations

import re
from typing import Any

from js2spawner.devcloud.errors import Refusal

MAX_USER_DATA = 65_535
MAX_TAGS = 50
MAX_TAG_LENGTH = 60
MAX_METADATA_LENGTH = 255
MAX_DESCRIPTION = 255
_TAG = re.compile(r"[^,/]*")
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_METADATA_KEY = re.compile(rf"[a-zA-Z0-9-_:. ]{{1,{MAX_METADATA_LENGTH}}}")
_NO_SCHEMA = "is not valid under any of the given schemas"
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


def refuse_query(name: str, value: str, why: str) -> Refusal:
    return Refusal(400, f"Invalid input for query parameters {name}. Value: {value}. {why}")


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def check_members(field: str, value: object, *, known: set[str], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these members and no others, some of which have to be there."""
    if not isinstance(value, dict):
        raise refuse(field, value, f"{value!r} is not of type 'object'")
    if unexpected := [repr(name) for name in value if name not in known]:
        be = "was" if len(unexpected) == 1 else "were"
        text = f"Additional properties are not allowed ({', '.join(unexpected)} {be} unexpected)"
        raise refuse(field, value, text)
    for name in required:
        if name not in value:
            raise refuse(field, value, f"'{name}' is a required property")
    return value


def check_create(asked: dict[str, Any], minor: int) -> None:
    """Refuse a create request that is malformed for its microversion."""
    allowed = {name for since, names in _CREATE_MEMBERS.items() if since <= minor for name in names}
    required = ("name", "flavorRef", *(("networks",) if minor >= 37 else ()))
    check_members("server", asked, known=allowed, required=required)
    check_name("name", asked["name"])
    check_length("description", asked.get("description"), MAX_DESCRIPTION)
    if (image := asked.get("imageRef", "")) and not is_uuid(image):
        raise refuse("imageRef", image, f"{image!r} {_NO_SCHEMA}")
    check_length("user_data", asked.get("user_data"), MAX_USER_DATA)
    check_metadata(asked.get("metadata", {}))
    if "tags" in asked:
        check_tags(asked["tags"])
    _check_networks(asked.get("networks", []))


def _check_networks(networks: object) -> None:
    good = (
        all(is_uuid(each.get("uuid", each.get("port"))) for each in networks)
        if isinstance(networks, list)
        else networks in ("auto", "none")
    )
    if not good:
        raise refuse("networks", networks, f"{networks!r} {_NO_SCHEMA}")


def check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict):
        raise refuse("metadata", metadata, f"{metadata!r} is not of type 'object'")
    for key, value in metadata.items():
        if not _METADATA_KEY.fullmatch(key):
            shape = f"^[a-zA-Z0-9-_:. ]{{1,{MAX_METADATA_LENGTH}}}$"
            raise refuse("metadata", metadata, f"{key!r} does not match any of the regexes: '{shape}'")
        if not isinstance(value, str):
            raise refuse(key, value, f"{value!r} is not of type 'string'")
        check_length(key, value, MAX_METADATA_LENGTH)


def check_tags(tags: object) -> None:
    if not isinstance(tags, list):
        raise refuse("tags", tags, f"{tags!r} is not of type 'array'")
    if len(tags) > MAX_TAGS:
        raise refuse("tags", tags, f"{tags!r} is too long")
    for place, tag in enumerate(tags):
        check_tag(str(place), tag)


def check_tag(field: str, tag: object) -> None:
    if why := wrong_with_tag(tag):
        raise refuse(field, tag, why)


def wrong_with_tag(tag: object) -> str:
    """What Nova has against a tag, or nothing."""
    if not isinstance(tag, str):
        return f"{tag!r} is not of type 'string'"
    if not tag:
        return f"{tag!r} should be non-empty"
    if not _TAG.fullmatch(tag):
        return f"{tag!r} does not match '^[^,/]*$'"
    return f"{tag!r} is too long" if len(tag) > MAX_TAG_LENGTH else ""


def check_name(field: str, name: object) -> None:
    if name == "":
        raise refuse(field, name, f"{name!r} should be non-empty")
    if name is None:
        raise refuse(field, name, "None is not of type 'string'")
    check_length(field, name, 255)


def check_length(field: str, value: object, at_most: int) -> None:
    """A string of at most so many characters, or nothing at all."""
    if value is None:
        return
    if not isinstance(value, str):
        raise refuse(field, value, f"{value!r} is not of type 'string'")
    if len(value) > at_most:
        raise refuse(field, value, f"{value!r} is too long")
