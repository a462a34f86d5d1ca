"""A derived build from beginning to end: an image that is whole, or nothing that is left."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Gone
from js2spawner.cloud.records import Image, Server
from js2spawner.handshake import tickets
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.server import HandshakeServer
from js2spawner.library import properties
from js2spawner.library.builds import Build, Builds, new_id
from js2spawner.library.definition import Definition, Derived
from js2spawner.library.derived import booting, launching, leftovers, papers, plan, saving
from js2spawner.library.derived.book import BuilderBook
from js2spawner.library.derived.launching import Ground, Marks
from js2spawner.library.derived.progress import Say, StepBroken, Steps
from js2spawner.library.derived.settings import Settings
from js2spawner.library.scratch.tools import CannotBuild
from js2spawner.library.software import BadSoftware, Package, unpacked

REPORTS_EVERY_S = 5.0
TELL_EVERY_S = 30.0
_SOFTWARE_PART = 8000
_SOFTWARE_PARTS_AT_MOST = 40
_CONSOLE_LINES = 15


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
    making = _Making(definition, builds, cloud, settings, say, Steps(say), datetime.now(UTC))
    try:
        return await making.all()
    except StepBroken as problem:
        (builds.folder / f"failed-{definition.name}.log").write_text(problem.output)
        log = builds.folder / f"failed-{definition.name}.log"
        raise CannotBuild(f"Building {definition.name} failed at {problem} (the end of what it said: {log})") from None
    except CannotBuild as problem:
        raise CannotBuild(f"Building {definition.name} in cloud {cloud.name} failed: {problem}") from None
    except CloudError as error:
        told = f"{error.sentence.rstrip('.')} ({error.detail or error.name})"
        raise CannotBuild(f"Building {definition.name} in cloud {cloud.name} failed: {told}") from None
    except OSError as error:
        told = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise CannotBuild(f"Building {definition.name} in cloud {cloud.name} failed: {told}") from None


@dataclass
class _Making:
    definition: Definition
    builds: Builds
    cloud: Cloud
    settings: Settings
    say: Say
    steps: Steps
    began: datetime
    _said_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.builder = leftovers.builder_id(self.builds)
        self.id = new_id(self.began, self.definition.key)
        self.ticket = tickets.mint()
        # Lower case: it is part of the instance's hostname.
        attempt = f"build-{secrets.token_hex(6)}"
        self.marks = Marks.of(self.builder, self.definition.name, self.id, attempt, self.began, self.settings)
        self.book = BuilderBook(attempt, self.ticket, self._still_at_it)

    async def all(self) -> Build:
        patience = self.settings.patience
        tasks = await asyncio.to_thread(plan.tasks, self.definition, patience)
        with self.steps.step("leftovers, base and network"):
            name = self.definition.name
            await leftovers.sweep(self.cloud, self.builder, name, self.builds, self.say, patience)
            ground = await launching.survey(self.cloud, self.definition, self.settings)
        try:
            async with asyncio.timeout(patience.all_s), self._counter() as (url, authority):
                server = await self._launched(ground, url, authority)
                packages = await self._beside(server.id, self._built(tasks))
                image = await self._saved(server, ground)
        except TimeoutError:
            raise CannotBuild(f"it was not done within {patience.all_s / 3600:g} hours") from None
        finally:
            self.book.close()
            await _to_its_end(self._clean_up())
        return await self._kept(image, packages)

    @asynccontextmanager
    async def _counter(self) -> AsyncIterator[tuple[str, Authority]]:
        """Listen for the instance; the authority it trusts is of this one build."""
        settings = self.settings
        with tempfile.TemporaryDirectory(prefix="js2-authority-") as folder:
            authority = await asyncio.to_thread(Authority.open, Path(folder) / "authority", settings.host)
            server = HandshakeServer(
                self.book,
                bind_address=settings.bind_address,
                port=settings.port,
                authority=authority,
                # One instance that is to go fast, where a hub has hundreds that are not to crowd it.
                settings=HandshakeSettings(report_s=REPORTS_EVERY_S, messages_per_s=100.0, message_burst=500),
            )
            try:
                await server.start()
            except OSError as error:
                where = f"{settings.bind_address}:{settings.port}"
                raise CannotBuild(f"nothing can listen on {where} ({error.strerror}); see --handshake-bind") from None
            try:
                yield settings.url or server.url, authority
            finally:
                await server.stop()

    async def _launched(self, ground: Ground, url: str, authority: Authority) -> Server:
        text = booting.boot_text(
            url=url,
            authority_pem=authority.ca_pem,
            attempt_id=self.marks.attempt,
            ticket=self.ticket,
            with_program=not ground.holds_guest,
        )
        with self.steps.step("instance"):
            server = await launching.launch(self.cloud, ground, self.marks, text, self.settings)
        self.book.launched(server.id, server.addresses)
        with self.steps.step("boot"):
            await self._beside(server.id, self._greeted(server.id))
        return server

    async def _greeted(self, server_id: str) -> None:
        patience = self.settings.patience
        until = time.monotonic() + patience.boot_s
        while not self.book.greeted:
            self.book.heard_at = time.monotonic()
            if time.monotonic() > until:
                await self._show_console(server_id)
                raise CannotBuild(
                    f"the instance did not say hello within {patience.boot_s:.0f} s; it must reach this machine at the"
                    " address of --handshake-url, and its address must reach us unchanged"
                )
            await asyncio.sleep(min(0.2, patience.look_every_s))

    async def _built(self, tasks: list[plan.Task]) -> tuple[Package, ...]:
        of = sum(len(task.steps) for task in tasks) + 2
        for number, task in enumerate(tasks, 1):
            with self.steps.step(f"{task.name} ({number} of {len(tasks)})"):
                for do in task.steps:
                    await self.book.carry_out(do, task.deadline_s, of)
        clean_s = self.settings.patience.clean_s
        with self.steps.step("list of software"):
            packages = await self._software(clean_s, of)
        with self.steps.step("cleaning"):
            report = await self.book.carry_out({"kind": "clean"}, clean_s, of)
        if report.stage != "built":
            raise CannotBuild("the guest program did not say that it is done")
        return packages

    async def _software(self, deadline_s: float, of: int) -> tuple[Package, ...]:
        packed = ""
        for part in range(_SOFTWARE_PARTS_AT_MOST):
            report = await self.book.carry_out({"kind": "software", "part": part}, deadline_s, of)
            packed += report.result.strip()
            if len(report.result) < _SOFTWARE_PART:
                break
        try:
            return papers.with_licences(unpacked(packed))
        except BadSoftware as problem:
            raise CannotBuild(f"what the instance says it holds is of no use ({problem})") from None

    async def _saved(self, server: Server, ground: Ground) -> Image:
        patience = self.settings.patience
        with self.steps.step("stop"):
            await saving.stop(self.cloud, server.id, patience)
        with self.steps.step("save"):
            image = await saving.save(self.cloud, server.id, self.marks, patience)
        told = {
            properties.IMAGE: self.definition.name,
            properties.BUILD: self.id,
            properties.DEFINITION: self.definition.key,
            properties.BUILT_AT: self.began.isoformat(timespec="seconds"),
            "js2_base": ground.base.id,
        }
        return await saving.finish(self.cloud, image, told)

    async def _kept(self, image: Image, packages: tuple[Package, ...]) -> Build:
        made = Build(
            image=self.definition.name,
            id=self.id,
            definition=self.definition.key,
            kind="derived",
            at=self.began.isoformat(timespec="seconds"),
            seconds=dict(self.steps.seconds),
            disk_bytes=image.size_bytes,
            cloud=self.cloud.name,
            cloud_image=image.id,
            packages=len(packages),
        )
        await asyncio.to_thread(papers.write, self.builds, made, self.definition, packages)
        return made

    async def _beside(self, server_id: str, work: Coroutine[Any, Any, Any]) -> Any:
        """Do the work while Nova still has the instance, and while it is heard of."""
        doing = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._watch(server_id))
        try:
            await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else watching.result()
        finally:
            for each in (doing, watching):
                each.cancel()
            await asyncio.gather(doing, watching, return_exceptions=True)

    async def _watch(self, server_id: str) -> None:
        patience = self.settings.patience
        while True:
            await asyncio.sleep(min(5.0, 5 * patience.look_every_s))
            if self.book.broken:
                raise CannotBuild(self.book.broken)
            if time.monotonic() - self.book.heard_at > patience.silence_s:
                await self._show_console(server_id)
                raise CannotBuild(f"the instance has said nothing for {patience.silence_s:.0f} s")
            try:
                server = await self.cloud.compute.get_server(server_id)
            except Gone:
                raise CannotBuild("somebody deleted the instance") from None
            except CloudError:
                continue  # the cloud is away for a moment; the instance works on
            if server.status in ("ERROR", "SHUTOFF", "DELETED", "SHELVED_OFFLOADED", "PAUSED", "SUSPENDED"):
                raise CannotBuild(f"the instance became {server.status} in the middle of the build")

    async def _show_console(self, server_id: str) -> None:
        with suppress(CloudError):
            console = await self.cloud.compute.console_log(server_id, lines=_CONSOLE_LINES)
            for line in console.splitlines()[-_CONSOLE_LINES:]:
                self.say("console: " + "".join(c if c.isprintable() else " " for c in line)[:200])

    def _still_at_it(self, line: str) -> None:
        now = time.monotonic()
        if line and now - self._said_at >= TELL_EVERY_S:
            self._said_at = now
            self.say(f"  … {line[:160]}")

    async def _clean_up(self) -> None:
        patience = self.settings.patience
        try:
            async with asyncio.timeout(2 * patience.delete_s):
                await leftovers.remove_all_of(self.cloud, self.builder, self.definition.name, self.say, patience)
        except (CloudError, TimeoutError) as error:
            told = error.detail or error.sentence if isinstance(error, CloudError) else "it took too long"
            self.say(f"not all of this build could be taken away ({told}); the next build of it does that")


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
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        raise Interrupted("The build was ended; what it had made in the cloud is taken away.") from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        await cloud.close()
