"""One handler for each message of docs/handshake.md: take it apart, let `desk` decide, tell the book, answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import prometheus_client
from tornado import web

from js2spawner.handshake import desk, messages, tickets
from js2spawner.handshake.book import Book, Expected
from js2spawner.handshake.desk import Verdict
from js2spawner.handshake.limits import RateLimit
from js2spawner.handshake.messages import BadMessage, Hello

log = logging.getLogger(__name__)

BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{43})")
SHOWN_TWICE = "The instance's ticket was shown by two parties before its server was assigned."

MESSAGES = prometheus_client.Counter(
    "js2_handshake_messages", "Messages from instances, by message and outcome.", ["message", "outcome"]
)


@dataclass(frozen=True, slots=True)
class HandshakeSettings:
    """How the hub deals with its guests. Times in seconds.

    `request_s` is how long a client may take to send a request, and how long a connection may stay open without
    one: longer than `report_s`, or every report would need a new connection.
    """

    poll_s: float = 50.0
    report_s: float = 20.0
    early_retry_s: float = 1.0
    request_s: float = 75.0
    connections_per_address: int = 8
    hellos_per_s: float = 1.0
    hello_burst: int = 10
    messages_per_s: float = 5.0
    message_burst: int = 30


class Desk:
    """What the handlers share: the book, the limits, a lock for each attempt that is admitted, who waits for a word."""

    def __init__(self, book: Book, settings: HandshakeSettings) -> None:
        self.book = book
        self.settings = settings
        self.hellos = RateLimit(settings.hellos_per_s, settings.hello_burst, time.monotonic)
        self.messages = RateLimit(settings.messages_per_s, settings.message_burst, time.monotonic)
        self.listeners: dict[str, WordHandler] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, attempt_id: str) -> asyncio.Lock:
        """Two hellos of one attempt wait for each other: the second must see what became of the first."""
        return self._locks.setdefault(attempt_id, asyncio.Lock())


def routes(shared: Desk) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The paths that guests know, and a short answer for all others."""
    given = {"shared": shared}
    return [
        ("/v1/hello", HelloHandler, given),
        ("/v1/assignment", AssignmentHandler, given),
        ("/v1/report", ReportHandler, given),
        ("/v1/word", WordHandler, given),
        ("/.*", NothingHandler, given),
    ]


class GuestHandler(web.RequestHandler):
    """What all messages have in common: a source, a rate, short JSON answers, a count."""

    message: ClassVar[str] = "other"

    def initialize(self, shared: Desk) -> None:
        self.shared = shared
        self.outcome = ""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")

    @property
    def source(self) -> str:
        return str(self.request.remote_ip)

    @property
    def limit(self) -> RateLimit:
        return self.shared.messages

    def prepare(self) -> None:
        wait_s = self.limit.wait_s(self.source)
        if wait_s:
            self.answer(429, "throttled", {"error": "Too many messages from this address.", "retry_s": wait_s})

    def answer(self, status: int, outcome: str, body: Mapping[str, Any]) -> None:
        self.outcome = outcome
        self.set_status(status)
        self.finish(dict(body))

    def refuse(self, verdict: Verdict) -> None:
        body: dict[str, Any] = {"error": verdict.sentence}
        if verdict is Verdict.EARLY:
            body["retry_s"] = self.shared.settings.early_retry_s
        self.answer(verdict.status, verdict.outcome, body)

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        self.answer(status_code, "error" if status_code >= 500 else "malformed", {"error": "This cannot be answered."})

    def on_finish(self) -> None:
        MESSAGES.labels(self.message, self.outcome or "error").inc()


class NothingHandler(GuestHandler):
    """Any other path."""

    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self.answer(404, "malformed", {"error": "There is nothing here."})


class HelloHandler(GuestHandler):
    """POST /v1/hello: the ticket for the channel."""

    message = "hello"

    @property
    def limit(self) -> RateLimit:
        return self.shared.hellos

    async def post(self) -> None:
        try:
            hello = messages.hello_from(self.request.body)
        except BadMessage as problem:
            self.answer(400, "malformed", {"error": str(problem)})
            return
        async with self.shared.lock(hello.attempt_id):
            verdict = await self._admit(hello)
        if verdict.status == 200:
            settings = self.shared.settings
            self.answer(200, verdict.outcome, {"poll_s": settings.poll_s, "report_s": settings.report_s})
        else:
            self.refuse(verdict)

    async def _admit(self, hello: Hello) -> Verdict:
        book = self.shared.book
        expected = book.expected(hello.attempt_id)
        verdict = desk.admit(expected, hello, self.source)
        if desk.quarantines(expected, verdict):
            log.warning("Attempt %s: its ticket was shown twice, by %s at last", hello.attempt_id, self.source)
            book.quarantine(hello.attempt_id, SHOWN_TWICE)
        elif verdict.status == 200:
            await book.admitted(hello.attempt_id, tickets.hashed(hello.credential), hello)
        elif verdict in (Verdict.REPLAY, Verdict.STRANGER) and expected is not None:
            log.warning("Attempt %s: refused a hello from %s (%s)", hello.attempt_id, self.source, verdict.outcome)
        return verdict


