"""Images in memory, and servers that can be copied, for tests of what is saved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from js2spawner.cloud.errors import Conflict, Gone
from js2spawner.cloud.records import Image
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.saved_images import SavedImages
from js2spawner.fleet.saves import Pace, Saves
from js2spawner.handshake.messages import Quiet
from js2spawner.instance import Record, Running
from js2spawner.saving import Patience
from js2spawner.sightings import Hello, Listening, Progressed, Taken
from tests.unit.fleet.stand_ins import Compute, booted, eventually, fleet_over, until
from tests.unit.saves.made import KEY, image

QUICK = Pace(look_s=0.01, sweep_s=0.01)


class Images:
    """Glance, as much of it as saves use. `protected` holds ids."""

    def __init__(self) -> None:
        self.kept: dict[str, Image] = {}
        self.protected: set[str] = set()
        self.in_use: set[str] = set()
        self.trouble: list[Exception] = []
        self.asked = 0

    def _maybe_fail(self) -> None:
        self.asked += 1
        if self.trouble:
            raise self.trouble.pop(0)

    async def list(self, *, name: str | None = None, properties: Mapping[str, str] | None = None) -> list[Image]:
        self._maybe_fail()
        wanted = (properties or {}).items()
        return [each for each in self.kept.values() if wanted <= each.properties.items()]

    async def get(self, image_id: str) -> Image:
        self._maybe_fail()
        if image_id not in self.kept:
            raise Gone("no such image")
        return self.kept[image_id]

    async def update(self, image_id: str, *, put: Mapping[str, object]) -> Image:
        self._maybe_fail()
        found = await self.get(image_id)
        said = {name: str(value) for name, value in put.items() if name != "protected"}
        if "protected" in put:
            (self.protected.add if put["protected"] else self.protected.discard)(image_id)
        self.kept[image_id] = replace(found, properties={**found.properties, **said})
        return self.kept[image_id]

    async def delete(self, image_id: str) -> None:
        self._maybe_fail()
        if image_id in self.in_use:
            raise Conflict("image is in use")
        if self.kept.pop(image_id, None) is None:
            raise Gone("no such image")

    def becomes(self, image_id: str, status: str, **changes: object) -> None:
        self.kept[image_id] = replace(self.kept[image_id], status=status, **changes)  # type: ignore[arg-type]


class Copying(Compute):
    """Servers that can be copied into `images`."""

    def __init__(self, images: Images) -> None:
        super().__init__()
        self.images = images
        self.copies: list[Mapping[str, str]] = []

    async def create_image(self, server_id: str, name: str, metadata: Mapping[str, str]) -> str:
        self.copies.append(metadata)
        image_id = f"0f9e5c1e-0000-4000-8000-{len(self.copies):012}"
        if not self.faults.get("copy") or self.works_all_the_same:
            made = image("queued", id=image_id, name=name, size_bytes=0, properties=dict(metadata))
            self.images.kept[image_id] = made
        self._maybe_fail("copy")
        return image_id


@dataclass
class Stage:
    """A fleet with one running instance, its saves, and the guest, played by the test."""

    fleet: Fleet
    saves: Saves
    compute: Copying
    images: Images
    record: Record
    quiet_for: str = ""

    def report(self, *, obeys: bool = True) -> Quiet | None:
        """One report of the guest, which does what it is told (or not); the order in the answer."""
        order, _ = self.saves.orders(self.record, self.quiet_for)
        self.quiet_for = order.save_id if order and obeys else ""
        return order


def saves_of(fleet: Fleet, images: Images) -> Saves:
    """The saves of one hub process."""
    fleet.desks["IU"].cloud.images = images  # type: ignore[assignment]
    return Saves(
        fleet,
        SavedImages(fleet.desks, KEY, fleet.clock),
        log=fleet._log,
        patience=Patience(look_up_s=0.3),
        pace=QUICK,
    )


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Stage]:
    images = Images()
    compute = Copying(images)
    async with fleet_over(compute, tmp_path) as fleet:
        saves = saves_of(fleet, images)
        saves.start()
        attempt = await booted(fleet, compute)
        for sighting in (Hello("channel"), Taken(), Progressed("notebook"), Listening()):
            fleet.feed(attempt, sighting)
        record = await until(fleet, attempt, lambda r: isinstance(r.state, Running))
        await eventually(lambda: not saves.may_be_found_of(record))
        try:
            yield Stage(fleet, saves, compute, images, record)
        finally:
            await saves.stop()
