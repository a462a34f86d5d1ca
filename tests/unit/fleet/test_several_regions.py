"""Desks of several regions: the same image in each, a GPU only the cloud knows of, and nobody who waits for one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Defaults, FlavorEntry, ImageEntry, Profile, Region
from js2spawner.cloud.errors import ImageNotPublished, Unreachable
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.fleet.breaker import FAILURES_AT_MOST, Breaker
from js2spawner.fleet.regions import RegionDesk, offers_of
from js2spawner.gpu_flavors import gpus_in
from js2spawner.options import Choice
from js2spawner.resolving import Editions

LOG = logging.getLogger("test")
REGIONS = tuple(Region(name=name, cloud="js2", region=name, network="private") for name in ("IU", "TACC", "ASU"))
ANYWHERE = Profile(name="anywhere", regions=("IU", "TACC", "ASU"))
TINY = FlavorEntry(name="m3.tiny", title="Tiny", vcpus=1, memory_gb=3, disk_gb=20, su_per_hour=1)
LARGE = FlavorEntry(name="g3.large", title="Slice", vcpus=16, memory_gb=60, disk_gb=60, su_per_hour=32)
NAMED = ImageEntry(name="named", title="Named", description="By name.", image="Featured", profile="anywhere")
PINNED = NAMED.model_copy(update={"name": "pinned", "sha512": "aa"})
CATALOG = Catalog(REGIONS, (ANYWHERE,), (NAMED, PINNED), (TINY, LARGE), Defaults(image="named", flavor="m3.tiny"))
CHOICE = Choice(NAMED, ANYWHERE, REGIONS, (TINY, LARGE))


def featured(data: str, **changes: Any) -> Image:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    plain = Image(f"id-{data}", "Featured", "active", "public", 1, 0, 0, made, "", {})
    return replace(plain, os_hash_algo="sha512", os_hash_value=data, **changes)


@dataclass
class Place:
    """One region's cloud. `hangs`: no question is ever answered."""

    images: list[Image]
    specs: dict[str, str] = field(default_factory=dict)
    hangs: bool = False

    async def _answer(self, value: Any) -> Any:
        return await asyncio.Event().wait() if self.hangs else value

    @property
    def cloud(self) -> Any:
        flavors = [Flavor("t", "m3.tiny", 1, 3072, 20, {}), Flavor("l", "g3.large", 16, 61440, 60, self.specs)]

        def answers(what: Callable[[], Any]) -> Callable[..., Any]:
            return lambda *_: self._answer(what())

        there = answers(lambda: SimpleNamespace(id="id"))
        return SimpleNamespace(
            images=SimpleNamespace(list=answers(lambda: list(self.images))),
            compute=SimpleNamespace(
                flavors=answers(lambda: flavors), limits=answers(lambda: Limits(0, 9, 0, 9, 0, None))
            ),
            network=SimpleNamespace(find_network=there, ensure_group=there),
        )


@dataclass
class World:
    places: dict[str, Place]
    breaker: Breaker = field(init=False)
    desks: dict[str, RegionDesk] = field(init=False)

    def __post_init__(self) -> None:
        self.breaker = Breaker(self.places, log=LOG)
        editions = Editions()
        self.desks = {
            region.name: RegionDesk(
                region,
                self.places[region.name].cloud,
                CATALOG,
                hub_id="hub-1234",
                hub_cidrs=(),
                clock=lambda: 0.0,
                log=LOG,
                watch=self.breaker.watch(region.name),
                editions=editions,
            )
            for region in REGIONS
        }

    def goes_away(self, region: str) -> None:
        for _ in range(FAILURES_AT_MOST):
            self.breaker.ear(region).failed(Unreachable())


def world(**data: str) -> World:
    return World({name: Place([featured(value)] if value else []) for name, value in data.items()})


async def test_a_named_image_with_other_data_starts_nothing_and_the_log_names_the_region(
    caplog: pytest.LogCaptureFixture,
):
    places = world(IU="x", TACC="y", ASU="x")
    await asyncio.gather(*(desk.images() for desk in places.desks.values()))
    assert (await places.desks["IU"].ids(CHOICE)).image_id == "id-x"
    assert (await places.desks["ASU"].ids(CHOICE)).image_id == "id-x"
    with pytest.raises(ImageNotPublished, match="region TACC lacks the image 'Featured' that region IU has"):
        await places.desks["TACC"].ids(CHOICE)
    assert "region TACC" in caplog.text