class ChannelHandler(GuestHandler):
    """A message on a channel: who speaks, and may they?"""

    def speaker(self) -> tuple[str, str] | None:
        """Attempt id and credential from the Authorization header."""
        found = BEARER.fullmatch(self.request.headers.get("Authorization", ""))
        return (found[1], found[2]) if found else None

    def authorised(self, attempt_id: str, credential: str) -> Expected | None:
        """The attempt whose channel this is; None when the answer is already given."""
        expected = self.shared.book.expected(attempt_id)
        verdict = desk.authorise(expected, credential, self.source)
        if verdict is Verdict.PASS:
            return expected
        self.refuse(verdict)
        return None


class LongPollHandler(ChannelHandler):
    """A message whose answer may take as long as `poll_s`: until there is something to say, or nothing has been."""

    def initialize(self, shared: Desk) -> None:
        super().initialize(shared)
        self.hung_up = False
        self._waiting: asyncio.Task[None] | None = None

    def on_connection_close(self) -> None:
        self.hung_up = True
        self.give_up()

    def give_up(self) -> None:
        """Wait no longer."""
        if self._waiting is not None:
            self._waiting.cancel()

    def said(self, attempt_id: str, expected: Expected) -> bool:
        """Give the answer if there is one by now."""
        raise NotImplementedError

    async def get(self) -> None:
        speaker = self.speaker()
        if speaker is None:
            self.refuse(Verdict.UNKNOWN)
            return
        attempt_id = speaker[0]
        loop = asyncio.get_running_loop()
        until = loop.time() + self.shared.settings.poll_s
        while True:
            expected = self.authorised(*speaker)
            if expected is None or self.said(attempt_id, expected):
                return
            left_s = until - loop.time()
            if left_s <= 0:
                self.say_nothing("nothing-yet")
                return
            if not await self._wait(self.shared.book.changed(attempt_id, left_s)):
                self.given_up()
                return

    def given_up(self) -> None:
        """The guest has hung up."""
        self.outcome = "hung-up"

    def say_nothing(self, outcome: str) -> None:
        self.outcome = outcome
        self.set_status(204)
        self.finish()

    async def _wait(self, change: Coroutine[Any, Any, None]) -> bool:
        """Wait for a change; False when that was given up meanwhile."""
        self._waiting = asyncio.get_running_loop().create_task(change)
        try:
            await asyncio.wait([self._waiting])
        finally:
            self._waiting.cancel()
        if self._waiting.cancelled():
            return False
        self._waiting.result()
        return True


class AssignmentHandler(LongPollHandler):
    """GET /v1/assignment: a long poll, until there is one or the time is up."""

    message = "assignment"

    def said(self, attempt_id: str, expected: Expected) -> bool:
        if expected.assignment_taken:
            self.refuse(Verdict.TAKEN)
            return True
        assignment = self.shared.book.assignment(attempt_id)
        if assignment is None:
            return False
        self.answer(200, "delivered", assignment.to_json())
        return True


class WordHandler(LongPollHandler):
    """GET /v1/word: a long poll, until the hub wants a report now.

    One for each attempt: a newer one ends the one before, whose guest may be gone without a word.
    """

    message = "word"

    def initialize(self, shared: Desk) -> None:
        super().initialize(shared)
        self._attempt_id = ""
        self._replaced = False

    def said(self, attempt_id: str, expected: Expected) -> bool:
        del expected
        if not self._attempt_id:
            self._attempt_id = attempt_id
            before = self.shared.listeners.get(attempt_id)
            self.shared.listeners[attempt_id] = self
            if before is not None:
                before.replace()
        if self._replaced:
            self.say_nothing("replaced")
            return True
        if not self.shared.book.has_word(attempt_id):
            return False
        self.answer(200, "word", {})
        return True

    def replace(self) -> None:
        """Another one listens for the same attempt now."""
        self._replaced = True
        self.give_up()

    def given_up(self) -> None:
        if self._replaced and not self.hung_up:
            self.say_nothing("replaced")
        else:
            super().given_up()

    def on_finish(self) -> None:
        super().on_finish()
        if self.shared.listeners.get(self._attempt_id) is self:
            del self.shared.listeners[self._attempt_id]


class ReportHandler(ChannelHandler):
    """POST /v1/report: how far, how well, how busy; the answer carries the hub's orders."""

    message = "report"

    async def post(self) -> None:
        speaker = self.speaker()
        if speaker is None:
            self.refuse(Verdict.UNKNOWN)
            return
        if self.authorised(*speaker) is None:
            return
        try:
            report = messages.report_from(self.request.body)
        except BadMessage as problem:
            self.answer(400, "malformed", {"error": str(problem)})
            return
        orders = await self.shared.book.report(speaker[0], report)
        self.answer(200, Verdict.PASS.outcome, orders.to_json(self.shared.settings.report_s))
