"""The guest's side of every message of docs/handshake.md, with what each answer means for us."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import VERSION
from .channel import SOON_S, Answer, Away, Backoff, Channel
from .seed import Seed

log = logging.getLogger("js2")

ASK_TIMEOUT_S = 10.0
STRANGER_PAUSE_S = 30.0
STRANGER_PATIENCE_S = 600.0
QUICK_ANSWER_S = 0.5


class Ended(Exception):
    """The hub says that this attempt is over: end the user's processes and stop."""


class Refused(Exception):
    """The hub will never accept this instance; the message says why."""


class Talk:
    """The conversation of one attempt. Any message raises Ended when the hub ends the attempt.

    `hello` and `await_assignment` try for ever while the hub is away; `report` tries once.
    """

    def __init__(
        self,
        seed: Seed,
        channel: Channel,
        credential: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._seed = seed
        self._channel = channel
        self._credential = credential
        self.bearer = f"{seed.attempt}.{credential}"
        self._clock = clock
        self._sleep = sleep
        self._poll_s = 50.0
        self._report_s = 20.0
        self._next_report = 0.0
        self._backoff = Backoff()
        self._away = False

    def hello(self) -> None:
        """Trade the ticket for the channel. Raises Refused."""
        message = {
            "attempt": self._seed.attempt,
            "ticket": self._seed.ticket,
            "credential": self._credential,
            "instance_id": self._seed.instance_id,
            "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "guest": VERSION,
        }
        stranger_since: float | None = None
        while True:
            answer = self._ask_for_ever("POST", "/v1/hello", bearer="", body=message)
            if answer.status == 200:
                self._poll_s = answer.seconds("poll_s", 50.0, 1.0, 300.0)
                self._report_s = answer.seconds("report_s", 20.0, 0.2, 300.0)
                log.info("the hub admitted this instance")
                return
            if answer.status == 409:
                raise Refused("this instance's ticket was shown before")
            if answer.status == 403:
                # An address may be seconds old in the hub's eyes, so the first refusals are not final.
                stranger_since = self._clock() if stranger_since is None else stranger_since
                if self._clock() - stranger_since >= STRANGER_PATIENCE_S:
                    raise Refused("the hub does not know this instance")
                log.info("the hub does not know this instance yet")
                self._sleep(STRANGER_PAUSE_S)
            else:
                self._sleep(answer.seconds("retry_s", self._backoff.next_s(), 0.1, 120.0))

    def await_assignment(self) -> Mapping[str, Any]:
        """Ask until there is an assignment, and hand it over unchecked. Raises Refused."""
        timeout_s = self._poll_s + ASK_TIMEOUT_S
        taken_since: float | None = None
        while True:
            asked_at = self._clock()
            answer = self._ask_for_ever("GET", "/v1/assignment", bearer=self.bearer, timeout_s=timeout_s)
            if answer.status == 200:
                return answer.body
            if answer.status == 409:
                # Taken before the last reboot. The hub gives it again to who says hello again; one that was restarted
                # in between has to be told of the reboot once more.
                taken_since = self._clock() if taken_since is None else taken_since
                if self._clock() - taken_since >= STRANGER_PATIENCE_S:
                    raise Refused("the assignment was taken before")
                self._sleep(STRANGER_PAUSE_S)
                self.hello()
            elif answer.status in (401, 403):
                self._sleep(STRANGER_PAUSE_S)
            elif answer.status != 204:
                self._sleep(answer.seconds("retry_s", self._backoff.next_s(), 0.1, 120.0))
            elif self._clock() - asked_at < QUICK_ANSWER_S:
                # A poll that ends at once would otherwise become a busy loop.
                self._sleep(1.0)

    @property
    def poll_s(self) -> float:
        """How long the hub keeps a question waiting."""
        return self._poll_s

    @property
    def report_s(self) -> float:
        """Seconds between two reports, as the hub last said."""
        return self._report_s

    def report_is_due(self) -> bool:
        """Whether it is time for the next report."""
        return self._clock() >= self._next_report

    def report(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Send one report; the answer to it, or None when the hub is away or will not listen now."""
        try:
            answer = self._ask("POST", "/v1/report", bearer=self.bearer, body=message, timeout_s=ASK_TIMEOUT_S)
        except Away as problem:
            self._note_away(problem)
            self._next_report = self._clock() + self._backoff.next_s()
            return None
        if answer.status != 200:
            pause_s = answer.seconds("retry_s", self._backoff.next_s(), 0.1, 120.0)
            self._next_report = self._clock() + (STRANGER_PAUSE_S if answer.status in (401, 403) else pause_s)
            return None
        self._backoff.reset()
        self._report_s = answer.seconds("report_s", self._report_s, 0.2, 300.0)
        self._next_report = self._clock() + self._report_s
        if answer.body.get("order") == "stop":
            raise Ended
        return answer.body

    def _ask_for_ever(
        self,
        method: str,
        path: str,
        *,
        bearer: str,
        body: Mapping[str, Any] | None = None,
        timeout_s: float = ASK_TIMEOUT_S,
    ) -> Answer:
        while True:
            try:
                answer = self._ask(method, path, bearer=bearer, body=body, timeout_s=timeout_s)
            except Away as problem:
                self._note_away(problem)
                self._sleep(SOON_S if problem.soon else self._backoff.next_s())
                continue
            if answer.status in (200, 204):
                self._backoff.reset()
            return answer

    def _ask(self, method: str, path: str, *, bearer: str, body: Mapping[str, Any] | None, timeout_s: float) -> Answer:
        answer = self._channel.ask(method, path, bearer=bearer, body=body, timeout_s=timeout_s)
        if self._away:
            log.info("the hub is back")
            self._away = False
        if answer.status == 410:
            raise Ended
        return answer

    def _note_away(self, problem: Away) -> None:
        if not self._away:
            log.info("%s; trying again until it does", problem)
            self._away = True
