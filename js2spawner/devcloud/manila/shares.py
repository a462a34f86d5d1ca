"""Shares: created, listed, labelled, grown, deleted; and where they are exported."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.manila.common import check_room, checked_metadata, share_of
from js2spawner.devcloud.manila.exports import apply, path_of
from js2spawner.devcloud.manila.offers import SHARE_TYPE
from js2spawner.devcloud.records import Behaviour, Share

_PROTOCOLS = ("NFS",)
_IDLE = ("available", "error", "inactive", "extending_error")


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
    if not limit or offset + limit >= len(found):
        return Answer({"shares": views})
    href = f"{call.cloud.settings.url}{call.path}?limit={limit}&offset={offset + limit}"
    return Answer({"shares": views, "shares_links": [{"rel": "next", "href": href}]})


async def create_share(call: Call) -> Answer:
    asked = call.member("share")
    protocol = str(asked.get("share_proto") or "").upper()
    if protocol not in _PROTOCOLS:
        text = f"Invalid share protocol provided: {protocol}. It is either disabled or unsupported."
        raise Refusal(400, f"{text} Available protocols: {list(_PROTOCOLS)}")
    size = asked.get("size")
    if not str(size).isdecimal() or int(str(size)) < 1:
        raise Refusal(400, f"Invalid input received: Share size '{size}' must be an integer and greater than 0.")
    if asked.get("share_type") not in (None, SHARE_TYPE["id"], SHARE_TYPE["name"]):
        raise Refusal(404, f"Share type {asked['share_type']} could not be found.")
    metadata = checked_metadata(asked.get("metadata") or {})
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


async def update_share(call: Call) -> Answer:
    share, asked = share_of(call), call.member("share")
    name = asked.get("display_name", share.name)
    description = asked.get("display_description", share.description)
    changed = replace(share, name=name, description=description, updated=call.cloud.clock.now())
    return Answer({"share": _view(call, call.cloud.store.put(changed))})


async def delete_share(call: Call) -> Answer:
    share = share_of(call)
    if share.status not in _IDLE:
        raise Refusal(403, f"Invalid share: Share status must be one of {_IDLE}")
    call.cloud.store.put(replace(share, status="deleting", updated=call.cloud.clock.now()))
    call.cloud.life.spawn(_delete(call.cloud, share.id, call.behaviour or Behaviour()))
    return Answer(status=202, content_type=HTML)


async def exports(call: Call) -> Answer:
    share = share_of(call)
    if share.status == "creating":
        return Answer({"export_locations": []})
    location = {"id": share.id, "path": path_of(share), "preferred": True}
    return Answer({"export_locations": [location]})


async def show_metadata(call: Call) -> Answer:
    return Answer({"metadata": dict(share_of(call).metadata)})


async def set_metadata(call: Call) -> Answer:
    share = share_of(call)
    asked = checked_metadata(call.member("metadata"))
    metadata = asked if call.method == "PUT" else {**share.metadata, **asked}
    call.cloud.store.put(replace(share, metadata=metadata))
    return Answer({"metadata": metadata})


async def delete_metadata(call: Call) -> Answer:
    share, key = share_of(call), call.names["key"]
    if key not in share.metadata:
        raise Refusal(404, "Metadata item is not found.")
    left = {name: value for name, value in share.metadata.items() if name != key}
    call.cloud.store.put(replace(share, metadata=left))
    return Answer(content_type=HTML)


def extend(call: Call, share: Share, arguments: dict[str, Any]) -> Answer:
    if share.status != "available":
        raise Refusal(
            400, f"Invalid share: Share {share.id} status must be 'available' to extend, but is {share.status}."
        )
    text = str(arguments.get("new_size"))
    if not text.isdecimal():
        raise Refusal(400, "Invalid input received: New share size must be specified as an integer.")
    if int(text) <= share.size_gb:
        sizes = f"(current: {share.size_gb}, extended: {text})"
        raise Refusal(400, f"Invalid input received: New size for extend must be greater than current size. {sizes}")
    check_room(call, 0, int(text) - share.size_gb)
    call.cloud.store.put(replace(share, status="extending", size_gb=int(text), updated=call.cloud.clock.now()))
    call.cloud.life.spawn(_settle(call.cloud, share.id, "extending", call.behaviour or Behaviour()))
    return Answer(status=202, content_type=HTML)


async def _settle(cloud: DevCloud, share_id: str, before: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("share", behaviour):
        return
    share = cloud.store.get(Share, share_id)
    if share is not None and share.status == before:
        failing = behaviour.error and behaviour.error_phase == "share"
        cloud.store.put(replace(share, status="error" if failing else "available", updated=cloud.clock.now()))
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
        return {}
    return {str(key): str(value) for key, value in wanted.items()} if isinstance(wanted, dict) else {}


def _number(call: Call, name: str) -> int:
    text = call.query.get(name, "0")
    if not text.isdecimal():
        raise Refusal(400, f"{name} param must be an integer")
    return int(text)


def _brief(cloud: DevCloud, share: Share) -> dict[str, Any]:
    base = f"{cloud.settings.url}/share"
    links = [
        {"rel": "self", "href": f"{base}/v2/shares/{share.id}"},
        {"rel": "bookmark", "href": f"{base}/shares/{share.id}"},
    ]
    return {"id": share.id, "name": share.name, "links": links}


def _view(call: Call, share: Share) -> dict[str, Any]:
    return {
        **_brief(call.cloud, share),
        "availability_zone": "nova",
        "share_network_id": None,
        "share_server_id": None,
        "snapshot_id": None,
        "created_at": iso_micro(share.created),
        "updated_at": iso_micro(share.updated),
        "status": share.status,
        "size": share.size_gb,
        "share_type": SHARE_TYPE["id"],
        "share_type_name": SHARE_TYPE["name"],
        "share_proto": share.protocol,
        "metadata": dict(share.metadata),
        "description": share.description,
        "is_public": False,
        "project_id": share.project_id,
        "user_id": share.user_id,
        "has_replicas": False,
        "replication_type": None,
        "task_state": None,
        "access_rules_status": "active",
    }


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
