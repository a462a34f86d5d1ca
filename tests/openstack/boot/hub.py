"""A whole hub in a room, beside the machines it has booted: at the address of their router."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

from js2spawner.demo.children import ChildPlan
from tests.browser.whole import Separate
from tests.openstack.place import Place

CATALOG = Path(__file__).with_name("catalog.yaml")
# An emulated machine on a busy computer takes minutes for what takes a real one seconds.
START_WITHIN_S = 3600
_PATIENCE = {"build_s": 900, "boot_s": 1800, "assign_s": 600, "notebook_s": 1800}


@dataclass(frozen=True, slots=True)
class Site:
    """What a hub is told about the cloud: who it is there, and where it stands."""

    people: Place
    network: str
    image: str
    router: str


class HubAtTheRouter(Separate):
    """The demo's proxy and hub. People reach them on 127.0.0.1 of the room, instances at the router's address."""

    def __init__(self, directory: Path, site: Site, users: str) -> None:
        deadlines = [f"--Js2Fleet.deadlines={name}={seconds}" for name, seconds in _PATIENCE.items()]
        super().__init__(directory, users, hub_options=deadlines)
        self._site = site
        self.owner, self.admin = site.people.user, site.people.admin

    @property
    def clouds_yaml(self) -> Path:
        return self._site.people.clouds_yaml

    def start(self) -> None:
        self.files.directory.mkdir(parents=True, exist_ok=True)
        names = {"cloud": self._site.people.member, "network": self._site.network, "image": self._site.image}
        self._catalog.write_text(Template(CATALOG.read_text()).substitute(names))
        super().start()

    def _plans(self) -> tuple[ChildPlan, ...]:
        _, proxy, hub = super()._plans()
        return proxy, replace(hub, environment={**hub.environment, **self._place()})

    def _place(self) -> Mapping[str, str]:
        router, settings = self._site.router, self.settings
        return {
            "JS2_CLOUDS_YAML": str(self.clouds_yaml),
            "JS2_CATALOG": str(self._catalog),
            "JS2_HUB_BIND_URL": f"http://{router}:{settings.hub_port}",
            "JS2_HANDSHAKE_BIND": f"{router}:{settings.handshake_port}",
            "JS2_HANDSHAKE_URL": f"https://{router}:{settings.handshake_port}",
        }

    @property
    def _catalog(self) -> Path:
        return self.files.directory / "catalog.yaml"

    def _cloud_plan(self, demos: ChildPlan) -> ChildPlan:
        return demos

    def _cloud_answers(self) -> str:
        return str(self._site.people.entry(self.owner)["auth"]["auth_url"])

    def await_start(self, user: str) -> None:
        """Until a start that was asked for has ended, well or not; AssertionError if it was not well."""
        deadline = time.monotonic() + START_WITHIN_S
        while not (model := self.server_model(user)).get("ready"):
            assert model, f"{user}'s start failed:\n{self.log('hub')[-4000:]}"
            assert time.monotonic() < deadline, f"not within {START_WITHIN_S} s: {user}'s server is ready"
            # Every question takes the emulated machine's time.
            time.sleep(1)

    def server(self, user: str) -> Mapping[str, Any]:
        """Nova's own view of a person's instance."""
        answer = self.connection(self.admin).compute.get(f"/servers/{self.instance_id(user)}", microversion="2.96")
        answer.raise_for_status()
        return dict(answer.json()["server"])
