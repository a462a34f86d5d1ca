"""The builder's book: one attempt, and one step of its build at a time, each given until its end was told.

What the guest says is as hostile here as to a hub: it arrives bounded and checked, and only the step that is under way
can be answered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from js2spawner.handshake import tickets
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import BuildStep, Hello, Orders, Report
from js2spawner.library.derived.bundle import Do
from js2spawner.library.scratch.tools import CannotBuild, StepFailed

LATE_S = 60.0
"""How much later than its deadline a step may be told to have ended: the guest keeps the deadline itself."""

_WORDS_AT_MOST = 800


class StepBroken(StepFailed):
    """A step did not work on the instance. The text ends with its own words, `output` holds all that came of them."""

    def __init__(self, what: str, output: str, step: str = "") -> None:
        self.what, self.output, self.step = what, output, step
        words = " / ".join([line.strip() for line in output.splitlines() if line.strip()][-4:])[-_WORDS_AT_MOST:]
        super().__init__((f"step “{step}”: " if step else "") + what + (f": {words}" if words else ""))

    def at(self, step: str, seconds: float) -> StepBroken:
        where = f"{step}: {self.step}" if self.step else f"{step}, after {seconds:.0f} s"
        return StepBroken(self.what, self.output, where)


class BuilderBook:
    """`handshake.book.Book` for one instance. `told` gets the last line of what a long step says."""

    def __init__(
        self,
        attempt_id: str,
        ticket: str,
        told: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempt_id = attempt_id
        self._ticket_hash = tickets.hashed(ticket)
        self._told = told
        self._clock = clock
        self._channel_hash = ""
        self._server_id = ""
        self._addresses: tuple[str, ...] = ()
        self._boot_id = ""
        self._broken = ""
        self._closed = False
        self._step: BuildStep | None = None
        self._answer: asyncio.Future[Report] | None = None
        self._number = 0
        self._news = asyncio.Condition()
        self.heard_at = clock()

    def launched(self, server_id: str, addresses: tuple[str, ...]) -> None:
        """What Nova says of the instance: nobody else is listened to."""
        self._server_id, self._addresses = server_id, addresses

    def close(self) -> None:
        """The build is over, however it went."""
        self._closed = True

    @property
    def greeted(self) -> bool:
        return bool(self._channel_hash)

    @property
    def broken(self) -> str:
        """Why this instance cannot be built on any more; empty while it can."""
        return self._broken

    async def carry_out(self, do: Do, deadline_s: float, of: int) -> Report:
        """Give a step and wait for its end. Raises StepBroken with the step's own words, CannotBuild."""
        self._number += 1
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._step = BuildStep(f"{self._number}-{secrets.token_hex(4)}", self._number, of, deadline_s, do)
        await self._tell_news()
        try:
            async with asyncio.timeout(deadline_s + LATE_S):
                report: Report = await answer
        except TimeoutError:
            raise CannotBuild(f"its end was not told within {deadline_s + LATE_S:.0f} s") from None
        finally:
            self._step = self._answer = None
        if report.stage == "failed":
            if report.problem != "build":
                raise CannotBuild(f"the guest program of the base is too old to build on ({report.detail})")
            raise StepBroken(report.detail.rstrip(".") or "it did not work", report.result)
        return report

    def expected(self, attempt_id: str) -> Expected | None:
        if attempt_id != self._attempt_id:
            return None
        return Expected(
            attempt_id=attempt_id,
            ticket_hash=self._ticket_hash,
            channel_hash=self._channel_hash,
            server_id=self._server_id,
            addresses=self._addresses,
            closed=self._closed,
            quarantined=bool(self._broken),
            assignment_taken=False,
        )

    async def admitted(self, attempt_id: str, channel_hash: str, hello: Hello) -> None:  # noqa: ARG002, there is one
        if self._boot_id and hello.boot_id != self._boot_id:
            self._broken = "the instance restarted in the middle of the build"
        self._boot_id, self._channel_hash = hello.boot_id, channel_hash
        await self._heard()

    def quarantine(self, attempt_id: str, why: str) -> None:  # noqa: ARG002, there is one
        self._broken = why.rstrip(".")

    def assignment(self, attempt_id: str) -> BuildStep | None:  # noqa: ARG002, there is one
        self.heard_at = self._clock()
        return self._step

    async def changed(self, attempt_id: str, timeout_s: float) -> None:  # noqa: ARG002, there is one
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait()
        except TimeoutError:
            pass

    def has_word(self, attempt_id: str) -> bool:  # noqa: ARG002, nothing is ordered but steps
        return False

    async def report(self, attempt_id: str, report: Report) -> Orders:  # noqa: ARG002, there is one
        step, answer = self._step, self._answer
        if step is not None and answer is not None and not answer.done():
            if report.assignment_id == step.id and report.stage in ("building", "built", "failed"):
                # From here on it is given to nobody: an answer that was lost is told again, and heard as nothing new.
                self._step = None
                answer.set_result(report)
            elif report.stage == "failed" and not report.assignment_id:
                answer.set_result(report)
            elif report.stage == "building" and not report.assignment_id:
                self._told(report.detail)
        await self._heard()
        return Orders()

    async def _heard(self) -> None:
        self.heard_at = self._clock()
        await self._tell_news()

    async def _tell_news(self) -> None:
        async with self._news:
            self._news.notify_all()
