"""From a build, on this machine or in the cloud already, to a signed version: what is asked of it first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from js2spawner.cloud.cloud import Cloud
from js2spawner.library import promoting, publishing
from js2spawner.library.builds import Build, Builds
from js2spawner.library.changing import Sleep
from js2spawner.library.converting import BuildLost, CannotPublish, Convert, DiskFormat, prepared, to_raw
from js2spawner.library.definition import Definition
from js2spawner.library.describing import described
from js2spawner.library.inventorying import record
from js2spawner.library.publishing import Promotion, Published, Say, Wanted
from js2spawner.library.signing import SigningKey
from js2spawner.library.software import Package

Clock = Callable[[], datetime]


def now_in_utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a build is published. `untested` lets one through whose boot test is missing or failed."""

    visibility: str = "private"
    disk_format: DiskFormat = "raw"
    untested: bool = False
    promote: bool = False


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes where. `convert` and `sleep` are what tests replace."""

    cloud: Cloud
    builds: Builds
    key: SigningKey
    say: Say
    convert: Convert = to_raw
    sleep: Sleep = asyncio.sleep
    clock: Clock = now_in_utc

    async def release(self, definition: Definition, build: Build, terms: Terms) -> Published:
        """Publish a build, once however often it is asked for. Raises CannotPublish, CloudError, Busy."""
        check_tested(build, terms)
        stale = why_stale(definition, build)
        with self.builds.alone(f"publication of {build.image}"):
            if (image := await publishing.find(self.cloud, build.id, self.key.keys)) is not None:
                if terms.promote:
                    keys, now = self.key.keys, self.clock()
                    await promoting.promote(self.cloud, build.image, build.id, keys, now, self.sleep)
                return Published(image, "was there")
            if stale and not terms.untested and not await publishing.signed_by_anybody(self.cloud, build):
                # A version that another key signed may be older than its definition, and is signed anew all the same.
                raise CannotPublish(stale)
            if build.kind == "derived":
                return await self._sign_saved(definition, build, terms)
            return await self._upload(definition, build, terms)

    async def _sign_saved(self, definition: Definition, build: Build, terms: Terms) -> Published:
        if build.cloud and build.cloud != self.cloud.name:
            raise BuildLost(
                f"Build {build.id} lies in the cloud {build.cloud}; publish it there: --cloud {build.cloud}"
            )
        image = await publishing.saved_image(self.cloud, build.cloud_image, build.id)
        properties = described(definition, build, self._software(build), image.properties)
        if terms.visibility not in ("private", image.visibility):
            # Nova saves for the project alone.
            image = await self.cloud.images.update(image.id, put={"visibility": terms.visibility})
        done = await publishing.sign(
            self.cloud, image, properties, self.key, promotion=self._promotion(build, terms), sleep=self.sleep
        )
        return Published(done, "signed")

    async def _upload(self, definition: Definition, build: Build, terms: Terms) -> Published:
        flavors = await self.cloud.compute.flavors()
        wanted = Wanted(
            glance_name=f"js2-{build.image}",
            properties=described(definition, build, self._software(build)),
            disk_format=terms.disk_format,
            virtual_bytes=build.virtual_bytes,
            min_ram_mb=next((flavor.ram_mb for flavor in flavors if flavor.name == definition.smallest), 0),
            visibility=terms.visibility,
        )
        self.say(f"Preparing the disk of {build.image} {build.id} as {terms.disk_format}.")
        with ExitStack() as stack:
            preparing = prepared(build, self.builds, terms.disk_format, self.convert)
            file = await asyncio.to_thread(stack.enter_context, preparing)
            return await publishing.upload(
                self.cloud,
                wanted,
                file,
                self.key,
                say=self.say,
                promotion=self._promotion(build, terms),
                sleep=self.sleep,
            )

    def _promotion(self, build: Build, terms: Terms) -> Promotion:
        if not terms.promote:
            return publishing.no_promotion
        return lambda: promoting.promotion(self.cloud, build.image, self.key.keys, self.clock())

    def _software(self, build: Build) -> Sequence[Package]:
        try:
            return record.read(self.builds.place(build) / record.NAME)
        except (OSError, ValueError):
            self.say(f"Build {build.id} has no list of its software; the image will show none.")
            return ()


def check_tested(build: Build, terms: Terms) -> None:
    """Raises CannotPublish for a build that nobody has seen boot."""
    if terms.untested or (build.boot is not None and build.boot.passed):
        return
    if build.boot is None:
        again = "test" if build.kind == "scratch" else "build"
        raise CannotPublish(
            f"Build {build.id} was never booted; run js2 image {again} {build.image}, or publish it with --untested."
        )
    raise CannotPublish(
        f"Build {build.id} failed its boot test ({build.boot.failures[0]}); mend it, or publish it with --untested."
    )


def why_stale(definition: Definition, build: Build) -> str:
    """Why neither a test nor a publication of the build says anything about the definition as it is today; or empty."""
    if build.definition != definition.key:
        return (
            f"Build {build.id} was made of another definition than {build.image} has today; build it again: "
            f"js2 image build {build.image}"
        )
    if build.boot is not None and build.boot.smoke != definition.smoke_key:
        again = "test" if build.kind == "scratch" else "build"
        return (
            f"Build {build.id} was tested with other smoke notebooks than {build.image} has today; "
            f"run js2 image {again} {build.image}"
        )
    return ""


def chosen_build(builds: Builds, name: str, build: str | None) -> Build:
    """The build of that id, or the newest. Raises CannotPublish."""
    found = builds.of(name)
    if not found:
        raise CannotPublish(f"There is no build of {name} in {builds.folder}; make one: js2 image build {name}")
    if build is None:
        return found[0]
    wanted = next((each for each in found if each.id == build), None)
    if wanted is None:
        raise CannotPublish(f"There is no build {build} of {name}; there are: {', '.join(each.id for each in found)}.")
    return wanted
