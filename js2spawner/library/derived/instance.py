"""One instance of a build, from its launch to its hello, and steps carried out on it while it lives."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import CloudError, Gone
from js2spawner.handshake import tickets
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import Report
from js2spawner.handshake.server import HandshakeServer
from js2spawner.library.derived import booting, launching
from js2spawner.library.derived.book import BuilderBook
from js2spawner.library.derived.bundle import Do
from js2spawner.library.derived.launching import Ground, Marks
from js2spawner.library.derived.plan import Task
from js2spawner.library.derived.settings import Settings
from js2spawner.library.scratch.tools import CannotBuild
from js2spawner.library.steps import Say, Steps

T = TypeVar("T")

REPORTS_EVERY_S = 5.0
TELL_EVERY_S = 30.0
_CONSOLE_LINES = 15
_DEAD = ("ERROR", "SHUTOFF", "DELETED", "SOFT_DELETED", "SHELVED_OFFLOADED", "PAUSED", "SUSPENDED")


def new_attempt() -> str:
    """Lower case: it is part of the instance's hostname."""
    return f"build-{secrets.token_hex(6)}"


@dataclass
class Instance:
    """It has said hello. `seconds` until Nova had it on, and until the hello after that."""

    id: str
    seconds: dict[str, float]
    _cloud: Cloud
    _book: BuilderBook
    _settings: Settings
    _say: Say

    async def carry_out(self, do: Do, deadline_s: float, of: int) -> Report:
        """One step, while Nova still has the instance and while it is heard of. Raises CannotBuild."""
        return await beside(self._book.carry_out(do, deadline_s, of), self._watch())

    async def carry_out_all(self, tasks: Sequence[Task], steps: Steps) -> None:
        """Tasks one after another, each said when it is done."""
        of = sum(len(task.steps) for task in tasks)
        for number, task in enumerate(tasks, 1):
            with steps.step(f"{task.name} ({number} of {len(tasks)})"):
                for do in task.steps:
                    await self.carry_out(do, task.deadline_s, of)

    async def greeted(self) -> None:
        """Wait for the hello. Raises CannotBuild."""
        await beside(self._hello(), self._watch())

    async def _hello(self) -> None:
        patience = self._settings.patience
        until = time.monotonic() + patience.boot_s
        while not self._book.greeted:
            self._book.heard_at = time.monotonic()
            if time.monotonic() > until:
                await self._show_console()
                raise CannotBuild(
                    f"the instance did not say hello within {patience.boot_s:.0f} s; it must reach this machine at the"
                    " address of --handshake-url, and its address must reach us unchanged"
                )
            await asyncio.sleep(min(0.2, patience.look_every_s))

    async def _watch(self) -> None:
        patience = self._settings.patience
        while True:
            await asyncio.sleep(min(5.0, 5 * patience.look_every_s))
            if self._book.broken:
                raise CannotBuild(self._book.broken)
            if time.monotonic() - self._book.heard_at > patience.silence_s:
                await self._show_console()
                raise CannotBuild(f"the instance has said nothing for {patience.silence_s:.0f} s")
            try:
                server = await self._cloud.compute.get_server(self.id)
            except Gone:
                raise CannotBuild("somebody deleted the instance") from None
            except CloudError:
                continue  # the cloud is away for a moment; the instance works on
            if server.status in _DEAD:
                raise CannotBuild(f"the instance became {server.status} in the middle of the build")

    async def _show_console(self) -> None:
        with suppress(CloudError):
            console = await self._cloud.compute.console_log(self.id, lines=_CONSOLE_LINES)
            for line in console.splitlines()[-_CONSOLE_LINES:]:
                self._say("console: " + "".join(c if c.isprintable() else " " for c in line)[:200])


@asynccontextmanager
async def instance(
    cloud: Cloud, ground: Ground, marks: Marks, settings: Settings, steps: Steps
) -> AsyncIterator[Instance]:
    """An instance of `ground` that has said hello, and a counter for it for as long. Deleting it is the caller's.

    Raises CannotBuild, CloudError.
    """
    ticket = tickets.mint()
    book = BuilderBook(marks.attempt, ticket, _Murmur(steps.say))
    async with _counter(book, settings) as (url, authority):
        try:
            text = booting.boot_text(
                url=url,
                authority_pem=authority.ca_pem,
                attempt_id=marks.attempt,
                ticket=ticket,
                with_program=not ground.holds_guest,
            )
            began = time.monotonic()
            with steps.step("instance"):
                server = await launching.launch(cloud, ground, marks, text, settings)
            on = time.monotonic()
            book.launched(server.id, server.addresses)
            made = Instance(server.id, {"instance": on - began}, cloud, book, settings, steps.say)
            with steps.step("boot"):
                await made.greeted()
            made.seconds["boot"] = time.monotonic() - on
            yield made
        finally:
            book.close()


@asynccontextmanager
async def _counter(book: BuilderBook, settings: Settings) -> AsyncIterator[tuple[str, Authority]]:
    """Listen for the instance; the authority it trusts is of this one instance."""
    with tempfile.TemporaryDirectory(prefix="js2-authority-") as folder:
        authority = await asyncio.to_thread(Authority.open, Path(folder) / "authority", settings.host)
        server = HandshakeServer(
            book,
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


async def beside(work: Coroutine[Any, Any, T], watch: Coroutine[Any, Any, None]) -> T:
    """The result of the work, or what the watch raises before there is one."""
    doing, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch)
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            watching.result()
        return await doing
    finally:
        for each in (doing, watching):
            each.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


@dataclass
class _Murmur:
    """Now and then the last line of what a long step says."""

    say: Say
    _said_at: float = field(default_factory=time.monotonic)

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if line and now - self._said_at >= TELL_EVERY_S:
            self._said_at = now
            self.say(f"  … {line[:160]}")
