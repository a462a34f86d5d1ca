"""Quotas between two questions: never too little is counted."""

from __future__ import annotations

from dataclasses import dataclass

from js2spawner.cloud.records import Limits
from js2spawner.failures import failure
from js2spawner.fleet.ledger import Ledger
from js2spawner.instance import Building, Ended, Ending, Planned, State
from js2spawner.line import EVERYTHING, Candidate, Size
from tests.unit.lives import T0, record

IU = Candidate("IU", "m3.small")
STOPPED = failure("stopped")


@dataclass
class Clock:
    now: float = T0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def ledger() -> Ledger:
    return Ledger(lambda _: Size(1, 2, 6), Clock())


def tell(book: Ledger, *states: State) -> None:
    for state in states:
        book.note(record(state))


def free(book: Ledger) -> float:
    return book.room("IU")[0].instances


def ask(book: Ledger, used: int) -> None:
    book.learn("IU", Limits(used, 10, 0, None, 0, None), book.clock())


def test_without_figures_there_is_room_for_everything() -> None:
    assert ledger().room("IU") == (EVERYTHING, EVERYTHING)


def test_what_was_accepted_after_the_question_is_counted_beside_the_answer() -> None:
    book = ledger()
    ask(book, used=0)
    tell(book, Planned(T0))
    assert free(book) == 9
    tell(book, Building(T0, "server"))
    assert free(book) == 9
    ask(book, used=1)
    assert free(book) == 9


def test_what_ended_since_is_free_at_once() -> None:
    book = ledger()
    tell(book, Building(T0, "server"))
    ask(book, used=1)
    tell(book, Ending(T0, STOPPED, "server"), Ended(T0, STOPPED))
    assert free(book) == 10
    ask(book, used=0)
    assert free(book) == 10


def test_what_was_being_deleted_when_the_cloud_was_asked_is_not_freed_twice() -> None:
    book = ledger()
    tell(book, Building(T0, "server"), Ending(T0, STOPPED, "server"))
    ask(book, used=0)
    tell(book, Ended(T0, STOPPED))
    assert free(book) == 10
    assert book.unsure == {"IU"}
    ask(book, used=0)
    assert (free(book), book.unsure) == (10, set())


def test_a_create_that_was_refused_takes_nothing() -> None:
    book = ledger()
    ask(book, used=3)
    tell(book, Planned(T0), Ended(T0, failure("quota")))
    assert free(book) == 7


def test_an_older_answer_says_nothing() -> None:
    book = ledger()
    ask(book, used=3)
    book.learn("IU", Limits(9, 10, 0, None, 0, None), T0)
    assert free(book) == 7
