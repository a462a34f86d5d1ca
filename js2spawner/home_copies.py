"""Copies of homes as values: what is said of a snapshot, when the next is due, which ones stay. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from js2spawner.cloud.records import Image, VolumeSnapshot
from js2spawner.fleet.names import HUB_KEY
from js2spawner.homes import CURRENT, USER, USER_ID, Home, instant_of, meaning, text_of
from js2spawner.instance import Instant

SNAPSHOT_OF = "js2_snapshot_of"
TAKEN = "js2_taken"
"""Of a snapshot: `BY_SCHEDULE` ones are replaced by newer ones, `ON_REQUEST` ones stay until somebody deletes them, and
`EXPORT` ones go with the export they were made for."""
BY_SCHEDULE, ON_REQUEST, EXPORT = "schedule", "request", "export"
EXPORT_OF = "js2_export_of"
"""Of a volume or an image: a copy of this home, on its way out of the cloud."""
COPIED_AT = "js2_copied_at"
"""Of such an image: when the snapshot was taken whose data it holds."""
FETCHED = "js2_fetched"
"""Of such an image: "yes" where its data were fetched and it could not be deleted. No other call takes it."""
CLEAN = "js2_clean"
"""Of a snapshot: "yes" when the home was not mounted anywhere. Else it holds what a crash would have left."""

LEFT_BEHIND_S = 2 * 24 * 3600.0
"""After so long nobody goes on with an export that was broken off."""

_EXPORT_NAME = re.compile(r"js2-export-(?P<home_id>[0-9a-fA-F-]{36})-(?P<which>.+)-(?P<disk_format>\w+)")

# A snapshot that is due waits this much longer for its home to be let go of, since it is then a clean one.
_WAIT_FOR_CLEAN = 1.25


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a home."""

    id: str
    home_id: str
    region: str
    status: str
    size_gb: int
    taken_at: Instant
    taken: str
    clean: bool
    user: str
    user_id: str

    @property
    def by_schedule(self) -> bool:
        return self.taken == BY_SCHEDULE


def snapshot_of(found: VolumeSnapshot, region: str) -> Snapshot:
    return Snapshot(
        id=found.id,
        home_id=found.volume_id,
        region=region,
        status=found.status,
        size_gb=found.size_gb,
        taken_at=found.created.timestamp(),
        taken=found.metadata.get(TAKEN, ""),
        clean=found.metadata.get(CLEAN) == "yes",
        user=found.metadata.get(USER, ""),
        user_id=found.metadata.get(USER_ID, ""),
    )


def snapshot_metadata(home: Home, hub_id: str, *, taken: str, clean: bool) -> dict[str, str]:
    return {
        HUB_KEY: hub_id,
        SNAPSHOT_OF: home.id,
        USER: home.user,
        USER_ID: home.user_id,
        TAKEN: taken,
        CLEAN: "yes" if clean else "no",
    }


def snapshot_due(home: Home, snapshots: Iterable[Snapshot], now: Instant) -> bool:
    """Whether the schedule wants a snapshot now. One that is mounted waits a while for being let go of."""
    schedule = home.schedule
    if home.kind != "volume" or home.role != CURRENT or schedule is None or not home.formatted or home.used_at is None:
        return False
    taken = [snapshot.taken_at for snapshot in snapshots if snapshot.by_schedule and snapshot.status != "error"]
    last = max(taken, default=None)
    if last is None:
        return True
    every_s = schedule.every_s * (_WAIT_FOR_CLEAN if meaning(home) == "used" else 1)
    return home.used_at > last and now - last >= every_s


def superfluous(home: Home, snapshots: Iterable[Snapshot], now: Instant) -> list[Snapshot]:
    """The snapshots that newer ones have replaced, those that failed, and those of exports nobody went on with.

    What somebody asked for stays.
    """
    every = list(snapshots)
    mine = [snapshot for snapshot in every if snapshot.by_schedule]
    failed = [snapshot for snapshot in mine if snapshot.status == "error"]
    good = sorted((s for s in mine if s.status == "available"), key=lambda s: s.taken_at, reverse=True)
    # Without a schedule nothing replaces them.
    replaced = good[home.schedule.keep :] if home.schedule else []
    return failed + replaced + [s for s in every if s.taken == EXPORT and left_behind(s.taken_at, now)]


# ---- exports --------------------------------------------------------------------------------------------------------


def export_name(home: Home, snapshot_id: str | None, disk_format: str) -> str:
    """The name of the image by which a home, or a snapshot of it, leaves the cloud."""
    return f"js2-export-{home.id}-{snapshot_id or 'now'}-{disk_format}"


def export_metadata(home: Home, hub_id: str, copied_at: Instant) -> dict[str, str]:
    return {HUB_KEY: hub_id, EXPORT_OF: home.id, COPIED_AT: text_of(copied_at)}


def exported_home(image: Image, hub_id: str, project_id: str) -> str:
    """The id of the home whose export made the image, by its owner, its name and what is said of it; "" of any other.

    Nothing is said of one whose export was broken off early: then it may be a home of another hub.
    """
    named = _EXPORT_NAME.fullmatch(image.name)
    if named is None or not project_id or image.owner != project_id:
        return ""
    said = (image.properties.get(HUB_KEY), image.properties.get(EXPORT_OF))
    return named["home_id"] if said in ((None, None), (hub_id, named["home_id"])) else ""


def left_behind(since: Instant, now: Instant) -> bool:
    """Whether what an export made at that time is too old to be gone on with."""
    return now - since > LEFT_BEHIND_S


def copied_at(image: Image, snapshot: Snapshot | None, now: Instant) -> Instant | None:
    """When the copy was made that an image of an earlier export holds; None for one that must not be gone on with.

    `snapshot`: what an export would go on with now. Only that can have become an image of which nothing is said yet.
    """
    if image.status not in ("active", "saving", "queued", "importing") or FETCHED in image.properties:
        return None
    at = instant_of(image.properties.get(COPIED_AT, ""))
    # Glance tells whole seconds.
    if at is None and snapshot is not None and int(snapshot.taken_at) <= image.created.timestamp():
        at = snapshot.taken_at
    return None if at is None or left_behind(image.created.timestamp(), now) else at
