"""Several regions in one devcloud: one sign-in, and nothing else in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from js2spawner.devcloud.script import RegionText, Script
from js2spawner.devcloud.server import CannotStart, Options, running
from tests.contract.client import Client
from tests.devcloud.client import QUICK, Scene, devcloud

ONE, TWO = "RegionOne", "RegionTwo"
SERVERS = "/compute/v2.1/servers"
TYPES = {"compute": "compute", "image": "image", "network": "network", "block-storage": "volume"}


@dataclass(frozen=True, slots=True)
class Regions:
    scene: Scene
    people: Mapping[str, Client]

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        seen = await self.scene.nobody.call(method, f"/devcloud{path}", body)
        assert seen.status == 200, seen
        return seen.body


@asynccontextmanager
async def two(directory: Path, **options: Any) -> AsyncIterator[Regions]:
    """The hub's user in each of two regions, as the catalogue of their one token says."""
    async with devcloud(directory, regions=(ONE, TWO), **options) as scene:
        catalog = (await scene.hub.get("/identity/v3/auth/catalog"))["catalog"]
        people = {}
        for region in (ONE, TWO):
            roots = {
                TYPES[service["type"]]: endpoint["url"].partition("/v")[0].rstrip("/")
                for service in catalog
                for endpoint in service["endpoints"]
                if endpoint["region"] == region and endpoint["interface"] == "public" and service["type"] in TYPES
            }
            roots = {name: root if root.endswith(name) else f"{root}/{name}" for name, root in roots.items()}
            people[region] = replace(scene.hub, roots={**scene.hub.roots, **roots})
        yield Regions(scene, people)


@pytest.fixture
async def regions(tmp_path: Path) -> AsyncIterator[Regions]:
    async with two(tmp_path) as both:
        yield both


async def test_one_token_is_good_in_both_and_neither_sees_the_others_servers(regions: Regions) -> None:
    one, other = regions.people.values()
    mine, theirs = await one.active("here"), await other.active("there")
    assert [each["id"] for each in (await one.get(SERVERS))["servers"]] == [mine["id"]]
    assert [each["id"] for each in (await other.get(SERVERS))["servers"]] == [theirs["id"]]
    images = [{each["id"] for each in (await person.get("/image/v2/images"))["images"]} for person in (one, other)]
    assert not images[0] & images[1]


async def test_addresses_of_two_regions_never_meet(regions: Regions, tmp_path: Path) -> None:
    ranges = [place.addresses for place in regions.scene.cloud.regions.values()]
    assert not ranges[0].overlaps(ranges[1])
    async with two(tmp_path / "asked", addresses="127.255.252.0/22") as asked:
        ranges = [place.addresses for place in asked.scene.cloud.regions.values()]
        assert str(ranges[0]) == "127.255.252.0/22"
        assert not ranges[0].overlaps(ranges[1])


async def test_room_faults_and_counts_are_each_regions_own(tmp_path: Path) -> None:
    script = Script(
        latencies=QUICK.latencies, capacity={"m3.tiny": 5}, regions={TWO: RegionText(capacity={"m3.tiny": 0})}
    )
    async with two(tmp_path, script=script) as both:
        await both.people[ONE].active()
        await both.people[TWO].settled(await both.people[TWO].created(), "ERROR")
        capacity = (await both.control("GET", f"/regions/{TWO}/capacity"))["capacity"]
        assert capacity["m3.tiny"] == {"fits": 0, "used": 0}
        rule = {"name": "down", "match": {"service": "compute"}, "effect": {"status": 500}}
        await both.control("POST", f"/regions/{TWO}/faults", rule)
        assert (await both.people[TWO].call("GET", SERVERS)).status == 500
        assert (await both.people[ONE].call("GET", SERVERS)).status == 200


async def test_a_region_that_is_out_of_order_leaves_the_other_and_keystone_alone(regions: Regions) -> None:
    one, other = regions.people.values()
    await regions.control("PUT", f"/regions/{TWO}", {"out": "fail"})
    assert (await other.call("GET", SERVERS)).status == 503
    await regions.control("PUT", f"/regions/{TWO}", {"out": "refuse"})
    with pytest.raises(aiohttp.ClientError):
        await other.call("GET", SERVERS)
    quick = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5))
    async with quick:
        with pytest.raises(aiohttp.ClientConnectorError):
            await replace(other, http=quick).call("GET", SERVERS)
        await regions.control("PUT", f"/regions/{TWO}", {"out": "hang"})
        with pytest.raises(TimeoutError):
            await replace(other, http=quick).call("GET", SERVERS)
    assert (await one.call("GET", SERVERS)).status == 200
    assert (await one.call("GET", "/identity/v3/auth/catalog")).status == 200
    await regions.control("PUT", f"/regions/{TWO}", {"out": ""})
    assert (await other.call("GET", SERVERS)).status == 200


async def test_a_create_that_waited_for_a_region_to_come_back_was_never_done(regions: Regions) -> None:
    other = regions.people[TWO]
    body = await other.request_for("late")
    await regions.control("PUT", f"/regions/{TWO}", {"out": "hang"})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as quick:
        with pytest.raises(TimeoutError):
            await replace(other, http=quick).call("POST", SERVERS, body)
    await regions.control("PUT", f"/regions/{TWO}", {"out": ""})
    assert (await other.get(SERVERS))["servers"] == []


async def test_both_regions_are_found_again_where_they_were(tmp_path: Path) -> None:
    async with two(tmp_path) as both:
        servers = {name: (await person.active(name))["id"] for name, person in both.people.items()}
        before = both.scene.cloud.regions
    async with two(tmp_path) as both:
        assert both.scene.cloud.regions == before
        for name, person in both.people.items():
            await person.settled(servers[name], "ACTIVE")


async def test_the_only_region_cannot_refuse_connections_for_nobody_could_end_that(scene: Scene) -> None:
    seen = await scene.nobody.call("PUT", "/devcloud/regions/RegionOne", {"out": "refuse"})
    assert (seen.status, seen.body["error"].partition(":")[0]) == (400, "out")


async def test_a_script_for_a_region_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="RegionSix"):
        async with running(Options(tmp_path, script=Script(regions={"RegionSix": RegionText(out="hang")}))):
            pass
