"""The line to the hub: HTTPS on one kept connection, trusting nothing but the authority named in user-data."""

from __future__ import annotations

import errno
import http.client
import json
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import VERSION

ANSWER_LIMIT_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
SOON_S = 0.2


# What connecting fails with while this machine has no network: no packet leaves it.
_UNCONNECTED = (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


class Away(Exception):
    """The hub could not be reached, or said nothing that can be understood. Trying again is always safe.

    `soon`: it is only that this machine has no network yet, so that trying often costs nobody anything.
    """

    def __init__(self, why: str, *, soon: bool = False) -> None:
        super().__init__(why)
        self.soon = soon


def is_unconnected(problem: Exception) -> bool:
    """Whether a connection failed for want of a network on this machine, as it does early in a boot."""
    return isinstance(problem, OSError) and problem.errno in _UNCONNECTED


@dataclass(frozen=True)
class Answer:
    """A status and the JSON object that came with it (empty when none did)."""

    status: int
    body: Mapping[str, Any]

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        """A number of seconds the hub asks for, kept within bounds of our own."""
        value = self.body.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return default
        return min(max(float(value), least), most)


class Backoff:
    """Waits that double from `first_s` to `most_s`, each shortened at random so that a fleet never marches in step."""

    def __init__(self, first_s: float = 0.5, most_s: float = 30.0, chance: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        whole = min(self._most_s, self._first_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return whole * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """It worked: the next wait is short again."""
        self._tries = 0


class Channel:
    """Requests to one hub. Not for several threads."""

    def __init__(self, host: str, port: int, authority: str, source_address: str = "") -> None:
        self._host = host
        self._port = port
        self._source = (source_address, 0) if source_address else None
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self._tls.load_verify_locations(cadata=authority)
        self._connection: http.client.HTTPSConnection | None = None

    def ask(
        self, method: str, path: str, *, bearer: str = "", body: Mapping[str, Any] | None = None, timeout_s: float
    ) -> Answer:
        """Send one request and wait for its answer, at most `timeout_s` seconds for each part. Raises Away.

        A connection the hub closed meanwhile is replaced once: every message of the handshake may be sent twice.
        """
        if self._connection is not None:
            try:
                return self._exchange(self._connection, method, path, bearer, body, timeout_s)
            except (OSError, http.client.HTTPException):
                self.close()
        try:
            return self._exchange(self._connect(), method, path, bearer, body, timeout_s)
        except ssl.SSLCertVerificationError as problem:
            self.close()
            raise Away("the hub's certificate is not of the authority this instance was given") from problem
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            raise Away(f"the hub does not answer ({type(problem).__name__})", soon=is_unconnected(problem)) from problem

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=CONNECT_TIMEOUT_S, source_address=self._source, context=self._tls
        )
        self._connection = connection
        connection.connect()
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        bearer: str,
        body: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Answer:
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        headers = {"User-Agent": f"js2-guest/{VERSION}"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        response = connection.getresponse()
        raw = response.read(ANSWER_LIMIT_BYTES + 1)
        if len(raw) > ANSWER_LIMIT_BYTES or response.will_close:
            self.close()
        return Answer(response.status, _object(raw))


def _object(raw: bytes) -> Mapping[str, Any]:
    if not raw:
        return {}
    if len(raw) > ANSWER_LIMIT_BYTES:
        raise Away(f"the hub's answer is larger than {ANSWER_LIMIT_BYTES // 1024} KiB")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise Away("the hub's answer is not JSON") from problem
    if not isinstance(value, dict):
        raise Away("the hub's answer is not a JSON object")
    return value
