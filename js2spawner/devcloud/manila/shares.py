"""Shares: created, listed, labelled, grown, deleted; and where they are exported."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.manila.common import (
    UNKNOWN_TO_ACTIONS,
    UNKNOWN_TO_LABELS,
    check_room,
    checked_metadata,
    share_of,
)
from js2spawner.devcloud.manila.exports import apply, path_of
from js2spawner.devcloud.manila.offers import SHARE_TYPE
from js2spawner.devcloud.records import Behaviour, Share

_PROTOCOLS = ("NFS", "CEPHFS")
_DELETABLE = ("available", "error", "inactive")
_ZONE = "nova"
_WORDS = {"1": True, "t": True, "true": True, "on": True, "y": True, "yes": True}
_WORDS |= {"0": False, "f": False, "false": False, "off": False, "n": False, "no": False}


async def list_shares(call: Call) -> Answer:
    found = [known for known in call.cloud.store.all(Share) if known.project_id == call.project_id]
    for key in ("name", "status"):
        if key in call.query:
            found = [known for known in found if getattr(known, key) == call.query[key]]
    if "metadata" in call.query:
        wanted = _dictionary(call.query["metadata"])
        found = [known for known in found if wanted.items() <= dict(known.metadata).items()]
    found.sort(key=lambda known: known.created, reverse=True)
    offset, limit = (_number(call, name) for name in ("offset", "limit"))
    shown = found[offset:][: limit or None]
    full = call.path.endswith("/detail")
    views = [_view(call, known) if full else _brief(call.cloud, known) for known in shown]
    if not limit or limit != len(shown):
        return Answer({"shares": views})
    # As Manila has it: the marker in it is read by nobody.
    query = {**call.query, "marker": shown[-1].id}
    href = f"{call.cloud.settings.url}/share/v2/shares?{'&'.join(f'{key}={value}' for key, value in query.items())}"
    return Answer({"shares": views, "shares_links": [{"rel": "next", "href": href}]})


async def create_share(call: Call) -> Answer:
    asked = call.body.get("share") if isinstance(call.body, dict) else None
    if not isinstance(asked, dict):
        raise Refusal(422, "Unable to process the contained instructions")
    _check_public(asked.get("is_public", False))
    if len(str(asked.get("name") or "")) > 255:
        raise Refusal(400, "Invalid input received: name can only be 255 characters long.")
    _check_names(asked)
    metadata = checked_metadata(asked.get("metadata") or {})
    size, protocol = asked.get("size"), str(asked.get("share_proto") or "").upper()
    if not str(size).isdecimal() or int(str(size)) < 1:
        raise Refusal(400, f"Invalid input received: Share size '{size}' must be an integer and greater than 0.")
    if protocol not in _PROTOCOLS:
        text = f"Invalid share protocol provided: {protocol}. It is either disabled or unsupported."
        raise Refusal(400, f"Invalid input received: {text} Available protocols: {list(_PROTOCOLS)}.")
    check_room(call, 1, int(str(size)))
    now = call.cloud.clock.now()
    share = Share(
        id=new_id(),
        project_id=call.project_id,
        user_id=call.caller.user.id,
        name=asked.get("name"),
        description=asked.get("description"),
        size_gb=int(str(size)),
        protocol=protocol,
        status="creating",
        created=now,
        updated=now,
        metadata=metadata,
    )
    call.cloud.store.put(share)
    call.cloud.life.spawn(_settle(call.cloud, share.id, "creating", call.behaviour or Behaviour()))
    return Answer({"share": _view(call, share)})


async def show_share(call: Call) -> Answer:
    return Answer({"share": _view(call, share_of(call))})


def _check_public(asked: object) -> None:
    wanted = _WORDS.get(str(asked).lower())
    if wanted is None:
        acceptable = ", ".join(f"'{word}'" for word in sorted(_WORDS))
        raise Refusal(400, f"Unrecognized value '{asked}', acceptable values are: {acceptable}")
    if wanted:
        raise Refusal(403, "User is not authorized to set 'is_public' to True in the request.")


def _check_names(asked: Mapping[str, Any]) -> None:
    """What a new share names has to be there."""
    if asked.get("availability_zone") not in (None, "", _ZONE):
        raise Refusal(404, f"Availability zone {asked['availability_zone']} could not be found.")
    if snapshot := asked.get("snapshot_id"):
        raise Refusal(404, f"ShareSnapshotNotFound: Snapshot {snapshot} could not be found.")
    if asked.get("share_type") not in (None, "", SHARE_TYPE["id"], SHARE_TYPE["name"]):
        raise Refusal(404, "Share type not found.")


async def update_share(call: Call) -> Answer:
    share, asked = share_of(call), call.member("share")
    name = asked.get("display_name", share.name)
    description = asked.get("display_description", share.description)
    changed = replace(share, name=name, description=description, updated=call.cloud.clock.now())
    return Answer({"share": _view(call, call.cloud.store.put(changed))})


async def delete_share(call: Call) -> Answer:
    share = share_of(call)
    if share.status not in _DELETABLE:
        raise Refusal(403, f"Invalid share: Share status must be one of {_DELETABLE}.")
    call.cloud.store.put(replace(share, status="deleting", updated=call.cloud.clock.now()))
    call.cloud.life.spawn(_delete(call.cloud, share.id, call.behaviour or Behaviour()))
    return Answer(status=202, content_type=HTML)


async def exports(call: Call) -> Answer:
    share = share_of(call, f"Share '{call.names['id']}' not found.")
    if share.status == "creating":
        return Answer({"export_locations": []})
    location = {"id": share.id, "path": path_of(share), "preferred": True}
    return Answer({"export_locations": [location]})


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(share_of(call, UNKNOWN_TO_LABELS).metadata)})


async def set_metadata(call: Call) -> Answer:
    if call.cloud.store.get(Share, call.names["id"]) is None:
        raise Refusal(404, f"NotFound: {UNKNOWN_TO_ACTIONS}")
    asked = checked_metadata(call.body.get("metadata") if isinstance(call.body, dict) else None)
    share = share_of(call, UNKNOWN_TO_LABELS)
    metadata = asked if call.method == "PUT" else {**share.metadata, **asked}
    call.cloud.store.put(replace(share, metadata=metadata))
    return Answer({"metadata": metadata})


async def delete_metadata(call: Call) -> Answer:
    share, key = share_of(call, UNKNOWN_TO_LABELS), call.names["key"]
    if key not in share.metadata:
        raise Refusal(404, "MetadataItemNotFound: Metadata item is not found.")
    left = {name: value for name, value in share.metadata.items() if name != key}
    call.cloud.store.put(replace(share, metadata=left))
    return Answer()


def extend(call: Call, arguments: dict[str, Any]) -> Answer:
    size_gb = _new_size(arguments.get("new_size"))
    share = share_of(call, UNKNOWN_TO_ACTIONS)
    if share.status != "available":
        text = f"Share {share.id} status must be 'available' to extend, but current status is: {share.status}."
        raise Refusal(400, f"Invalid share: {text}")
    if size_gb <= share.size_gb:
        sizes = f"(current: {share.size_gb}, extended: {size_gb})"
        raise Refusal(400, f"Invalid input received: New size for extend must be greater than current size. {sizes}.")
    check_room(call, 0, size_gb - share.size_gb)
    call.cloud.store.put(replace(share, status="extending", updated=call.cloud.clock.now()))
    call.cloud.life.spawn(_settle(call.cloud, share.id, "extending", call.behaviour or Behaviour(), size_gb))
    return Answer(status=202, content_type=HTML)


def _new_size(asked: object) -> int:
    if not re.fullmatch(r"-?\d+", str(asked)):
        why = f"'{asked}' does not match '^[0-9]*$'"
    elif int(str(asked)) < 0:
        why = f"{asked} is less than the minimum of 0"
    else:
        return int(str(asked))
    raise Refusal(400, f"Invalid input for field/attribute new_size. Value: {asked}. {why}")


async def _settle(
    cloud: DevCloud, share_id: str, before: str, behaviour: Behaviour, size_gb: int | None = None
) -> None:
    if not await cloud.life.passed("share", behaviour):
        return
    share = cloud.store.get(Share, share_id)
    if share is not None and share.status == before:
        if behaviour.error and behaviour.error_phase == "share":
            status, size_gb = "extending_error" if before == "extending" else "error", None
        else:
            status = "available"
        cloud.store.put(replace(share, status=status, size_gb=size_gb or share.size_gb, updated=cloud.clock.now()))
    await cloud.store.flush()


async def _delete(cloud: DevCloud, share_id: str, behaviour: Behaviour) -> None:
    await apply(cloud)
    if not await cloud.life.passed("share", behaviour):
        return
    share = cloud.store.get(Share, share_id)
    if share is not None:
        cloud.store.remove(share)
        await cloud.store.flush()
        await sweep(cloud)


def settle(cloud: DevCloud) -> None:
    """After a restart: what was on its way has arrived."""
    for share in cloud.store.all(Share):
        if share.status == "deleting":
            cloud.store.remove(share)
            continue
        rules = tuple(
            replace(rule, state="active") for rule in share.rules if rule.state not in ("queued_to_deny", "denying")
        )
        status = "available" if share.status in ("creating", "extending") else share.status
        if (status, rules) != (share.status, share.rules):
            cloud.store.put(replace(share, status=status, rules=rules))


def _dictionary(text: str) -> dict[str, str]:
    """Manila reads a filter by metadata as Python writes a dictionary."""
    try:
        wanted = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise Refusal(500, "An unknown exception occurred.") from None
    if not isinstance(wanted, dict):
        raise Refusal(400, f"Invalid input received: Wrong metadata filter provided: {wanted}.")
    return {str(key): str(value) for key, value in wanted.items()}


def _number(call: Call, name: str) -> int:
    text = call.query.get(name, "0")
    if not re.fullmatch(r"-?\d+", text):
        raise Refusal(400, f"{name} param must be an integer")
    if int(text) < 0:
        raise Refusal(400, f"{name} param must be positive")
    return int(text)


def _brief(cloud: DevCloud, share: Share) -> dict[str, Any]:
    base = f"{cloud.settings.url}/share"
    links = [
        {"rel": "self", "href": f"{base}/v2/shares/{share.id}"},
        {"rel": "bookmark", "href": f"{base}/shares/{share.id}"},
    ]
    return {"id": share.id, "name": share.name, "links": links}


def _view(call: Call, share: Share) -> dict[str, Any]:
    place = {"share_server_id": None, "host": "devcloud@shares#shares"} if call.caller.admin else {}
    return {
        **_brief(call.cloud, share),
        **place,
        # The scheduler finds one.
        "availability_zone": None if share.status == "creating" else _ZONE,
        "share_network_id": None,
        "snapshot_id": None,
        "created_at": iso_micro(share.created),
        "status": share.status,
        "size": share.size_gb,
        "share_type": SHARE_TYPE["id"],
        "share_type_name": SHARE_TYPE["name"],
        "volume_type": SHARE_TYPE["name"],
        "share_proto": share.protocol,
        "metadata": dict(share.metadata),
        "description": share.description,
        "is_public": False,
        "project_id": share.project_id,
        "user_id": share.user_id,
        "has_replicas": False,
        "replication_type": None,
        "task_state": None,
        "access_rules_status": _rules_status(share),
        "snapshot_support": True,
        "create_share_from_snapshot_support": False,
        "revert_to_snapshot_support": False,
        "mount_snapshot_support": False,
        "share_group_id": None,
        "source_share_group_snapshot_member_id": None,
    }


def _rules_status(share: Share) -> str:
    states = {rule.state for rule in share.rules}
    if states <= {"active", "error"}:
        return "error" if "error" in states else "active"
    return "syncing"


ROUTES = (
    Route("GET", "/v2/shares", "shares.list", list_shares),
    Route("GET", "/v2/shares/detail", "shares.list", list_shares),
    Route("POST", "/v2/shares", "shares.create", create_share),
    Route("GET", "/v2/shares/{id}", "shares.show", show_share),
    Route("PUT", "/v2/shares/{id}", "shares.update", update_share),
    Route("DELETE", "/v2/shares/{id}", "shares.delete", delete_share),
    Route("GET", "/v2/shares/{id}/export_locations", "shares.exports", exports),
    Route("GET", "/v2/shares/{id}/metadata", "shares.show", show_metadata),
    Route("POST", "/v2/shares/{id}/metadata", "shares.update", set_metadata),
    Route("PUT", "/v2/shares/{id}/metadata", "shares.update", set_metadata),
    Route("DELETE", "/v2/shares/{id}/metadata/{key}", "shares.update", delete_metadata),
)
