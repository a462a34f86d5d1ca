from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from js2spawner.cloud import caller as caller_module
from js2spawner.cloud import errors
from js2spawner.cloud.caller import Call, Caller, path
from js2spawner.cloud.keystone import Grant
from js2spawner.cloud.metrics import CALLS
from js2spawner.cloud.settings import CloudSettings
from js2spawner.cloud.signin import SignIn
from js2spawner.cloud.throttle import Throttle

from .stand_in import StandIn

SERVERS = "/compute/v2.1/servers"
GET = Call(service="compute", operation="get", method="GET", path="/servers")
POST = Call(service="compute", operation="post", method="POST", path="/servers", body={"server": {}})
FAST = CloudSettings(calls_per_second=10_000, burst=1000)


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Read the request and close the connection without an answer."""
    assert request.transport is not None
    request.transport.close()
    raise asyncio.CancelledError


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"servers": [')
    assert request.transport is not None
    request.transport.close()
    return response


class Naps:
    """Instead of sleeping: remember for how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
async def renewing(stand_in: StandIn) -> AsyncIterator[Caller]:
    """A caller whose every sign-in gives another token."""
    count = 0

    def authenticate() -> Grant:
        nonlocal count
        count += 1
        stand_in.sign_ins.append(count)
        return stand_in.grant(token=f"token-{count}")

    caller = Caller("test", SignIn(authenticate, cloud="test", deadline_s=5), FAST)
    yield caller
    await caller.close()


