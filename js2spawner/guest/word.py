"""Hears at once that the hub wants a word: a thread with a line of its own, on which the hub keeps it waiting.

The word itself is said by the next report, and what is to be done stands in the answer to that. Without this, or with a
hub that does not know it, everything happens as before, at the pace of reports.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .channel import Away, Backoff, Channel
from .talk import ASK_TIMEOUT_S, QUICK_ANSWER_S, STRANGER_PAUSE_S

log = logging.getLogger("js2")

PATH = "/v1/word"
# A hub that does not know the question may be replaced by one that does.
UNKNOWN_PAUSE_S = 600.0
# After a word there is a report first, and then an answer to it.
AFTER_WORD_S = 1.0


class Word:
    """One life's. `heard` is true once after the hub has asked for a report."""

    def __init__(self, channel: Channel, bearer: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`channel` is for this thread alone."""
        self._channel = channel
        self._bearer = bearer
        self._clock = clock
        self._heard = threading.Event()
        self._ended = threading.Event()
        self._backoff = Backoff()
        self._thread: threading.Thread | None = None
        self._poll_s = 50.0

    def listen(self, poll_s: float) -> None:
        """Begin, if it is not begun. It ends with the process, with `end`, and when the hub says that all is over."""
        if self._thread is None:
            self._poll_s = poll_s
            self._thread = threading.Thread(target=self._run, name="word", daemon=True)
            self._thread.start()

    def heard(self) -> bool:
        """Whether the hub has asked for a report since the last call."""
        if self._heard.is_set():
            self._heard.clear()
            return True
        return False

    def end(self) -> None:
        """No further question; one that is under way is nobody's any more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            pause_s = self._ask()
            if pause_s is None:
                break
            self._ended.wait(pause_s)
        self._channel.close()

    def _ask(self) -> float | None:
        """Ask once: how long to wait before the next time; None for never again."""
        asked_at = self._clock()
        try:
            answer = self._channel.ask("GET", PATH, bearer=self._bearer, timeout_s=self._poll_s + ASK_TIMEOUT_S)
        except Away:
            # The reports say that the hub is away.
            return self._backoff.next_s()
        if answer.status == 200:
            self._backoff.reset()
            self._heard.set()
            return AFTER_WORD_S
        if answer.status == 204:
            # A hub that does not keep us waiting must not be asked all the time.
            if self._clock() - asked_at >= QUICK_ANSWER_S:
                self._backoff.reset()
                return 0.0
            return self._backoff.next_s()
        if answer.status == 410:
            # The answer to the report says the same, to who acts on it.
            self._heard.set()
            return None
        if answer.status in (404, 405):
            return UNKNOWN_PAUSE_S
        pause_s = answer.seconds("retry_s", self._backoff.next_s(), 0.1, 120.0)
        return max(pause_s, STRANGER_PAUSE_S) if answer.status in (401, 403) else pause_s
