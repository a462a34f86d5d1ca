"""The hub's side of one attempt, in memory: who may say hello, what it is given, and when it reported what."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from js2spawner.handshake import tickets
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import Assignment, Hello, Orders, Report

# More boots than a test makes; a machine that reboots for ever fills no memory.
BOOTS_AT_MOST = 8


@dataclass(slots=True)
class Boot:
    """One boot as it was seen from here: seconds by our clock."""

    id: str
    hello_at: float
    stages: dict[str, float] = field(default_factory=dict)
    kernel_at: float | None = None
    """When the guest's clock started: no later than any report's arrival less the uptime in it."""
    last: Report | None = None


class OneAttempt:
    """A `handshake.book.Book` with one attempt in it, whose assignment is there from the start or is given later."""

    def __init__(self, server_id: str, given: Assignment | None, clock: Callable[[], float]) -> None:
        self.id = "test-" + secrets.token_hex(6)
        self.ticket = tickets.mint()
        self.boots: list[Boot] = []
        self.quarantined = ""
        self._given = given
        self._orders = Orders()
        self._has_word = False
        self._clock = clock
        self._changed = asyncio.Condition()
        # Through QEMU, the guest's connections come from this machine itself.
        home = ("127.0.0.1",)
        self._expected = Expected(self.id, tickets.hashed(self.ticket), "", server_id, home, False, False, False)

    @property
    def boot(self) -> Boot | None:
        return self.boots[-1] if self.boots else None

    async def give(self, assignment: Assignment) -> None:
        """What the attempt is to become; it is delivered at once."""
        self._given = assignment
        await self._notify()

    async def order(self, orders: Orders) -> None:
        """What every report is answered from now on; the next one is asked for."""
        self._orders, self._has_word = orders, True
        await self._notify()

    def expected(self, attempt_id: str) -> Expected | None:
        return self._expected if attempt_id == self.id else None

    async def admitted(self, attempt_id: str, channel_hash: str, hello: Hello) -> None:  # noqa: ARG002 - there is one
        taken = self._expected.assignment_taken
        if hello.boot_id not in [boot.id for boot in self.boots] and len(self.boots) < BOOTS_AT_MOST:
            self.boots.append(Boot(hello.boot_id, self._clock()))
            if taken and self._given is not None:
                # As the hub does it: given again to another boot, under another id.
                self._given = dataclasses.replace(self._given, id=secrets.token_hex(8))
                taken = False
        await self._change(channel_hash=channel_hash, assignment_taken=taken)

    def quarantine(self, attempt_id: str, why: str) -> None:  # noqa: ARG002 - there is one
        self.quarantined = why
        self._expected = dataclasses.replace(self._expected, quarantined=True)

    def assignment(self, attempt_id: str) -> Assignment | None:  # noqa: ARG002 - there is one
        return self._given

    async def changed(self, attempt_id: str, timeout_s: float) -> None:  # noqa: ARG002 - there is one
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait()
        except TimeoutError:
            pass

    def has_word(self, attempt_id: str) -> bool:  # noqa: ARG002 - there is one
        return self._has_word

    async def report(self, attempt_id: str, report: Report) -> Orders:  # noqa: ARG002 - there is one
        boot = self.boot
        if boot is not None:
            now = self._clock()
            boot.last = report
            boot.stages.setdefault(report.stage, now)
            began = now - report.health.uptime_s
            boot.kernel_at = began if boot.kernel_at is None else min(boot.kernel_at, began)
        given_id = None if self._given is None else self._given.id
        self._has_word = False
        await self._change(assignment_taken=self._expected.assignment_taken or report.assignment_id == given_id)
        return self._orders

    async def _change(self, *, channel_hash: str | None = None, assignment_taken: bool) -> None:
        channel = self._expected.channel_hash if channel_hash is None else channel_hash
        self._expected = dataclasses.replace(self._expected, channel_hash=channel, assignment_taken=assignment_taken)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
