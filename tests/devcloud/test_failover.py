"""One region of several is away: the hub opens, nobody elsewhere waits, and starts go where there is a cloud.

The hub's fleet, its clients and its line are the real ones; the guests are played.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from traitlets.config import Config

from js2spawner.catalog_entries import Region
from js2spawner.failures import failure
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.names import hub_tag
from js2spawner.fleet.regions import offers_of
from js2spawner.fleet.starts import Request, Start, StartFailed
from js2spawner.instance import NO_HOME, Booting, Deadlines, Owner, Plan, Record
from js2spawner.line import Candidate
from js2spawner.options import Choice, Who, check
from js2spawner.sightings import Hello, Listening, Progressed, Taken
from js2spawner.wishes import flavor_of, plan_of, wish_of
from tests.devcloud.client import Scene, devcloud
from tests.unit.fleet.stand_ins import eventually

ONE, TWO = "RegionOne", "RegionTwo"
CATALOG = """
regions:
  one: {cloud: devcloud, region: RegionOne}
  two: {cloud: devcloud, region: RegionTwo}
  far: {cloud: far, region: Nowhere}
profiles:
  both: {regions: [one, two]}
  second: {regions: [two]}
  far-first: {regions: [far, two]}
images:
  anywhere: {title: Anywhere, description: In both., image: js2-minimal, profile: both}
  second: {title: Second, description: In the second., image: js2-minimal, profile: second}
  far: {title: Far, description: Far away first., image: js2-minimal, profile: far-first}
flavors:
  m3.tiny: {title: Tiny, vcpus: 1, memory_gb: 3, disk_gb: 20, su_per_hour: 1}
defaults: {image: anywhere, flavor: m3.tiny}
"""
BOB = Who("bob", frozenset(), admin=False, id="1-bob")


@dataclass
class Hub:
    """A hub's fleet over two regions of one devcloud, and a third region whose cloud does not exist."""

    scene: Scene
    settings: Js2Fleet
    fleet: Fleet

    async def out(self, region: str, how: str) -> None:
        """Have a region refuse, fail or hang, or ("") work again."""
        seen = await self.scene.nobody.call("PUT", f"/devcloud/regions/{region}", {"out": how})
        assert seen.status == 200, seen

    def start(self, image: str = "anywhere", user: str = "bob") -> asyncio.Task[Record]:
        """Ask for a server, as the spawner does."""
        choice = check({"image": image}, catalog=self.settings.catalog, who=BOB)
        owner, line = Owner(user, ""), self.settings.admission
        assert line is not None

        async def plan(candidate: Candidate) -> Plan:
            ids = await self.fleet.desks[candidate.region].ids(choice, flavor_of(choice, candidate))
            return plan_of(choice, candidate, ids, NO_HOME, Deadlines(look_up_s=1))

        start = Start(
            self.fleet,
            line,
            Request(self._wish(choice, owner), attempts=1, plan=plan),
            hand_over=_nothing,
            reachable=_yes,
            on_attempt=lambda _record: None,
        )
        return asyncio.create_task(start.run(self.fleet.journal_of_start(owner)))

    def _wish(self, choice: Choice, owner: Owner) -> Any:
        return wish_of(choice, owner, who=BOB, catalog=self.settings.catalog, region=None, chosen={}, members={})

    async def up(self, started: asyncio.Task[Record], user: str = "bob") -> Record:
        """Play the guest of whichever instance boots, until the start is through."""

        def booting() -> Record | None:
            found = self.fleet.current(Owner(user, ""))
            return found if found is not None and isinstance(found.state, Booting) else None

        await eventually(lambda: booting() is not None or started.done())
        record = booting()
        if record is not None:
            for sighting in (Hello("channel"), Taken(), Progressed("notebook"), Listening()):
                self.fleet.feed(record.attempt_id, sighting)
        return await started

    async def end(self, record: Record) -> None:
        await self.fleet.end(record.attempt_id, failure("stopped"))
        await eventually(lambda: self.fleet.current(record.owner) is None)


async def _nothing(_record: Record) -> None:
    return None


async def _yes(_record: Record) -> bool:
    return True