async def test_a_call_carries_the_token_and_answers_with_json(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("GET", SERVERS, {"servers": []})
    assert await caller.call(GET) == {"servers": []}
    assert stand_in.seen[0].headers["X-Auth-Token"] == "token-0"


async def test_64_refused_callers_sign_in_once_and_are_each_repeated_once(renewing: Caller, stand_in: StandIn) -> None:
    stand_in.on("POST", SERVERS, {"ok": True})
    stand_in.refused_tokens.add("token-1")
    answers = await asyncio.gather(*(renewing.call(POST) for _ in range(64)))
    assert answers == [{"ok": True}] * 64
    assert len(stand_in.sign_ins) == 2
    assert len(stand_in.seen) <= 2 * 64
    assert sum(seen.headers["X-Auth-Token"] == "token-2" for seen in stand_in.seen) == 64


async def test_a_fresh_token_that_is_refused_too_is_a_failed_sign_in(renewing: Caller, stand_in: StandIn) -> None:
    stand_in.refused_tokens |= {"token-1", "token-2"}
    with pytest.raises(errors.SignInFailed):
        await renewing.call(GET)
    assert len(stand_in.seen) == 2


async def test_a_lost_answer_to_a_post_is_never_asked_for_again(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("POST", SERVERS, hang_up)
    with pytest.raises(errors.NoAnswer) as caught:
        await caller.call(POST)
    assert not caught.value.certain
    assert len(stand_in.seen) == 1


async def test_a_post_on_a_connection_the_cloud_just_closed_is_sent_once(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("GET", SERVERS, {})
    stand_in.on("POST", SERVERS, hang_up)
    await caller.call(GET)
    with pytest.raises(errors.NoAnswer):
        await caller.call(POST)
    assert len(stand_in.calls("POST", SERVERS)) == 1


async def test_half_an_answer_is_no_answer(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("POST", SERVERS, half_an_answer)
    with pytest.raises(errors.NoAnswer):
        await caller.call(POST)


async def test_an_answer_that_takes_too_long_is_no_answer(stand_in: StandIn) -> None:
    release = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({})

    stand_in.on("POST", SERVERS, slow)
    sign_in = SignIn(stand_in.grant, cloud="test", deadline_s=5)
    caller = Caller("test", sign_in, CloudSettings(call_timeout_s=0.2))
    try:
        with pytest.raises(errors.NoAnswer):
            await caller.call(POST)
    finally:
        release.set()
        await caller.close()
    assert len(stand_in.seen) == 1


async def nobody(stand_in: StandIn, port: int, naps: Naps) -> Caller:
    grant = stand_in.grant(endpoints={"compute": f"http://127.0.0.1:{port}/v2.1"})
    return Caller("test", SignIn(lambda: grant, cloud="test", deadline_s=5), FAST, sleep=naps)


async def test_a_refused_connection_is_certain_and_a_post_is_not_repeated(
    stand_in: StandIn, free_port: Callable[[], int]
) -> None:
    naps = Naps()
    caller = await nobody(stand_in, free_port(), naps)
    with pytest.raises(errors.Unreachable) as caught:
        await caller.call(POST)
    await caller.close()
    assert caught.value.certain
    assert naps.seconds == []


async def test_a_get_that_finds_nobody_tries_again_twice(stand_in: StandIn, free_port: Callable[[], int]) -> None:
    naps = Naps()
    caller = await nobody(stand_in, free_port(), naps)
    with pytest.raises(errors.Unreachable):
        await caller.call(GET)
    await caller.close()
    assert len(naps.seconds) == 2


async def test_a_load_balancers_html_503_is_a_server_fault(caller: Caller, stand_in: StandIn) -> None:
    async def unavailable(request: web.Request) -> web.Response:
        return web.Response(status=503, text="<h1>503 Service Unavailable</h1>", content_type="text/html")

    stand_in.on("POST", SERVERS, unavailable)
    with pytest.raises(errors.ServerFault) as caught:
        await caller.call(POST)
    assert caught.value.status == 503
    assert not caught.value.certain
    assert len(stand_in.seen) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_cloud_that_asks_for_less_slows_every_call_down(stand_in: StandIn, status: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "0"})

    stand_in.on("GET", SERVERS, refuse)
    throttle = Throttle(1000, 100)
    caller = Caller("test", SignIn(stand_in.grant, cloud="test", deadline_s=5), FAST, throttle=throttle)
    with pytest.raises(errors.CloudError):
        await caller.call(GET)
    await caller.close()
    assert throttle.calls_per_second == 500


async def test_a_call_without_a_turn_in_time_was_certainly_not_sent(stand_in: StandIn) -> None:
    throttle = Throttle(1000, 100)
    throttle.slow_down(60)
    settings = CloudSettings(line_timeout_s=0.05)
    caller = Caller("test", SignIn(stand_in.grant, cloud="test", deadline_s=5), settings, throttle=throttle)
    with pytest.raises(errors.Throttled) as caught:
        await caller.call(POST)
    await caller.close()
    assert caught.value.certain
    assert stand_in.seen == []


async def test_no_more_calls_are_in_flight_than_the_settings_allow(stand_in: StandIn) -> None:
    running = most = 0

    async def count(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return web.json_response({})

    stand_in.on("GET", SERVERS, count)
    settings = CloudSettings(calls_per_second=10_000, burst=1000, max_in_flight=3)
    caller = Caller("test", SignIn(stand_in.grant, cloud="test", deadline_s=5), settings)
    await asyncio.gather(*(caller.call(GET) for _ in range(30)))
    await caller.close()
    assert most <= 3
    assert len(stand_in.seen) == 30


async def test_cancelled_calls_give_their_places_back(stand_in: StandIn, eventually: Callable[..., Any]) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    stand_in.on("GET", SERVERS, never)
    stand_in.on("POST", SERVERS, {"ok": True})
    settings = CloudSettings(calls_per_second=10_000, burst=1000, max_in_flight=2)
    caller = Caller("test", SignIn(stand_in.grant, cloud="test", deadline_s=5), settings)
    calls = [asyncio.create_task(caller.call(GET)) for _ in range(6)]
    await eventually(lambda: len(stand_in.seen) == 2)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await asyncio.wait_for(caller.call(POST), 5) == {"ok": True}
    await caller.close()


async def test_a_redirect_is_not_followed_so_the_token_stays_here(caller: Caller, stand_in: StandIn) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{stand_in.url}/thief"})

    stand_in.on("GET", SERVERS, elsewhere)
    with pytest.raises(errors.BadAnswer):
        await caller.call(GET)
    assert [seen.path for seen in stand_in.seen] == [SERVERS]


async def test_an_answer_too_large_to_read_is_a_bad_answer(
    caller: Caller, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller_module, "ANSWER_AT_MOST", 1000)
    stand_in.on("GET", SERVERS, {"servers": ["x" * 2000]})
    with pytest.raises(errors.BadAnswer, match="larger"):
        await caller.call(GET)


async def test_pages_are_followed_by_marker_and_never_by_link(caller: Caller, stand_in: StandIn) -> None:
    link = [{"rel": "next", "href": "http://127.0.0.9:1/steal?marker=b"}]
    first = {"servers": [{"id": "a"}, {"id": "b"}], "servers_links": link}
    stand_in.on("GET", SERVERS, first, {"servers": [{"id": "c"}]})
    assert [server["id"] for server in await caller.pages(GET, "servers")] == ["a", "b", "c"]
    assert [seen.query.get("marker") for seen in stand_in.seen] == [None, "b"]


async def test_a_list_without_an_end_is_a_bad_answer(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("GET", SERVERS, {"servers": [{"id": "a"}], "servers_links": [{"rel": "next", "href": "x"}]})
    with pytest.raises(errors.BadAnswer, match="no end"):
        await caller.pages(GET, "servers")


async def test_a_service_the_catalogue_lacks_is_named(stand_in: StandIn) -> None:
    caller = Caller("test", SignIn(lambda: stand_in.grant(endpoints={}), cloud="test", deadline_s=5), FAST)
    with pytest.raises(errors.BadCloudConfig, match="compute"):
        await caller.call(GET)
    await caller.close()


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_path_never_leads_elsewhere(segment: str) -> None:
    with pytest.raises(errors.BadRequest):
        path("servers", segment)


def test_a_path_quotes_what_is_put_into_it() -> None:
    assert path("servers", "../x?y#z") == "/servers/..%2Fx%3Fy%23z"


async def test_a_quoted_path_arrives_as_it_was_meant(caller: Caller, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{SERVERS}/a b%", {})
    await caller.call(Call(service="compute", operation="get", method="GET", path=path("servers", "a b%")))


async def test_every_exchange_is_counted_by_how_it_ended(caller: Caller, stand_in: StandIn) -> None:
    def count(outcome: str) -> float:
        return CALLS.labels("test", "compute", "counted", outcome)._value.get()

    good, refused = count("ok"), count("conflict")
    busy = {"conflictingRequest": {"code": 409, "message": "busy"}}

    async def conflict(request: web.Request) -> web.Response:
        return web.json_response(busy, status=409)

    async def fine(request: web.Request) -> web.Response:
        return web.json_response({})

    stand_in.on("GET", SERVERS, fine, conflict)
    call = Call(service="compute", operation="counted", method="GET", path="/servers")
    await caller.call(call)
    with pytest.raises(errors.Conflict):
        await caller.call(call)
    assert (count("ok") - good, count("conflict") - refused) == (1, 1)


async def test_the_token_is_in_no_error_and_no_log(
    caller: Caller, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for answer in (hang_up, half_an_answer):
        stand_in.on("POST", SERVERS, answer)
        with pytest.raises(errors.CloudError) as caught:
            await caller.call(POST)
        assert caught.value.__cause__ is None
        assert "token-0" not in repr(caught.value) + str(caught.value) + repr(POST)
    assert "token-0" not in caplog.text
