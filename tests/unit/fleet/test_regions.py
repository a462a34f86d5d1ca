"""A region's desk: which image a start gets, and what is said and written down when there is none to trust."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import Defaults, FlavorEntry, ImageEntry, Profile, Region
from js2spawner.cloud.errors import ImageChanged, ImageNotPublished
from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.fleet.regions import IMAGES_FRESH_S, RegionDesk
from js2spawner.options import Choice
from tests.unit.library.in_glance import KEY, T0, image, signed

HERE = Region(name="here", cloud="devcloud", network="private")
PLAIN = Profile(name="plain")
TINY = FlavorEntry(name="m3.tiny", title="Tiny", vcpus=1, memory_gb=3, disk_gb=20, su_per_hour=1)
MINIMAL = ImageEntry(name="first", title="First", description="The first.", library="minimal", profile="plain")
CATALOG = Catalog((HERE,), (PLAIN,), (MINIMAL,), (TINY,), Defaults(image="first", flavor="m3.tiny"))
CHOICE = Choice(MINIMAL, PLAIN, (HERE,), (TINY,))
OLD, NEW = signed(image("b1"), promoted=T0), signed(image("b2"), promoted=T0 + timedelta(days=1))


@dataclass
class Sky:
    """A cloud with these images."""

    images: list[Image]
    now: float = 0.0
    lists: int = 0
    desk: RegionDesk = field(init=False)

    def __post_init__(self) -> None:
        cloud: Any = SimpleNamespace(
            images=SimpleNamespace(list=self._list),
            compute=SimpleNamespace(flavors=self._flavors, limits=self._limits),
            network=SimpleNamespace(find_network=self._found, ensure_group=self._found),
        )
        log = logging.getLogger("test")
        self.desk = RegionDesk(
            HERE,
            cloud,
            CATALOG,
            hub_id="hub-1234",
            hub_cidrs=(),
            clock=lambda: self.now,
            log=log,
            image_keys=KEY.keys,
        )

    async def _list(self) -> list[Image]:
        self.lists += 1
        return list(self.images)

    async def _flavors(self) -> list[Flavor]:
        return [Flavor("f", "m3.tiny", 1, 3072, 20, {})]

    async def _limits(self) -> Limits:
        return Limits(0, None, 0, None, 0, None)

    async def _found(self, *_: object) -> Any:
        return SimpleNamespace(id="id")

    async def image_of_a_start(self) -> str:
        return (await self.desk.ids(CHOICE)).image_id


async def test_a_start_gets_the_current_version() -> None:
    assert await Sky([OLD, NEW]).image_of_a_start() == NEW.id


async def test_a_promotion_reaches_starts_within_a_minute_and_costs_no_call_before() -> None:
    sky = Sky([OLD])
    assert await sky.image_of_a_start() == OLD.id
    sky.images.append(NEW)
    sky.now = IMAGES_FRESH_S - 1
    assert await sky.image_of_a_start() == OLD.id
    assert sky.lists == 1
    sky.now = IMAGES_FRESH_S + 1
    assert await sky.image_of_a_start() == NEW.id


@pytest.mark.parametrize(
    ("images", "error"),
    [([], ImageNotPublished), ([replace(NEW, os_hash_value="others")], ImageChanged)],
)
async def test_an_image_that_nobody_vouches_for_starts_nothing_and_the_log_says_which(
    images: list[Image], error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    sky = Sky(images)
    with pytest.raises(error):
        await sky.image_of_a_start()
    [line] = caplog.records
    assert (line.levelname, "region here: image first" in line.message) == ("ERROR", True)
    assert (await sky.desk.offer({}, patience_s=5)).images == {}


async def test_what_the_cloud_gave_and_refused_is_offered_with_its_time() -> None:
    sky = Sky([NEW])
    sky.desk.no_room("m3.tiny")
    refused = await sky.desk.offer({}, patience_s=5)
    assert (set(refused.full_since), set(refused.had_at)) == ({"m3.tiny"}, set())
    sky.now = 60.0
    sky.desk.had_room("m3.tiny")
    had = await sky.desk.offer({}, patience_s=5)
    assert (set(had.full_since), had.had_at["m3.tiny"].timestamp()) == (set(), 60.0)