@asynccontextmanager
async def hub(directory: Path, scene: Scene) -> AsyncIterator[Hub]:
    content = yaml.safe_load(scene.running.clouds_yaml.read_text())
    far = {**content["clouds"]["devcloud"], "region_name": "Nowhere"}
    content["clouds"]["far"] = {**far, "auth": {**far["auth"], "auth_url": "http://127.0.0.1:9/v3"}}
    clouds_yaml, catalog = directory / "clouds.yaml", directory / "catalog.yaml"
    clouds_yaml.write_text(yaml.safe_dump(content))
    catalog.write_text(CATALOG)
    config = Config()
    config.Js2Fleet.state_dir = str(directory / "state")
    config.Js2Fleet.clouds_yaml = str(clouds_yaml)
    config.Js2Fleet.catalog_file = str(catalog)
    config.Js2Fleet.list_interval_s = 0.05
    config.Js2Fleet.quiet_list_interval_s = 0.1
    config.Js2Fleet.handshake_port = _free_port()
    settings = Js2Fleet(config=config)
    try:
        yield Hub(scene, settings, await settings.ready())
    finally:
        await settings.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Scene]:
    async with devcloud(tmp_path / "cloud", regions=(ONE, TWO)) as scene:
        yield scene


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence counts after a moment, so that nobody waits for half a minute here."""
    monkeypatch.setattr("js2spawner.fleet.breaker.SILENCE_AT_MOST_S", 0.5)


async def test_a_hub_opens_and_starts_servers_while_a_region_cannot_be_reached(tmp_path: Path, two: Scene):
    seen = await two.nobody.call("PUT", f"/devcloud/regions/{TWO}", {"out": "hang"})
    assert seen.status == 200
    async with hub(tmp_path, two) as here:
        record = await here.up(here.start())
        assert record.plan.region == "one"
        # Of the others nobody has heard anything yet.
        assert here.fleet.inventories["one"].picture is not None
        assert here.fleet.inventories["two"].picture is None


@pytest.mark.parametrize("how", ["refuse", "fail"])
async def test_a_start_goes_on_in_the_next_region_when_the_first_one_dies(tmp_path: Path, two: Scene, how: str):
    async with hub(tmp_path, two) as here:
        await here.end(await here.up(here.start()))
        await here.out(ONE, how)
        record = await here.up(here.start())
        assert record.plan.region == "two"


@pytest.mark.usefixtures("impatient")
async def test_a_start_that_was_sent_to_a_region_that_hangs_is_made_in_the_next_and_never_twice(
    tmp_path: Path, two: Scene
):
    async with hub(tmp_path, two) as here:
        await here.end(await here.up(here.start()))
        await here.out(ONE, "hang")
        record = await here.up(here.start())
        assert record.plan.region == "two"
        await here.out(ONE, "")
        # What the first region was asked for is looked up there, and nothing of it is left.
        await eventually(lambda: [each.attempt_id for each in here.fleet.live()] == [record.attempt_id])
        tag = hub_tag(here.fleet.settings.hub_id)
        assert await here.fleet.desks["one"].cloud.compute.list_servers(tag=tag) == []


async def test_a_region_that_is_known_to_be_down_is_asked_for_nothing_and_used_again_when_it_is_back(
    tmp_path: Path, two: Scene
):
    async with hub(tmp_path, two) as here:
        await here.out(ONE, "fail")
        await eventually(lambda: here.fleet.breaker.is_open("one"))
        record = await here.up(here.start())
        assert (record.plan.region, record.number) == ("two", 1)
        await here.out(ONE, "")
        await eventually(lambda: not here.fleet.breaker.is_open("one"))
        again = await here.up(here.start(user="eve"), "eve")
        assert again.plan.region == "one"


async def test_a_cloud_that_does_not_exist_costs_its_regions_and_nobody_else_s(tmp_path: Path, two: Scene):
    async with hub(tmp_path, two) as here:
        record = await here.up(here.start("far"))
        assert record.plan.region == "two"


async def test_where_no_region_answers_the_start_ends_with_a_sentence(tmp_path: Path, two: Scene):
    async with hub(tmp_path, two) as here:
        await here.out(ONE, "fail")
        await here.out(TWO, "fail")
        await eventually(lambda: all(map(here.fleet.breaker.is_open, ("one", "two"))))
        with pytest.raises(StartFailed) as failed:
            await here.start()
        assert failed.value.why.name == "unreachable"


async def test_nobody_in_another_region_waits_for_one_that_hangs(tmp_path: Path, two: Scene):
    async with hub(tmp_path, two) as here:
        await here.out(ONE, "hang")
        stuck = here.start()
        # The list of the other region is taken, its offers come, and starts go through, while the first is silent.
        offers = await offers_of(here.fleet.desks, {}, patience_s=0.2)
        assert (offers["one"].known, offers["two"].known) == (False, True)
        record = await here.up(here.start("second", "eve"), "eve")
        assert record.plan.region == "two"
        assert not stuck.done()
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)


def test_each_region_has_a_client_of_its_own(tmp_path: Path):
    config = Config()
    config.Js2Fleet.state_dir = str(tmp_path)
    settings = Js2Fleet(config=config)
    clouds = [settings.cloud_of(Region(name=name, cloud="devcloud", region=name)) for name in (ONE, TWO)]
    shared = {"_caller", "_sign_in", "compute", "images", "network", "volumes"}
    assert not [name for name in shared if getattr(clouds[0], name) is getattr(clouds[1], name)]
