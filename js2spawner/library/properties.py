"""What a published image says of itself in Glance, and what is ours among it.

Glance keeps values to 255 characters and an image to 128 properties (its defaults), so the list of software goes over
several. Everybody on the allocation can write properties: what is read here is hostile until `signing` vouches for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

IMAGE = "js2_image"
BUILD = "js2_build"
DEFINITION = "js2_definition"
MADE_WITH = "js2_made_with"
"""Names the guest program in it and the builder's code: `baked.digest`."""

BUILT_AT = "js2_built_at"
REBUILD_AFTER_DAYS = "js2_rebuild_after_days"
"""How old its definition lets it become, as a number: the hub's library page says when it is due."""
TITLE = "js2_title"
LICENCES = "js2_licences"
SIGNATURE = "js2_signature"
PROMOTED_AT = "js2_promoted_at"
"""When it became current, ISO 8601 in UTC: of an image's versions the one promoted last is the current one."""

WITHDRAWN_AT = "js2_withdrawn_at"
"""When somebody went back from it to the version before, likewise."""

UNTESTED = "js2_untested"
"""There, and "yes", if it was published without a boot test."""

KIND = "js2_kind"
PUBLISHED, SAVED = "published", "saved"
"""Of the library, or saved by a user from a running instance."""

BUILT = "built"
"""The kind of a derived build that is whole and was not published yet."""

BUILT_BY, BUILT_AS = "js2_built_by", "js2_built_as"
"""The id of the builder, and of the image itself: in a snapshot of its instances, which Nova gives the same
properties, that is the id of another image."""

SOFTWARE = "js2_software_"
"""Followed by a number from 00: the parts of `software.packed`."""

VALUE_AT_MOST = 255
PARTS_AT_MOST = 80
PROPERTIES_AT_MOST = 128
"""Of one image, all of them together: what Nova and a base gave it count too."""

HARDWARE = {
    "hw_disk_bus": "scsi",
    "hw_scsi_model": "virtio-scsi",
    "hw_qemu_guest_agent": "yes",
    "os_require_quiesce": "yes",
}
"""What Jetstream2 asks of images (its documentation, "Image hardware properties")."""


def instant(now: datetime) -> str:
    """A moment as a property holds it."""
    return now.astimezone(UTC).isoformat(timespec="microseconds")


def in_parts(packed: str, most: int = PARTS_AT_MOST) -> dict[str, str]:
    """A packed list of software as properties. Raises ValueError if it takes more than `most`."""
    parts = [packed[start : start + VALUE_AT_MOST] for start in range(0, len(packed), VALUE_AT_MOST)]
    if len(parts) > most:
        raise ValueError(f"the list of software needs {len(parts)} properties; at most {most} are possible")
    return {f"{SOFTWARE}{number:02}": part for number, part in enumerate(parts)}


def from_parts(properties: Mapping[str, str]) -> str:
    """The packed list again; empty when the image has none."""
    found = sorted(name for name in properties if name.startswith(SOFTWARE))
    return "".join(properties[name] for name in found[:PARTS_AT_MOST])
