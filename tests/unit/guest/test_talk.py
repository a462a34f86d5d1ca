"""What each of the hub's answers means to a guest; hours of waiting in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from js2spawner.guest.channel import Answer, Away, Backoff
from js2spawner.guest.seed import Seed
from js2spawner.guest.talk import Ended, Refused, Talk

SEED = Seed("server-1", "10.0.0.5", 8710, "PEM", "attempt-1", "T" * 43)


class Hub:
    """Gives its answers one after another, the last one for ever; an Away instead of an answer is raised."""

    def __init__(self, *answers: Answer | Away) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.now = 0.0

    def ask(
        self, method: str, path: str, *, bearer: str = "", body: Mapping[str, Any] | None = None, timeout_s: float
    ) -> Answer:
        self.asked.append((path, bearer))
        self.now += 0.01
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Away):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def talk(self) -> Talk:
        return Talk(SEED, self, "C" * 43, lambda: self.now, self.sleep)  # type: ignore[arg-type]


def ok(**body: Any) -> Answer:
    return Answer(200, body)


def test_a_hello_goes_on_when_admitted() -> None:
    hub = Hub(ok(poll_s=50, report_s=20))
    hub.talk.hello()
    assert hub.asked == [("/v1/hello", "")]


def test_a_hub_that_is_away_is_tried_for_ever_and_less_and_less_often() -> None:
    hub = Hub(*[Away("away")] * 200, ok())
    hub.talk.hello()
    assert len(hub.asked) == 201
    assert hub.now > 190 * 15


def test_too_early_is_tried_again_as_soon_as_told() -> None:
    hub = Hub(Answer(425, {"retry_s": 1}), ok())
    hub.talk.hello()
    assert hub.now == pytest.approx(1.02)


def test_a_stranger_tries_for_ten_minutes_and_stops() -> None:
    hub = Hub(Answer(403, {}))
    with pytest.raises(Refused):
        hub.talk.hello()
    assert 600 <= hub.now < 640
    assert len(hub.asked) <= 22


def test_a_ticket_shown_before_stops_at_once() -> None:
    hub = Hub(Answer(409, {}))
    with pytest.raises(Refused):
        hub.talk.hello()
    assert len(hub.asked) == 1


@pytest.mark.parametrize("message", ["hello", "await_assignment"])
def test_an_ended_attempt_ends_the_guest(message: str) -> None:
    with pytest.raises(Ended):
        getattr(Hub(Answer(410, {})).talk, message)()


def test_a_poll_without_news_is_asked_again_on_the_channel() -> None:
    hub = Hub(Answer(204, {}), ok(id="a"))
    assert hub.talk.await_assignment() == {"id": "a"}
    assert hub.asked == [("/v1/assignment", f"attempt-1.{'C' * 43}")] * 2


def test_a_hub_that_answers_polls_at_once_does_not_become_a_busy_loop() -> None:
    hub = Hub(*[Answer(204, {})] * 60, ok(id="a"))
    hub.talk.await_assignment()
    assert hub.now >= 60


def test_an_assignment_taken_before_the_reboot_is_asked_for_with_another_hello() -> None:
    hub = Hub(Answer(409, {}), ok(), ok(id="a"))
    assert hub.talk.await_assignment() == {"id": "a"}
    assert [path for path, _ in hub.asked] == ["/v1/assignment", "/v1/hello", "/v1/assignment"]


def test_a_hub_that_gives_a_taken_assignment_to_nobody_is_left_after_ten_minutes() -> None:
    hub = Hub(*[answer for _ in range(100) for answer in (Answer(409, {}), ok())])
    with pytest.raises(Refused, match="taken"):
        hub.talk.await_assignment()
    assert 600 <= hub.now < 660


@pytest.mark.parametrize("status", [401, 403])
def test_a_channel_that_is_not_known_is_tried_slowly(status: int) -> None:
    hub = Hub(Answer(status, {}), ok(id="a"))
    hub.talk.await_assignment()
    assert hub.now >= 30


def test_a_report_is_due_again_when_the_hub_said() -> None:
    hub = Hub(ok(report_s=7))
    talk = hub.talk
    talk.report({})
    assert not talk.report_is_due()
    hub.now += 7
    assert talk.report_is_due()


def test_a_report_to_a_hub_that_is_away_is_tried_again_later() -> None:
    hub = Hub(Away("away"))
    talk = hub.talk
    assert talk.report({}) is None
    hub.now += 1
    assert talk.report_is_due()


def test_the_order_to_stop_ends_the_guest() -> None:
    with pytest.raises(Ended):
        Hub(ok(order="stop")).talk.report({})


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_no_other_answer_to_a_report_ends_anything(status: int) -> None:
    assert Hub(Answer(status, {})).talk.report({}) is None


@pytest.mark.parametrize("nonsense", [None, "7", True, float("nan"), -5, 1e9, []])
def test_the_hubs_times_are_kept_within_reason(nonsense: Any) -> None:
    assert 0.2 <= Answer(200, {"report_s": nonsense}).seconds("report_s", 20.0, 0.2, 300.0) <= 300.0


def test_waits_double_to_a_limit_and_are_never_in_step() -> None:
    longest = Backoff(1.0, 8.0, chance=lambda: 1.0)
    shortest = Backoff(1.0, 8.0, chance=lambda: 0.0)
    assert [longest.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert [shortest.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
