"""What the parts of Manila share: finding a share, usage against quotas, metadata."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud.calls import Call
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import Share

TEXT_AT_MOST = 1023


UNKNOWN = "The resource could not be found."
UNKNOWN_TO_ACTIONS = "Resource could not be found."
UNKNOWN_TO_LABELS = "Share not found."


def share_of(call: Call, unknown: str = UNKNOWN) -> Share:
    """The share in the path. Raises Refusal (404) with `unknown`, which each part of Manila words in its own way."""
    key = call.names["id"]
    share = call.cloud.store.get(Share, key)
    if share is None or (share.project_id != call.project_id and not call.caller.admin):
        raise Refusal(404, unknown)
    return share


def used(cloud: DevCloud, project_id: str) -> dict[str, int]:
    shares = [known for known in cloud.store.all(Share) if known.project_id == project_id]
    return {"shares": len(shares), "gigabytes": sum(known.size_gb for known in shares)}


def check_room(call: Call, shares: int, gigabytes: int) -> None:
    """Raises Refusal (413) when the project may not have so much more."""
    held = used(call.cloud, call.project_id)
    if call.cloud.over(call.project_id, "share.gigabytes", held["gigabytes"] + gigabytes):
        text = "Requested share exceeds allowed project/user or share type gigabytes quota."
        # A share that grows is refused in other words than a new one.
        raise Refusal(413, f"ShareSizeExceedsAvailableQuota: {text}") if shares else Refusal(403, text)
    if call.cloud.over(call.project_id, "share.shares", held["shares"] + shares):
        limit = call.cloud.limit(call.project_id, "share.shares")
        text = f"Maximum number of shares allowed ({limit}) either per project/user or share type quota is exceeded."
        raise Refusal(413, f"ShareLimitExceeded: {text}")


def checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise Refusal(400, "Malformed request body")
    for key, value in metadata.items():
        for what, text, most in (("key", key, 255), ("value", value, TEXT_AT_MOST)):
            if not isinstance(text, str):
                raise Refusal(400, "Malformed request body")
            if not text:
                raise Refusal(400, f"Metadata property {what} is blank.")
            if len(text) > most:
                raise Refusal(400, f"Metadata property {what} is greater than {most} characters.")
    return dict(metadata)
