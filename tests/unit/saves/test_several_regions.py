"""Saved images of several regions: one whose cloud hangs keeps nobody from those of another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from js2spawner.cloud.errors import NoAnswer, ServerFault, Unreachable
from js2spawner.fleet.saved_images import SavedImages
from tests.unit.saves.glance import Images
from tests.unit.saves.made import IMAGE_ID, KEY, WORDS, sealed

HERS = "0f9e5c1e-0000-4000-8000-00000000000b"


class Hanging:
    async def _never(self, *_: object, **__: object) -> Any:
        await asyncio.Event().wait()

    list = get = update = delete = _never


@dataclass
class Desk:
    """A region with one saved image. `hangs`: whatever is asked is never answered."""

    images: Images
    down: bool = False
    hangs: bool = False

    @property
    def cloud(self) -> Any:
        return SimpleNamespace(images=Hanging() if self.hangs else self.images)


@dataclass
class Place:
    here: Desk
    there: Desk
    now: float = 0.0
    saved: SavedImages = field(init=False)

    def __post_init__(self) -> None:
        self.saved = SavedImages({"here": self.here, "there": self.there}, KEY, lambda: self.now)  # type: ignore[dict-item]

    async def names(self, patience_s: float = 0.05) -> list[str]:
        return sorted(each.id for each in await self.saved.all(patience_s=patience_s))


@pytest.fixture
def place() -> Place:
    here, there = Images(), Images()
    here.kept[IMAGE_ID] = sealed()
    there.kept[HERS] = sealed(replace(WORDS, save_id="5a5e00000000000b"), id=HERS)
    return Place(Desk(here), Desk(there))


async def test_what_a_region_said_last_stands_while_it_does_not_answer(place: Place):
    assert await place.names() == [IMAGE_ID, HERS]
    place.now += 3600
    place.there.hangs = True
    assert await place.names() == [IMAGE_ID, HERS]


async def test_a_region_that_has_said_nothing_yet_is_left_out(place: Place):
    place.there.hangs = True
    assert await place.names() == [IMAGE_ID]


async def test_nobody_waits_for_a_region_that_is_known_to_be_down(place: Place):
    place.there.hangs = place.there.down = True
    async with asyncio.timeout(30):
        assert await place.names(patience_s=3600) == [IMAGE_ID]
    with pytest.raises(Unreachable):
        await place.saved.find(HERS)


async def test_when_no_region_answers_that_is_said(place: Place):
    place.here.images.trouble, place.there.hangs = [ServerFault()], True
    with pytest.raises((ServerFault, NoAnswer)):
        await place.names()


async def test_an_image_is_found_while_another_region_hangs(place: Place):
    place.here.hangs = True
    async with asyncio.timeout(30):
        found = await place.saved.find(HERS)
    assert found is not None
    assert found.region == "there"


async def test_an_image_that_is_nowhere_is_told_apart_from_one_that_cannot_be_looked_for(place: Place):
    assert await place.saved.find("0f9e5c1e-0000-4000-8000-00000000000c") is None
    place.there.images.trouble = [ServerFault()]
    with pytest.raises(ServerFault):
        await place.saved.find("0f9e5c1e-0000-4000-8000-00000000000c")


async def test_a_change_that_hangs_in_one_region_keeps_no_change_of_another_waiting(place: Place):
    def anyhow(_saved: object) -> None:
        return None

    place.there.images.update = Hanging()._never  # type: ignore[method-assign]
    hanging = asyncio.create_task(place.saved.share(HERS, "bio101", only_if=anyhow))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        shared = await place.saved.share(IMAGE_ID, "bio101", only_if=anyhow)
    assert shared is not None
    assert shared.group == "bio101"
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
