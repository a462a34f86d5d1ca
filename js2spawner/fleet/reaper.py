"""Finds instances of this hub that no record speaks for, and lets them be deleted only after seeing them twice.

It looks only at servers that carry both our tag (the list is filtered by it) and our hub id in their metadata:
everybody on an allocation can act on every machine in it, so what does not carry our id is not ours to touch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from js2spawner.cloud.records import Server
from js2spawner.fleet.inventory import Picture
from js2spawner.fleet.names import ATTEMPT_KEY, HUB_KEY, end_of
from js2spawner.instance import Instant, Record

# What lies on the shelf costs nothing and may be somebody's only copy: a hub that has lost its table lets it lie for as
# long as its metadata say, and for so long after anything was done to it. Both are the cloud's word: no restart of the
# hub begins anything anew.
_SHELF_GRACE_S = 14 * 24 * 3600.0


@dataclass(slots=True)
class Reaper:
    """`grace_s`: how long an instance without any record is kept, for an operator whose database came back late."""

    hub_id: str
    grace_s: float
    _first_seen: dict[str, tuple[float, int]] = field(default_factory=dict)

    def orphans(self, picture: Picture, records: Mapping[str, Record], over: Container[str]) -> list[Server]:
        """Servers to delete now. `records`: all that may have something in the cloud, by attempt; `over`: see `due`."""
        awaited = {attempt for attempt, record in records.items() if not record.server_id}
        known = {record.server_id for record in records.values()}
        known |= {server.id for attempt, server in picture.by_attempt.items() if attempt in awaited}
        return self.due(picture, known, over)

    def due(self, picture: Picture, known: Container[str], over: Container[str]) -> list[Server]:
        """Servers to delete now. `known`: server ids of live records; `over`: ids of attempts that have ended."""
        seen: dict[str, tuple[float, int]] = {}
        due: list[Server] = []
        for server in picture.servers.values():
            if server.id in known or server.metadata.get(HUB_KEY) != self.hub_id:
                continue
            since, times = self._first_seen.get(server.id, (picture.as_of, 0))
            seen[server.id] = (since, times + 1)
            until = since if server.metadata.get(ATTEMPT_KEY) in over else self._kept_until(server, since)
            if times >= 1 and picture.as_of >= until and server.task_state != "deleting":
                due.append(server)
        self._first_seen = seen
        return due

    def _kept_until(self, server: Server, since: Instant) -> Instant:
        """`since`: when it was first seen without a record."""
        known = since + self.grace_s
        if not server.status.startswith("SHELVED"):
            return known
        lain_since = server.updated.timestamp() if server.updated else since
        return max(known, lain_since + _SHELF_GRACE_S, end_of(server.metadata) or 0.0)
