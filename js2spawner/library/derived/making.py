"""A derived build from beginning to end: an image that is whole and was tried, or nothing that is left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError
from js2spawner.cloud.records import Image
from js2spawner.library import baked, properties
from js2spawner.library.builds import BootReport, Build, Builds, new_id
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.derived import instance, launching, leftovers, papers, plan, saving
from js2spawner.library.derived.book import StepBroken
from js2spawner.library.derived.instance import Instance
from js2spawner.library.derived.launching import Ground, Marks
from js2spawner.library.derived.settings import Settings
from js2spawner.library.scratch.tools import CannotBuild
from js2spawner.library.software import BadSoftware, Package, unpacked
from js2spawner.library.steps import Say, Steps

BASE = "js2_base"
"""The id of the image that a build was made of."""

_SOFTWARE_PART = 8000
_SOFTWARE_PARTS_AT_MOST = 40


class Interrupted(CannotBuild):
    """Somebody ended the build. What it made is gone."""


def build(definition: Definition, builds: Builds, cloud: Cloud, settings: Settings, say: Say) -> Build:
    """Make an image in `cloud` of one that is there, and keep the record in `builds`; `cloud` is closed at the end.

    `say` gets a line for each phase. Raises CannotBuild, builds.Busy. Blocks for minutes, in an event loop of its own.
    """
    if not isinstance(definition.base, Derived):
        raise CannotBuild(f"{definition.name} is not derived from an image of a cloud; it is built on this machine.")
    with builds.alone(f"build of {definition.name}"):
        return asyncio.run(_with_signals(build_here(definition, builds, cloud, settings, say), cloud))


async def build_here(definition: Definition, builds: Builds, cloud: Cloud, settings: Settings, say: Say) -> Build:
    """The same in a running loop. The caller holds the build of this image. Cancelled, it still cleans up."""
    making = _Making(definition, builds, cloud, settings, Steps(say), datetime.now(UTC))
    where = f"Building {definition.name} in cloud {cloud.name} failed"
    try:
        return await making.all()
    except StepBroken as problem:
        kept = builds.keep_output(definition.name, problem.output)
        raise CannotBuild(f"{where} at {problem} (the end of what it said: {kept})") from None
    except CannotBuild as problem:
        raise CannotBuild(f"{where}: {problem}") from None
    except CloudError as error:
        raise CannotBuild(f"{where}: {error.sentence.rstrip('.')} ({error.detail or error.name})") from None
    except OSError as error:
        told = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise CannotBuild(f"{where}: {told}") from None


@dataclass
class _Making:
    definition: Definition
    builds: Builds
    cloud: Cloud
    settings: Settings
    steps: Steps
    began: datetime

    def __post_init__(self) -> None:
        self.builder = leftovers.builder_id(self.builds)
        # Files and locks are read once, at the beginning: which ones those were is settled now.
        self.key = self.definition.key
        self.made_with = baked.digest(self.definition)
        self.smoke_key = self.definition.smoke_key
        self.id = new_id(self.began, self.key)
        expires = self.began + self.settings.patience.whole
        self.marks = Marks(self.builder, self.definition.name, self.id, instance.new_attempt(), expires)

    async def all(self) -> Build:
        patience, steps, name = self.settings.patience, self.steps, self.definition.name
        making = await asyncio.to_thread(plan.making, self.definition, patience)
        if self.definition.key != self.key:
            raise CannotBuild("its definition was changed while it was read; build it again")
        with steps.step("leftovers, base and network"):
            await leftovers.sweep(self.cloud, self.builder, name, self.builds, steps.say, patience)
            ground = await launching.survey(self.cloud, self.definition, self.settings)
        try:
            async with asyncio.timeout(patience.all_s):
                image, packages = await self._made(ground, making)
                report = await self._tried(replace(ground, base=image))
                done = await self._finished(image, ground)
        except TimeoutError:
            raise CannotBuild(f"it was not done within {patience.all_s / 3600:g} hours") from None
        finally:
            await _to_its_end(self._clean_up())
        return await self._kept(done, ground.base, packages, report)

    async def _made(self, ground: Ground, making: list[plan.Task]) -> tuple[Image, tuple[Package, ...]]:
        patience, steps = self.settings.patience, self.steps
        async with instance.instance(self.cloud, ground, self.marks, self.settings, steps) as made:
            await made.carry_out_all(making, steps)
            with steps.step("list of software"):
                packages = await self._software(made)
            with steps.step("cleaning"):
                report = await made.carry_out({"kind": "clean"}, patience.clean_s, 0)
            if report.stage != "built":
                raise CannotBuild("the guest program did not say that it is done")
            with steps.step("stop"):
                await saving.stop(self.cloud, made.id, patience)
            with steps.step("save"):
                image = await saving.save(self.cloud, made.id, self.marks, patience)
        # Its quota may be what the trial needs.
        await leftovers.remove_server(self.cloud, made.id, patience)
        return image, packages

    async def _software(self, made: Instance) -> tuple[Package, ...]:
        packed = ""
        for part in range(_SOFTWARE_PARTS_AT_MOST):
            report = await made.carry_out({"kind": "software", "part": part}, self.settings.patience.clean_s, 0)
            packed += report.result.strip()
            if len(report.result) < _SOFTWARE_PART:
                break
        try:
            return papers.with_licences(unpacked(packed))
        except BadSoftware as problem:
            raise CannotBuild(f"what the instance says it holds is of no use ({problem})") from None

    async def _tried(self, ground: Ground) -> BootReport:
        """Start an instance of the image and see it do what it is for: nothing goes on that did not boot."""
        patience = self.settings.patience
        trying = await asyncio.to_thread(plan.trying, self.definition, patience)
        if self.definition.smoke_key != self.smoke_key:
            raise CannotBuild("its smoke notebooks were changed while it was built; build it again")
        marks = replace(self.marks, attempt=instance.new_attempt())
        trial = Steps(lambda line: self.steps.say(f"trial: {line}"))
        with self.steps.step("trial"):
            async with instance.instance(self.cloud, ground, marks, self.settings, trial) as tried:
                await tried.carry_out_all(trying, trial)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        seconds = {name: round(seconds, 1) for name, seconds in tried.seconds.items()}
        return BootReport(at, f"cloud {self.cloud.name}", seconds, smoke=self.smoke_key)

    async def _finished(self, image: Image, ground: Ground) -> Image:
        told = {
            properties.IMAGE: self.definition.name,
            properties.BUILD: self.id,
            properties.DEFINITION: self.key,
            properties.MADE_WITH: self.made_with,
            properties.BUILT_AT: self.began.isoformat(timespec="seconds"),
            BASE: ground.base.id,
            properties.BUILT_BY: self.builder,
        }
        return await saving.finish(self.cloud, image, told, self.settings.patience)

    async def _kept(self, image: Image, base: Image, packages: tuple[Package, ...], report: BootReport) -> Build:
        made = Build(
            image=self.definition.name,
            id=self.id,
            definition=self.key,
            kind="derived",
            at=self.began.isoformat(timespec="seconds"),
            seconds=dict(self.steps.seconds),
            disk_bytes=image.size_bytes,
            cloud=self.cloud.name,
            cloud_image=image.id,
            packages=len(packages),
            made_with=self.made_with,
            boot=report,
        )
        await asyncio.to_thread(papers.write, self.builds, made, self.definition, base, packages)
        return made

    async def _clean_up(self) -> None:
        patience, say = self.settings.patience, self.steps.say
        try:
            async with asyncio.timeout(2 * patience.delete_s):
                await leftovers.remove_all_of(self.cloud, self.builder, self.definition.name, say, patience)
        except (CloudError, TimeoutError) as error:
            told = error.detail or error.sentence if isinstance(error, CloudError) else "it took too long"
            say(f"not all of this build could be taken away ({told}); the next build does that")


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if we are cancelled meanwhile, once or again; then let the cancellation go on."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def _with_signals(work: Coroutine[Any, Any, Build], cloud: Cloud) -> Build:
    """Ctrl-C and SIGTERM end the build and not its cleaning up."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    stop: Callable[[], object] = task.cancel
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        raise Interrupted("The build was ended; what it had made in the cloud is taken away.") from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        # asyncio leaves the system's own, which would end the builds of other images on the spot.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
        await cloud.close()
