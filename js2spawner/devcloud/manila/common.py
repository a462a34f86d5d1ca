"""What the parts of Manila share: finding a share, usage against quotas, metadata."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Share

TEXT_AT_MOST = 1023


def share_of(call: Call) -> Share:
    key = call.names["id"]
    share = call.cloud.store.get(Share, key)
    if share is None or (share.project_id != call.project_id and not call.caller.admin):
        raise Refusal(404, f"Share {key} could not be found.")
    return share


def used(cloud: DevCloud, project_id: str) -> dict[str, int]:
    shares = [known for known in cloud.store.all(Share) if known.project_id == project_id]
    return {"shares": len(shares), "gigabytes": sum(known.size_gb for known in shares)}


def check_room(call: Call, shares: int, gigabytes: int) -> None:
    """Raises Refusal (413) when the project may not have so much more."""
    held = used(call.cloud, call.project_id)
    if call.cloud.over(call.project_id, "share.shares", held["shares"] + shares):
        limit = call.cloud.limit(call.project_id, "share.shares")
        raise Refusal(413, f"ShareLimitExceeded: Maximum number of shares allowed ({limit}) exceeded.")
    if call.cloud.over(call.project_id, "share.gigabytes", held["gigabytes"] + gigabytes):
        text = "Requested share exceeds allowed project/user or share type gigabytes quota."
        raise Refusal(413, f"ShareSizeExceedsAvailableQuota: {text}")


def checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise Refusal(400, "Malformed request body.")
    for key, value in metadata.items():
        if not key or len(key) > 255:
            raise Refusal(400, "Invalid metadata: Metadata property key is blank or greater than 255 characters.")
        if not isinstance(value, str) or not value or len(value) > TEXT_AT_MOST:
            text = f"Metadata property value is blank or greater than {TEXT_AT_MOST} characters."
            raise Refusal(400, f"Invalid metadata: {text}")
    return dict(metadata)
