"""Snapshots of volumes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.cinder.common import checked_metadata, cut, remove
from js2spawner.devcloud.cinder.content import snap
from js2spawner.devcloud.clock import iso_micro
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import HTML, Refusal
from js2spawner.devcloud.records import Behaviour, Snapshot, Volume


async def list_snapshots(call: Call) -> Answer:
    found = [known for known in call.cloud.store.all(Snapshot) if known.project_id == call.project_id]
    for key in ("name", "status", "volume_id"):
        if key in call.query:
            found = [known for known in found if getattr(known, key) == call.query[key]]
    found.sort(key=lambda known: known.created, reverse=True)
    found, link = cut(call, found, "Snapshot")
    view = _full_view if call.path.endswith("/detail") else _snapshot_view
    return Answer({"snapshots": [view(known) for known in found]} | ({"snapshots_links": link} if link else {}))


async def create_snapshot(call: Call) -> Answer:
    asked = call.member("snapshot")
    volume = call.cloud.store.get(Volume, str(asked.get("volume_id")))
    if volume is None or volume.project_id != call.project_id:
        raise Refusal(404, f"Volume {asked.get('volume_id')} could not be found.")
    if volume.status != "available" and not asked.get("force"):
        raise Refusal(
            400, f"Invalid volume: Volume {volume.id} status must be available, but current status is: {volume.status}."
        )
    held = sum(1 for known in call.cloud.store.all(Snapshot) if known.project_id == call.project_id)
    if call.cloud.over(call.project_id, "volume.snapshots", held + 1):
        limit = call.cloud.limit(call.project_id, "volume.snapshots")
        raise Refusal(413, f"SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded")
    now = call.cloud.clock.now()
    snapshot = Snapshot(
        new_id(), call.project_id, volume.id, asked.get("name"), asked.get("description"), volume.size_gb, "creating",
        now, now, checked_metadata(asked.get("metadata") or {}),
    )  # fmt: skip
    call.cloud.store.put(snapshot)
    call.cloud.life.spawn(_create(call.cloud, snapshot, call.behaviour or Behaviour()))
    return Answer({"snapshot": {**_snapshot_view(snapshot), "updated_at": None}}, 202)


async def show_snapshot(call: Call) -> Answer:
    return Answer({"snapshot": _full_view(_snapshot_of(call))})


async def delete_snapshot(call: Call) -> Answer:
    snapshot = _snapshot_of(call)
    call.cloud.store.put(replace(snapshot, status="deleting"))
    call.cloud.life.later("volume", lambda: remove(call.cloud, Snapshot, snapshot.id))
    return Answer(status=202, content_type=HTML)


async def _create(cloud: DevCloud, snapshot: Snapshot, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("volume", behaviour):
        return
    failing = behaviour.error and behaviour.error_phase == "volume"
    made = not failing and await snap(cloud, snapshot)
    known = cloud.store.get(Snapshot, snapshot.id)
    if known is not None and known.status == "creating":
        cloud.store.put(replace(known, status="available" if made else "error", updated=cloud.clock.now()))
    await cloud.store.flush()


def _snapshot_of(call: Call) -> Snapshot:
    key = call.names["id"]
    snapshot = call.cloud.store.get(Snapshot, key)
    if snapshot is None or snapshot.project_id != call.project_id:
        raise Refusal(404, f"Snapshot {key} could not be found.")
    return snapshot


def _full_view(snapshot: Snapshot) -> dict[str, Any]:
    return {
        **_snapshot_view(snapshot),
        "os-extended-snapshot-attributes:project_id": snapshot.project_id,
        "os-extended-snapshot-attributes:progress": "100%" if snapshot.status == "available" else "0%",
    }


def _snapshot_view(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "volume_id": snapshot.volume_id,
        "name": snapshot.name,
        "description": snapshot.description,
        "size": snapshot.size_gb,
        "status": snapshot.status,
        "created_at": iso_micro(snapshot.created),
        "updated_at": iso_micro(snapshot.updated),
        "metadata": dict(snapshot.metadata),
    }


ROUTES = (
    Route("GET", "/snapshots", "snapshots.list", list_snapshots),
    Route("GET", "/snapshots/detail", "snapshots.list", list_snapshots),
    Route("POST", "/snapshots", "snapshots.create", create_snapshot),
    Route("GET", "/snapshots/{id}", "snapshots.show", show_snapshot),
    Route("DELETE", "/snapshots/{id}", "snapshots.delete", delete_snapshot),
)
