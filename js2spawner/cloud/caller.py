"""The one road to a cloud's services: turns, token, timeouts, what may be repeated, and an error with a name.

What is repeated and what is not:
* 401 means that nothing was done. One sign-in for all who met it, then each of them once more, POST too.
* No connection means that nothing was sent. A GET tries again twice; all else is the caller's decision.
* A lost answer may hide a success. Nothing is repeated after one. (aiohttp itself repeats what is safe by RFC 9110 when
  a kept-alive connection turns out to be closed; POST is not among it.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from .answers import READ_AT_MOST, error_from, retry_after_s
from .errors import BadAnswer, BadCloudConfig, BadRequest, CloudError, NoAnswer, SignInFailed, Throttled, Unreachable
from .hearing import NOBODY, Listener, heard
from .keystone import Grant
from .metrics import counted
from .reading import Json, objects, parse, read, text
from .settings import CloudSettings
from .signin import SignIn
from .throttle import Throttle

log = logging.getLogger(__name__)

ANSWER_AT_MOST = 64 * 1024 * 1024
"""Bytes. A thousand servers in detail are about 3 MB."""

PAGES_AT_MOST = 100
PAUSES_BETWEEN_CONNECTS_S = (0.2, 1.0)

# The service without which nothing starts: what becomes of questions to it says whether a region is there.
_HEARD = "compute"

# Shorter than the usual servers' keep-alive (Apache's is 5 s), so that a POST seldom meets a connection that is just
# being closed and then has to be treated as a lost answer.
_KEEP_ALIVE_S = 4.0

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A body of many bytes: `chunks` makes it anew for each attempt, `size` is all of it.

    It has patience of its own: `stall_s` without another chunk being taken (or, after the last, without an answer), and
    `longest_s` in all.
    """

    chunks: Callable[[], AsyncIterator[bytes]]
    size: int
    stall_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Where the many bytes of an answer go: `begin` is told whether they are the rest that was asked for or all of it,
    then `take` gets them one piece after another. Patience as with `Stream`.
    """

    begin: Callable[[bool], Awaitable[None]]
    take: Callable[[bytes], Awaitable[None]]
    stall_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `service` is the catalogue's type; `operation` labels metrics; `headers` never carry a secret.

    The body is `body` as JSON, or `stream`. The answer is JSON, or goes into `sink`.
    """

    service: str
    operation: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: object = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Stream | None = None
    sink: Sink | None = None


