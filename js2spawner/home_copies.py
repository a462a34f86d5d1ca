"""Copies of homes as values: what is said of a snapshot, when the next is due, which ones stay. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from js2spawner.cloud.records import VolumeSnapshot
from js2spawner.fleet.names import HUB_KEY
from js2spawner.homes import CURRENT, USER, USER_ID, Home, meaning
from js2spawner.instance import Instant

SNAPSHOT_OF = "js2_snapshot_of"
TAKEN = "js2_taken"
"""Of a snapshot: `BY_SCHEDULE` ones are replaced by newer ones, `ON_REQUEST` ones stay until somebody deletes them, and
`EXPORT` ones go with the export they were made for."""
BY_SCHEDULE, ON_REQUEST, EXPORT = "schedule", "request", "export"
EXPORT_OF = "js2_export_of"
"""Of a volume: a copy of this home, on its way out of the cloud."""
CLEAN = "js2_clean"
"""Of a snapshot: "yes" when the home was not mounted anywhere. Else it holds what a crash would have left."""

LEFT_BEHIND_S = 2 * 24 * 3600.0
"""After so long nobody goes on with an export that was broken off."""

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
    return failed + replaced + [s for s in every if s.taken == EXPORT and now - s.taken_at > LEFT_BEHIND_S]
