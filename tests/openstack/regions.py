"""Two rigs as the two regions of one hub: each with a Keystone of its own, and each can be lost and come back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any

import pytest

from js2spawner.demo import directory as kept
from js2spawner.demo.children import ChildPlan
from tests.openstack.estate import Estate, estate
from tests.openstack.place import ROOT, Place
from tests.openstack.relay import Relay
from tests.openstack.rig.layout import Layout, Which
from tests.openstack.rig.processes import listens
from tests.openstack.rig.rig import Rig
from tests.openstack.whole import RealHub

CATALOG = Path(__file__).with_name("catalog.regions.yaml")
_FAR_PLAYER = "player of far"


@dataclass(slots=True)
class Region:
    """A rig, with an estate on it and the ways by which the hub reaches it."""

    rig: Rig
    estate: Estate
    ways: tuple[Relay, ...]
    is_lost: bool = False

    def lose(self) -> None:
        """End every service. A way whose service has ended would take a call and hang up, so the ways end first."""
        self.is_lost = True
        for way in self.ways:
            way.close()
        self.rig.end_services()

    def bring_back(self) -> None:
        if self.is_lost:
            self.rig.start_services()
            for way in self.ways:
                way.open()
        self.is_lost = False

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Services hear and do as they are told, and their answers are lost."""
        for way in self.ways:
            way.mute = True
        try:
            yield
        finally:
            for way in self.ways:
                way.mute = False
                # What lost an answer would wait for it.
                way.close()
                way.open()

    @property
    def cloud(self) -> Any:
        """As the hub's project by password, and not by the hub's ways."""
        return self.estate.connection(self.estate.people.user)

    def servers(self) -> dict[str, Any]:
        """The instances of the hub's project, by the user each is of."""
        return {server.metadata["js2_user"]: server for server in self.cloud.compute.servers()}

    def home(self, user: str) -> Any:
        """Somebody's one and only home here, as Cinder shows it."""
        (only,) = (each for each in self.cloud.block_storage.volumes() if each.metadata.get("js2_user") == user)
        return only

    @contextmanager
    def image(self, name: str, data: bytes) -> Iterator[str]:
        """Published for as long as the block lasts; gives its id."""
        kind = {"disk_format": "raw", "container_format": "bare"}
        made = self.cloud.image.create_image(name, data=data, wait=True, **kind)
        yield made.id
        self.bring_back()
        self.cloud.image.delete_image(made.id)


@contextmanager
def region(which: Which, directory: Path) -> Iterator[Region]:
    """A rig that runs. Whatever a test did to it, it runs afterwards."""
    layout = Layout(ROOT / ".openstack", which=which)
    place = Place(layout.clouds_yaml, "openstack")
    if not place.runs:
        pytest.fail(f"the {which} rig does not run here: `make openstack RIG={which}` starts it")
    with estate(place, directory) as made, made.ways() as ways:
        there = Region(Rig(layout, lambda _: None), made, ways)
        try:
            yield there
        finally:
            there.bring_back()


class HubOfTwo(RealHub):
    """A hub with two regions. Each has hands of its own, so what one region's services do keeps from nobody else's
    instance what it needs.
    """

    def __init__(
        self, directory: Path, near: Region, far: Region, users: str, *, hub_options: Iterable[str], **words: str
    ) -> None:
        """`words` are filled into the catalog, beside the regions' own."""
        near.estate.introduce(far.estate)
        directory.mkdir(parents=True, exist_ok=True)
        catalog = directory / "catalog.regions.yaml"
        words |= {"near": near.estate.name, "far": far.estate.name}
        catalog.write_text(Template(CATALOG.read_text()).substitute(words))
        super().__init__(
            directory, near.estate, users, hub_options=hub_options, hub_environment={"JS2_CATALOG": str(catalog)}
        )
        self._far = far.estate
        self._far_port = kept._free_port()

    def _plans(self) -> tuple[ChildPlan, ...]:
        player, *others = super()._plans()
        return player, self._far_player(player), *others

    def _far_player(self, player: ChildPlan) -> ChildPlan:
        # Of an option that is given twice, the last counts.
        argv = ["--clouds", str(self._far.people.clouds_yaml), "--admin", self._far.people.admin]
        argv += ["--projects", self._far.own.id, "--dir", f"{self.files.devcloud}-far", "--port", str(self._far_port)]
        log = self.files.logs / "player-far.log"
        return replace(player, name=_FAR_PLAYER, argv=(*player.argv, *argv), log=log)

    def _healthy(self, plan: ChildPlan, process: subprocess.Popen[bytes]) -> bool:
        if plan.name != _FAR_PLAYER:
            return super()._healthy(plan, process)
        assert process.poll() is None, f"the {plan.name} ended:\n{plan.log.read_text()[-4000:]}"
        return listens(self._far_port)