def path(*segments: str) -> str:
    """A path below a service's address. Raises BadRequest for a segment that would lead elsewhere."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise BadRequest(f"An id or name in a cloud call must not be {segment!r}.")
    return "".join(f"/{quote(segment, safe='')}" for segment in segments)


class Caller:
    """Sends calls to the services of one cloud. One aiohttp session, made at the first call in the loop that runs then.

    Args:
        cloud: the label for metrics and the log.
        sleep: waits between two attempts to connect.
        listener: is told what becomes of each question to Nova.
    """

    def __init__(
        self,
        cloud: str,
        sign_in: SignIn,
        settings: CloudSettings,
        *,
        throttle: Throttle | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        listener: Listener = NOBODY,
    ) -> None:
        self._cloud = cloud
        self._sign_in = sign_in
        self._settings = settings
        self._throttle = throttle or Throttle(settings.calls_per_second, settings.burst)
        self._sleep = sleep
        self._listener = listener
        self._in_flight = asyncio.Semaphore(settings.max_in_flight)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, call: Call) -> Json:
        """Send one request; the answer's JSON object, empty if it has none. Raises CloudError."""
        grant = await self._sign_in.grant()
        try:
            return await self._with_grant(call, grant)
        except SignInFailed:
            fresh = await self._sign_in.renew(grant)
        return await self._with_grant(call, fresh)

    async def pages(self, call: Call, key: str) -> list[Json]:
        """All objects of a list that may come in pages. Raises CloudError.

        The next page is asked for by marker and not by the link in the answer, which behind a load balancer may name
        a host that must not see the token.
        """
        items: list[Json] = []
        params = dict(call.params)
        for _ in range(PAGES_AT_MOST):
            answer = await self.call(replace(call, params=params))
            page = objects(answer, key)
            items += page
            if not page or not _has_next(answer, key):
                return items
            marker = read(lambda last: text(last, "id"), page[-1], key)
            if marker == params.get("marker"):
                break
            params["marker"] = marker
        raise BadAnswer(f"The list of {key} has no end.")

    async def project_id(self) -> str:
        """The project this hub is signed in to. Raises CloudError."""
        return (await self._sign_in.grant()).project_id

    async def close(self) -> None:
        """Close all connections. Calls in flight end with NoAnswer."""
        await self._sign_in.close()
        if self._session is not None:
            await self._session.close()

    async def _with_grant(self, call: Call, grant: Grant) -> Json:
        for pause_s in PAUSES_BETWEEN_CONNECTS_S if call.method == "GET" else ():
            try:
                return await self._once(call, grant)
            except Unreachable:
                await self._sleep(pause_s)
        return await self._once(call, grant)

    async def _once(self, call: Call, grant: Grant) -> Json:
        endpoint = grant.endpoints.get(call.service)
        if endpoint is None:
            raise BadCloudConfig(f"Cloud {self._cloud} has no {call.service} service in its catalogue.")
        try:
            async with asyncio.timeout(self._settings.line_timeout_s):
                await self._in_flight.acquire()
                try:
                    await self._throttle.turn()
                except BaseException:
                    self._in_flight.release()
                    raise
        except TimeoutError:
            raise Throttled(f"No turn within {self._settings.line_timeout_s:g} s.") from None
        try:
            listener = self._listener if call.service == _HEARD else NOBODY
            with counted(self._cloud, call.service, call.operation), heard(listener, call.operation):
                return await self._exchange(call, endpoint + call.path, grant)
        except CloudError as error:
            log.debug("Cloud %s, %s: %s %s", self._cloud, call.operation, error.name, error.request_id)
            raise
        finally:
            self._in_flight.release()

    async def _exchange(self, call: Call, url: str, grant: Grant) -> Json:
        # aiohttp's errors hold the request and with it the token, so none of them is kept as a cause.
        try:
            async with (
                _patience(call.stream or call.sink) as patience,
                self._open_session().request(
                    call.method,
                    url,
                    params=call.params,
                    **self._body(call, patience),
                    headers={**_headers(call), "Accept": "application/json", "X-Auth-Token": grant.token},
                    # Of a PUT without a body aiohttp would say that it is a stream of octets, which Nova refuses
                    # with 415.
                    skip_auto_headers=("Content-Type",) if call.body is None else (),
                    ssl=grant.tls,
                    allow_redirects=False,
                ) as response,
            ):
                return await self._answer(call, response, patience)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(_said(error)) from None
        except aiohttp.InvalidURL:
            raise BadCloudConfig(f"Cloud {self._cloud}: the address of its {call.service} service is no URL.") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(_said(error)) from None

    def _body(self, call: Call, patience: asyncio.Timeout) -> dict[str, Any]:
        """What aiohttp is given of a body, and how long it may take in all."""
        if call.stream is None and call.sink is None:
            return {"json": call.body}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout_s)
        return {"data": _watched(call.stream, patience) if call.stream else None, "timeout": timeout}

    async def _answer(self, call: Call, response: aiohttp.ClientResponse, patience: asyncio.Timeout) -> Json:
        if response.status in (429, 503):
            self._throttle.slow_down(retry_after_s(response.headers, now=datetime.now(UTC)))
        elif response.status < 500:
            self._throttle.ease()
        if 200 <= response.status < 300 and call.sink is not None:
            await _pour(response, call.sink, patience)
            return {}
        if 200 <= response.status < 300:
            body = await _read(response, ANSWER_AT_MOST)
            if len(body) > ANSWER_AT_MOST:
                raise BadAnswer(f"The answer is larger than {ANSWER_AT_MOST} bytes.")
            return parse(body)
        body = await _read(response, READ_AT_MOST)
        raise error_from(call.service, response.status, response.headers, body, now=datetime.now(UTC))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.max_in_flight, keepalive_timeout=_KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(
                    total=self._settings.call_timeout_s, sock_connect=self._settings.connect_timeout_s
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "js2spawner"},
            )
        return self._session


def _patience(many: Stream | Sink | None) -> asyncio.Timeout:
    """The time many bytes have until the next of them move; for other calls aiohttp keeps the time."""
    return asyncio.timeout(None if many is None else many.stall_s)


async def _watched(stream: Stream, patience: asyncio.Timeout) -> AsyncIterator[bytes]:
    """The chunks, each of which buys time for the next."""
    now = asyncio.get_running_loop().time
    end = now() + stream.longest_s
    async for chunk in stream.chunks():
        yield chunk
        patience.reschedule(min(now() + stream.stall_s, end))


async def _pour(response: aiohttp.ClientResponse, sink: Sink, patience: asyncio.Timeout) -> None:
    """The answer's bytes into their sink; each piece buys time for the next."""
    now = asyncio.get_running_loop().time
    end = now() + sink.longest_s
    await sink.begin(response.status == 206)
    async for chunk in response.content.iter_chunked(_PIECE_BYTES):
        await sink.take(chunk)
        patience.reschedule(min(now() + sink.stall_s, end))


def _headers(call: Call) -> Mapping[str, str]:
    if call.stream is None:
        return call.headers
    # With its length known, aiohttp sends the stream as it is, and the service can refuse it before it has it all.
    return {**call.headers, "Content-Type": "application/octet-stream", "Content-Length": str(call.stream.size)}


async def _read(response: aiohttp.ClientResponse, at_most: int) -> bytes:
    """The body, or a little more than `at_most` bytes of it."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > at_most:
            response.close()
            break
    return bytes(body)


def _has_next(answer: Json, key: str) -> bool:
    # Nova, Cinder, Neutron: `servers_links: [{rel: next}]`; Glance: `next: "/v2/images?marker=…"`.
    links = answer.get(f"{key}_links")
    if isinstance(links, list):
        return any(isinstance(link, Mapping) and link.get("rel") == "next" for link in links)
    return bool(answer.get("next"))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
