"""The project's configuration with a spawner that starts nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from jupyterhub.spawner import Spawner

from js2spawner.lease import Policy, lease

PROJECT = Path(__file__).resolve().parents[3]


class StandIn(Spawner):
    """Every server is the tests' own; `user_options` say how long its lease is, or that its start fails."""

    running = False
    extensions = 0
    last_failure = None

    async def start(self):
        if "fail" in self.user_options:
            self.last_failure = SimpleNamespace(
                name="boot-silent",
                sentence="The instance did not speak.",
                remedy="Try again.",
                at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                attempt_id="a1",
                console="<script>alert(1)</script> kernel panic",
            )
            raise RuntimeError("no")
        self.started_at = datetime.now(UTC)
        self.running = True
        return os.environ["STAND_IN_URL"]

    async def stop(self, now=False):
        self.running = False

    async def poll(self):
        return None if self.running else 0

    def lease(self):
        if not self.running:
            return None
        return lease(
            Policy(self.user_options.get("idle_s", 3600), 86400, 600, 1800, 1),
            started=self.started_at,
            last_activity=self.started_at,
            extended_s=1800 * self.extensions,
            extensions_used=self.extensions,
            latest=datetime.max.replace(tzinfo=UTC),
            now=datetime.now(UTC),
        )

    def farewell(self):
        return None

    def shelf_of(self, server_name):
        return None

    async def extend(self):
        if not self.lease().can_extend:
            raise ValueError("No more: 100% used.")
        self.extensions += 1
        return self.lease()


load_subconfig(str(PROJECT / "jupyterhub_config.py"))  # noqa: F821  traitlets provides it
c = get_config()  # noqa: F821
c.JupyterHub.spawner_class = StandIn
# The hub's own activity record of a started server would make it look used.
c.JupyterHub.last_activity_interval = 3600
