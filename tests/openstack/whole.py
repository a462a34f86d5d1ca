"""A whole hub on the real services: the demo's proxy and hub, and the player in the place of the embedded cloud."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from openstack.connection import Connection

from js2spawner.demo.children import ChildPlan
from tests.browser.whole import ROOT, Separate
from tests.openstack.estate import CATALOG, Estate

# For one test. Real services take seconds for what a stand-in does at once, and minutes on a busy machine.
PATIENCE_S = 900


class RealHub(Separate):
    """On an estate. `strangers` has the instances of its other project played too."""

    def __init__(
        self,
        directory: Path,
        estate: Estate,
        users: str,
        *,
        boot_seconds: float = 2.0,
        strangers: bool = False,
        catalog: Path = CATALOG,
        hub_options: Iterable[str] = (),
        hub_environment: Mapping[str, str] | None = None,
    ) -> None:
        environment = {
            "JS2_CLOUDS_YAML": str(estate.people.clouds_yaml),
            "JS2_CATALOG": str(estate.catalog(directory, catalog)),
            **(hub_environment or {}),
        }
        super().__init__(
            directory, users, boot_seconds=boot_seconds, hub_options=hub_options, hub_environment=environment
        )
        self.estate = estate
        self._played = [estate.own.id, *([estate.other.id] if strangers else [])]
        self.owner, self.admin = estate.people.member, estate.people.admin

    @property
    def clouds_yaml(self) -> Path:
        return self.estate.people.clouds_yaml

    @property
    def cloud(self) -> Connection:
        """As the hub's own project by password: whatever becomes of the hub's credential and of its way to Nova."""
        if self._cloud is None:
            self._cloud = self.connection(self.estate.people.user)
        return self._cloud

    def _cloud_plan(self, demos: ChildPlan) -> ChildPlan:
        argv = [sys.executable, "-m", "tests.openstack.player", "--clouds", str(self.clouds_yaml)]
        argv += ["--admin", self.admin, "--projects", ",".join(self._played), "--dir", str(self.files.devcloud)]
        argv += ["--port", str(self.settings.devcloud_port), "--boot-seconds", f"{self.settings.boot_seconds:g}"]
        environment = {**demos.environment, "PYTHONPATH": str(ROOT)}
        return replace(
            demos, name="player", argv=tuple(argv), environment=environment, log=self.files.logs / "player.log"
        )

    def _cloud_answers(self) -> str:
        return f"http://127.0.0.1:{self.settings.devcloud_port}/played"
