"""What a spawner tells our pages of its server: what becomes of it, what its guest says, what lies on its shelf."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from js2spawner.farewell import farewell
from js2spawner.handshake.messages import Health, HomeReport, Report
from js2spawner.homes import user_key
from js2spawner.instance import Owner
from js2spawner.options_shown import HomeSeen
from js2spawner.refusals import LastFailure
from js2spawner.remedies import Remedy, remedies
from js2spawner.servers_seen import terms_of
from js2spawner.servers_shown import Seen, row
from js2spawner.spawner_saved import WithSavedImages

# Activity that the guest reports is written with every third report at most: each write costs the hub a commit.
_REPORTS_PER_WRITE = 3


class OnPages(WithSavedImages):
    """The part of our spawner that pages ask. Not a Spawner by itself, either."""

    user: Any
    orm_spawner: Any
    health: Health | None = None
    home_report: HomeReport | None = None
    _activity_written = 0.0

    def take_report(self, report: Report) -> None:
        """What the guest says of itself, already checked and bounded by the handshake."""
        self.health, self.home_report = report.health, report.home
        now = time.time()
        pause_s = _REPORTS_PER_WRITE * self.hub_fleet.report_interval_s
        if report.activity.because == "none" or now - self._activity_written < pause_s:
            return
        active_at = (datetime.now(UTC) - timedelta(seconds=report.activity.idle_s)).replace(tzinfo=None)
        seen = self.orm_spawner.last_activity
        if seen is None or active_at > seen:
            self.orm_spawner.last_activity = self.user.last_activity = active_at
            self.user.db.commit()
            self._activity_written = now

    def farewell(self) -> dict[str, Any] | None:
        """What becomes of the server at its end, of its home, and what each way costs; None while there is none."""
        record = self.record
        if record is None:
            return None
        terms = terms_of(self.hub_fleet.catalog, record)
        home = self.home_report
        return farewell(record.plan, terms.idle, terms.su_per_hour, home_gb=home.used_gb if home else 0)

    async def home_seen(self) -> HomeSeen | None:
        """Where this user's home was last seen; no cloud is asked for that."""
        homes, person = self.hub_fleet.homes, self.user.orm_user
        if homes is None:
            return None
        await homes.finding.ledger.load()
        mark = user_key(person.id, person.created)
        found = homes.finding.ledger.get("volume", mark) or homes.finding.ledger.get("share", mark)
        return HomeSeen(found.region, found.size_gb, found.kind) if found else None

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """What can be done at once about the latest start, if it failed."""
        failed = self.last_failure
        return remedies(failed.name) if failed else ()

    @property
    def last_failure(self) -> LastFailure | None:
        raise NotImplementedError

    def shelf_of(self, server_name: str) -> dict[str, Any] | None:
        """What lies on the shelf for that server of this user, if anything: JupyterHub takes it for stopped."""
        fleet = self.hub_fleet.fleet
        record = fleet.current(Owner(self.user.name, server_name)) if fleet else None
        if fleet is None or record is None or not record.on_shelf:
            return None
        return row(Seen(record.owner, "", terms_of(self.hub_fleet.catalog, record), record), fleet.clock())
