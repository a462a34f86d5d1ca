"""A word from the hub makes the next report due at once; whatever else is answered costs nobody anything."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from js2spawner.guest import word
from js2spawner.guest.channel import Answer, Away
from js2spawner.guest.word import Word


class Hub:
    """Answers in turn; the last answer stays."""

    def __init__(self, *answers: Answer | Away) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, str, float]] = []
        self.closed = False

    def ask(self, method: str, path: str, *, bearer: str, timeout_s: float) -> Answer:
        self.asked.append((method, path, bearer, timeout_s))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Away):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def answer(status: int, **body: Any) -> Answer:
    return Answer(status, body)


def listener(hub: Hub, takes_s: float = 50.0) -> Word:
    """On its clock every question takes as long as the hub keeps it waiting."""
    now = [0.0]

    def clock() -> float:
        now[0] += takes_s
        return now[0]

    return Word(cast("Any", hub), "attempt.credential", clock)


def test_a_word_is_heard_once() -> None:
    made = listener(Hub(answer(200)))
    assert not made.heard()
    assert made._ask() == word.AFTER_WORD_S
    assert (made.heard(), made.heard()) == (True, False)


def test_the_hub_is_asked_again_at_once_when_it_had_nothing_to_say() -> None:
    made = listener(Hub(answer(204)))
    assert (made._ask(), made.heard()) == (0.0, False)


def test_a_hub_that_answers_at_once_is_asked_more_and_more_rarely() -> None:
    made = listener(Hub(answer(204)), takes_s=0.0)
    pauses = [made._ask() or 0.0 for _ in range(12)]
    assert all(pause > 0.1 for pause in pauses)
    assert max(pauses) > 10.0


@pytest.mark.parametrize(
    ("told", "least"),
    [
        (answer(404), 600.0),
        (answer(405), 600.0),
        (answer(401), 30.0),
        (answer(403), 30.0),
        (answer(429, retry_s=7.0), 7.0),
        (answer(425, retry_s=3.0), 3.0),
        (answer(500), 0.2),
        (Away("gone"), 0.2),
    ],
)
def test_whatever_else_it_says_is_no_word_and_no_reason_to_ask_often(told: Answer | Away, least: float) -> None:
    made = listener(Hub(told))
    pause_s = made._ask()
    assert pause_s is not None
    assert pause_s >= least
    assert not made.heard()


def test_the_end_of_the_attempt_is_a_word_and_the_last_question() -> None:
    made = listener(Hub(answer(410)))
    assert made._ask() is None
    assert made.heard()


def test_it_listens_in_a_thread_of_its_own_until_all_is_over() -> None:
    hub = Hub(answer(200), answer(410))
    made = Word(cast("Any", hub), "attempt.credential")
    made._ended.wait = lambda _s: False  # type: ignore[method-assign, assignment]
    made.listen(5.0)
    made.listen(5.0)
    assert made._thread is not None
    made._thread.join(20)
    assert not made._thread.is_alive()
    assert hub.closed
    assert hub.asked == [("GET", "/v1/word", "attempt.credential", 15.0)] * 2


def test_an_end_from_here_is_heeded() -> None:
    made = listener(Hub(answer(404)))
    made.listen(5.0)
    made.end()
    for thread in threading.enumerate():
        if thread.name == "word":
            thread.join(20)
            assert not thread.is_alive()
