"""A hub whose catalog names an image of the library: it starts what a key vouches for, or says by name why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.spawner import SpawnException

from js2spawner.cloud.records import Image
from js2spawner.failures import failure
from js2spawner.fleet.configuration import FleetNotReady
from tests.unit import hubs
from tests.unit.hubs import CloudInMemory, FleetInMemory, hub_process
from tests.unit.library.in_glance import KEY, T0, image, signed

ADDRESS = "127.99.0.11"
GOOD = signed(image("b1"), promoted=T0)
Holding = Callable[..., None]


@pytest.fixture
def cloud_with(monkeypatch: pytest.MonkeyPatch) -> Holding:
    """A function that says what images the cloud has; the catalog's default image is one of the library."""
    monkeypatch.setattr(
        hubs, "CATALOG", hubs.CATALOG.replace("image: js2-minimal, profile", "library: minimal, profile")
    )
    plain = FleetInMemory.cloud_of

    def holding(*images: Image) -> None:
        async def listed(**_: object) -> list[Image]:
            return list(images)

        def cloud_of(self: FleetInMemory, region: object) -> Any:
            cloud = plain(self, region)
            cloud.images.list = listed
            return cloud

        monkeypatch.setattr(FleetInMemory, "cloud_of", cloud_of)

    return holding


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "signing.pub"
    file.write_text(KEY.public_line)
    monkeypatch.setattr(FleetInMemory, "image_keys_file", str(file))


@pytest.mark.usefixtures("trusted")
async def test_an_instance_is_made_of_the_version_that_was_vouched_for(
    tmp_path: Path, cloud_with: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", ADDRESS)
    cloud_with(GOOD)
    async with hub_process(tmp_path, CloudInMemory()) as hub, hubs.notebook_at(ADDRESS):
        start = await hub.start(image="minimal", flavor="m3.small")
        await hub.bring_up(await hub.attempt())
        await start
        assert [new.image_id for new in hub.compute.created] == [GOOD.id]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("images", "name"),
    [((), "image-not-published"), ((replace(GOOD, os_hash_value="others"),), "image-changed")],
)
async def test_a_start_of_what_nobody_vouches_for_is_refused_by_name_and_makes_nothing(
    tmp_path: Path, cloud_with: Holding, images: tuple[Image, ...], name: str
) -> None:
    cloud_with(*images)
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        with pytest.raises(SpawnException) as caught:
            await (await hub.start(image="minimal", flavor="m3.small"))
        assert caught.value.reason == name
        assert failure(name).sentence in caught.value.message
        assert GOOD.id not in caught.value.message + caught.value.message_html
        assert hub.compute.created == []


async def test_a_hub_that_trusts_no_key_does_not_open_with_a_catalog_of_the_library(
    tmp_path: Path, cloud_with: Holding
) -> None:
    cloud_with(GOOD)
    with pytest.raises(FleetNotReady, match="JS2_IMAGE_KEYS"):
        async with hub_process(tmp_path, CloudInMemory()):
            pass
