"""The counter over real TLS on loopback, where every 127.x.y.z is an address of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import prometheus_client
import pytest

from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import Lease, Orders
from js2spawner.handshake.server import HandshakeServer
from tests.unit.handshake import books
from tests.unit.handshake.books import CREDENTIAL, ELSEWHERE, HOME, OTHER_CREDENTIAL, Guest, MemoryBook

SETTINGS = HandshakeSettings(poll_s=5.0, request_s=5.0, hello_burst=30)


class Counter:
    """A listening server, its book, and guests to talk to it."""

    def __init__(self, book: MemoryBook, server: HandshakeServer, authority: Authority) -> None:
        self.book = book
        self.server = server
        self.authority = authority

    def guest(self, source: str = HOME) -> Guest:
        return Guest(self.server.url, self.authority, source)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return books.authority(tmp_path)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> HandshakeSettings:
    return dataclasses.replace(SETTINGS, **getattr(request, "param", {}))


@pytest.fixture
async def counter(authority: Authority, settings: HandshakeSettings) -> AsyncIterator[Counter]:
    book = MemoryBook(books.expected())
    server = HandshakeServer(book, bind_address=HOME, port=0, authority=authority, settings=settings)
    await server.start()
    try:
        yield Counter(book, server, authority)
    finally:
        await server.stop()


def outcomes(message: str, outcome: str) -> float:
    labels = {"message": message, "outcome": outcome}
    return prometheus_client.REGISTRY.get_sample_value("js2_handshake_messages_total", labels) or 0.0


async def test_a_hello_is_admitted_and_told_how_often_to_ask(counter: Counter) -> None:
    async with counter.guest() as guest:
        assert await guest.hello() == (200, {"poll_s": 5.0, "report_s": 20.0})
    assert counter.book.lines == [f"admitted {books.SERVER_ID}"]


async def test_the_answer_to_a_hello_waits_until_the_channel_is_kept(counter: Counter) -> None:
    counter.book.admission.clear()
    async with counter.guest() as guest:
        answer = asyncio.ensure_future(guest.hello())
        await asyncio.wait([answer], timeout=0.3)
        assert not answer.done()
        counter.book.admission.set()
        assert (await answer)[0] == 200


async def test_a_lost_answer_to_the_hello_is_harmless(counter: Counter) -> None:
    async with counter.guest() as guest:
        await guest.hello()
        assert (await guest.hello())[0] == 200
    assert "quarantined" not in counter.book.lines


async def test_a_hello_from_another_address_is_refused_and_harms_nobody(counter: Counter) -> None:
    async with counter.guest(ELSEWHERE) as stranger, counter.guest() as guest:
        assert (await stranger.hello())[0] == 403
        assert (await guest.hello())[0] == 200


async def test_a_ticket_shown_twice_quarantines_and_ends_the_channel(counter: Counter) -> None:
    counter.book.given = books.assignment()
    async with counter.guest() as guest:
        await guest.hello()
        assert (await guest.hello(credential=OTHER_CREDENTIAL))[0] == 409
        assert counter.book.lines[-1] == "quarantined"
        assert (await guest.assignment())[0] == 410


async def test_of_two_hellos_at_once_with_two_credentials_only_one_is_admitted(counter: Counter) -> None:
    counter.book.admission.clear()
    async with counter.guest() as one, counter.guest() as two:
        answers = [asyncio.ensure_future(one.hello())]
        await asyncio.wait(answers, timeout=0.2)
        answers.append(asyncio.ensure_future(two.hello(credential=OTHER_CREDENTIAL)))
        await asyncio.wait(answers, timeout=0.2)
        counter.book.admission.set()
        assert sorted(status for status, _ in await asyncio.gather(*answers)) == [200, 409]
    assert counter.book.lines == [f"admitted {books.SERVER_ID}", "quarantined"]


async def test_a_second_hello_after_the_assignment_was_taken_costs_the_user_nothing(counter: Counter) -> None:
    counter.book.attempt = books.admitted(assignment_taken=True)
    before = outcomes("hello", "replay")
    async with counter.guest() as guest:
        assert (await guest.hello(credential=OTHER_CREDENTIAL))[0] == 409
        assert (await guest.report())[0] == 200
    assert "quarantined" not in counter.book.lines
    assert outcomes("hello", "replay") == before + 1


async def test_an_instance_the_cloud_has_not_told_about_is_asked_to_come_again(counter: Counter) -> None:
    counter.book.attempt = books.expected(server_id="", addresses=())
    async with counter.guest() as guest:
        status, body = await guest.hello()
        assert (status, body["retry_s"]) == (425, 1.0)
        await counter.book.change(server_id=books.SERVER_ID, addresses=(HOME,))
        assert (await guest.hello())[0] == 200


async def test_an_assignment_is_delivered_the_moment_it_exists(counter: Counter) -> None:
    async with counter.guest() as guest:
        await guest.hello()
        poll = asyncio.ensure_future(guest.assignment())
        await counter.book.until(lambda: counter.book.waiting == 1)
        await counter.book.give(books.assignment())
        status, body = await poll
    assert status == 200
    assert body == books.assignment().to_json()


async def test_an_assignment_is_repeated_until_it_is_acknowledged_and_never_after(counter: Counter) -> None:
    counter.book.attempt, counter.book.given = books.admitted(), books.assignment()
    async with counter.guest() as guest:
        assert (await guest.assignment())[0] == 200
        assert (await guest.assignment())[0] == 200
        await guest.report(stage="account", assignment="assignment-1")
        assert (await guest.assignment())[0] == 409


@pytest.mark.parametrize("settings", [{"poll_s": 0.2}], indirect=True)
async def test_a_poll_without_news_ends_with_204(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        assert await guest.assignment() == (204, {})


async def test_a_poll_ends_when_the_attempt_does(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        poll = asyncio.ensure_future(guest.assignment())
        await counter.book.until(lambda: counter.book.waiting == 1)
        await counter.book.change(closed=True)
        assert (await poll)[0] == 410


async def test_a_guest_that_hangs_up_leaves_no_wait_behind(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        poll = asyncio.ensure_future(guest.assignment())
        await counter.book.until(lambda: counter.book.waiting == 1)
        poll.cancel()
    await counter.book.until(lambda: counter.book.waiting == 0)


async def test_a_word_is_said_the_moment_there_is_one(counter: Counter) -> None:
    counter.book.attempt = books.admitted(assignment_taken=True)
    async with counter.guest() as guest:
        poll = asyncio.ensure_future(guest.word())
        await counter.book.until(lambda: counter.book.waiting == 1)
        counter.book.word = True
        await counter.book.change()
        assert await poll == (200, {})


@pytest.mark.parametrize("settings", [{"poll_s": 0.2}], indirect=True)
async def test_without_a_word_the_guest_is_told_to_ask_again(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        assert await guest.word() == (204, {})


async def test_a_newer_ear_ends_the_one_before(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        first = asyncio.ensure_future(guest.word())
        await counter.book.until(lambda: counter.book.waiting == 1)
        second = asyncio.ensure_future(guest.word())
        assert await first == (204, {})
        await counter.book.until(lambda: counter.book.waiting == 1)
        counter.book.word = True
        await counter.book.change()
        assert await second == (200, {})


async def test_an_ear_that_hangs_up_leaves_no_wait_behind(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        poll = asyncio.ensure_future(guest.word())
        await counter.book.until(lambda: counter.book.waiting == 1)
        poll.cancel()
    await counter.book.until(lambda: counter.book.waiting == 0)
    async with counter.guest() as guest:
        counter.book.word = True
        assert await guest.word() == (200, {})


async def test_only_an_attempts_own_guest_hears_a_word_and_that_its_attempt_has_ended(counter: Counter) -> None:
    counter.book.attempt, counter.book.word = books.admitted(), True
    async with counter.guest(ELSEWHERE) as stranger, counter.guest() as guest:
        assert (await stranger.word())[0] == 403
        assert (await guest.word(OTHER_CREDENTIAL))[0] == 401
        counter.book.word = False
        poll = asyncio.ensure_future(guest.word())
        await counter.book.until(lambda: counter.book.waiting == 1)
        await counter.book.change(closed=True)
        assert (await poll)[0] == 410


async def test_an_assignment_is_never_given_to_another_address_or_credential(counter: Counter) -> None:
    counter.book.attempt, counter.book.given = books.admitted(), books.assignment()
    async with counter.guest(ELSEWHERE) as stranger, counter.guest() as guest:
        assert (await stranger.assignment())[0] == 403
        assert (await guest.assignment(OTHER_CREDENTIAL))[0] == 401
        assert (await guest.ask("GET", "/v1/assignment"))[0] == 401


async def test_a_report_reaches_the_book_and_brings_back_the_orders(counter: Counter) -> None:
    ends_at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    counter.book.attempt = books.admitted()
    counter.book.orders = Orders(lease=Lease(ends_at, "idle", True, "/hub/js2/lease/alice"), stop=True)
    async with counter.guest() as guest:
        status, body = await guest.report()
    assert status == 200
    assert body == {
        "report_s": 20.0,
        "lease": {
            "ends_at": "2030-01-02T03:04:05Z",
            "why": "idle",
            "warn": True,
            "hub_page": "/hub/js2/lease/alice",
            "then": "delete",
            "home": False,
            "su_per_hour": None,
        },
        "order": "stop",
    }
    assert counter.book.reports[0].activity.because == "kernel"


async def test_a_body_that_is_no_message_is_a_400_with_a_sentence(counter: Counter) -> None:
    async with counter.guest() as guest:
        assert await guest.ask("POST", "/v1/hello", b"[" * 9000) == (400, {"error": "The body is not JSON in UTF-8."})


async def test_an_oversized_body_is_refused_unread(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        try:
            status, _ = await guest.ask("POST", "/v1/report", b" " * 200_000, credential=CREDENTIAL)
        except aiohttp.ClientError:
            status = 400  # hung up on while still sending
        assert status == 400
    assert not counter.book.reports


@pytest.mark.parametrize("settings", [{"hello_burst": 2, "hellos_per_s": 0.01}], indirect=True)
async def test_too_many_hellos_from_one_address_are_told_to_wait_and_others_are_not(counter: Counter) -> None:
    async with counter.guest(ELSEWHERE) as stranger, counter.guest() as guest:
        answers = [await stranger.hello() for _ in range(3)]
        assert [status for status, _ in answers] == [403, 403, 429]
        assert answers[-1][1]["retry_s"] > 1
        assert (await guest.hello())[0] == 200


@pytest.mark.parametrize("settings", [{"request_s": 0.3}], indirect=True)
async def test_a_client_that_dawdles_over_its_request_is_cut_off(counter: Counter) -> None:
    trust = ssl.create_default_context(cadata=counter.authority.ca_pem)
    reader, writer = await asyncio.open_connection(HOME, counter.server.port, ssl=trust)
    writer.write(b"POST /v1/hello HTTP/1.1\r\nHost: hub\r\n")
    async with asyncio.timeout(books.DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("settings", [{"request_s": 0.3}], indirect=True)
async def test_a_client_that_never_speaks_tls_is_cut_off(counter: Counter) -> None:
    reader, writer = await asyncio.open_connection(HOME, counter.server.port)
    async with asyncio.timeout(books.DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("settings", [{"connections_per_address": 2}], indirect=True)
async def test_one_address_cannot_take_all_connections(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    greedy = [await asyncio.open_connection(HOME, counter.server.port) for _ in range(2)]
    reader, writer = await asyncio.open_connection(HOME, counter.server.port)
    async with asyncio.timeout(books.DEADLINE_S):
        assert await reader.read() == b""
    async with counter.guest(ELSEWHERE) as other:
        assert (await other.report())[0] == 403
    for _, held in [*greedy, (reader, writer)]:
        held.close()


async def test_anything_else_is_nothing_and_says_so(counter: Counter) -> None:
    async with counter.guest() as guest:
        assert (await guest.ask("GET", "/"))[0] == 404
        assert (await guest.ask("DELETE", "/v1/hello"))[0] == 405


async def test_a_failing_book_is_a_500_without_its_reason(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret of the database")

    monkeypatch.setattr(counter.book, "admitted", fail)
    async with counter.guest() as guest:
        status, body = await guest.hello()
    assert (status, body) == (500, {"error": "This cannot be answered."})


async def test_five_hundred_open_polls_leave_the_counter_free(authority: Authority) -> None:
    needed = 2 * 500 + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"this machine allows {hard} open files, the test needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    settings = HandshakeSettings(connections_per_address=600, message_burst=600)
    book = MemoryBook(books.admitted())
    server = HandshakeServer(book, bind_address=HOME, port=0, authority=authority, settings=settings)
    await server.start()
    try:
        async with Guest(server.url, authority) as guest:
            polls = [asyncio.ensure_future(guest.assignment()) for _ in range(500)]
            await book.until(lambda: book.waiting == 500)
            assert (await guest.report())[0] == 200
            await book.give(books.assignment(id="assignment-2"))
            assert [status for status, _ in await asyncio.gather(*polls)] == [200] * 500
    finally:
        await server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_stopping_hangs_up_on_open_polls(counter: Counter) -> None:
    counter.book.attempt = books.admitted()
    async with counter.guest() as guest:
        poll = asyncio.ensure_future(guest.assignment())
        await counter.book.until(lambda: counter.book.waiting == 1)
        await counter.server.stop()
        with pytest.raises(aiohttp.ClientError):
            await poll
    await counter.book.until(lambda: counter.book.waiting == 0)