async def test_the_first_region_that_has_the_image_is_the_one_to_go_by(caplog: pytest.LogCaptureFixture):
    places = world(IU="", TACC="y", ASU="x")
    await asyncio.gather(*(desk.images() for desk in places.desks.values()))
    assert (await places.desks["TACC"].ids(CHOICE)).image_id == "id-y"
    with pytest.raises(ImageNotPublished, match="that region TACC has"):
        await places.desks["ASU"].ids(CHOICE)


async def test_what_the_first_region_had_counts_on_while_it_does_not_answer():
    places = world(IU="x", TACC="y", ASU="x")
    await places.desks["IU"].images()
    places.goes_away("IU")
    with pytest.raises(ImageNotPublished):
        await places.desks["TACC"].ids(CHOICE)
    assert (await places.desks["ASU"].ids(CHOICE)).image_id == "id-x"


async def test_an_entry_that_is_pinned_is_held_to_its_hash_and_to_no_other_region():
    places = world(IU="x", TACC="aa", ASU="x")
    await places.desks["IU"].images()
    pinned = replace(CHOICE, image=PINNED)
    assert (await places.desks["TACC"].ids(pinned)).image_id == "id-aa"


async def test_the_offer_says_why_a_region_lacks_an_image_and_how_the_region_is():
    places = world(IU="x", TACC="y", ASU="x")
    offers = await offers_of(places.desks, {}, patience_s=30)
    assert set(offers["IU"].images) == {"named"}
    assert "named" not in offers["TACC"].images
    assert offers["TACC"].lacks["named"] == "The image has not been published in this cloud yet."
    places.goes_away("ASU")
    assert {name: offer.state for name, offer in (await offers_of(places.desks, {}, patience_s=30)).items()} == {
        "IU": "up",
        "TACC": "up",
        "ASU": "down",
    }


async def test_offers_are_gathered_side_by_side_and_a_region_that_hangs_costs_the_patience_once():
    places = world(IU="x", TACC="x", ASU="x")
    places.places["IU"].hangs = places.places["TACC"].hangs = True
    offers = await offers_of(places.desks, {}, patience_s=0.05)
    assert {name: offer.known for name, offer in offers.items()} == {"IU": False, "TACC": False, "ASU": True}


async def test_nobody_waits_for_the_offer_of_a_region_that_is_down():
    places = world(IU="x", TACC="x", ASU="x")
    places.places["IU"].hangs = True
    places.goes_away("IU")
    async with asyncio.timeout(30):
        offers = await offers_of(places.desks, {}, patience_s=3600)
    assert (offers["IU"].known, offers["IU"].state) == (False, "down")


async def test_a_start_that_waits_for_a_region_s_answers_is_sent_elsewhere_once_it_is_down():
    places = world(IU="x", TACC="x", ASU="x")
    places.places["IU"].hangs = True
    asked = asyncio.create_task(places.desks["IU"].ids(CHOICE))
    await asyncio.sleep(0)
    places.goes_away("IU")
    async with asyncio.timeout(30):
        with pytest.raises(Unreachable):
            await asked
        assert (await places.desks["TACC"].ids(CHOICE)).image_id == "id-x"


@pytest.mark.parametrize(
    ("specs", "gpu"),
    [
        ({"resources:VGPU": "1"}, True),
        ({"resources1:VGPU": "1"}, True),
        ({"resources_gpu:PGPU": "2"}, True),
        ({"pci_passthrough:alias": "a100:1"}, True),
        ({"resources:CUSTOM_GPU_L40S": "1"}, True),
        ({"resources:CUSTOM_BAREMETAL_BIG": "1"}, False),
        ({"resources:VGPU": "0"}, False),
        ({"hw:cpu_policy": "dedicated", "resources:VCPU": "16"}, False),
        ({}, False),
    ],
)
async def test_a_gpu_is_known_by_the_flavor_s_extra_specs_though_the_catalog_says_nothing(
    specs: dict[str, str], gpu: bool
):
    assert (gpus_in(specs) > 0) is gpu
    places = world(IU="x", TACC="x", ASU="x")
    places.places["IU"].specs.update(specs)
    assert (await places.desks["IU"].ids(CHOICE, LARGE)).gpu is gpu
    assert not (await places.desks["IU"].ids(CHOICE)).gpu


async def test_a_choice_is_resolved_for_whichever_of_its_flavors_has_a_turn():
    places = world(IU="x", TACC="x", ASU="x")
    assert [(await places.desks["IU"].ids(CHOICE, each)).flavor_id for each in CHOICE.flavors] == ["t", "l"]


async def test_images_that_are_asked_for_ahead_are_there_for_whoever_compares_them():
    places = world(IU="x", TACC="y", ASU="x")
    places.desks["IU"].learn_ahead()
    await places.desks["IU"].images()
    with pytest.raises(ImageNotPublished):
        await places.desks["TACC"].ids(CHOICE)
