"""The counter where guests ask: HTTPS in the hub's own event loop, beside and apart from the public proxy.

Everything a client can make us hold is bounded: bodies, headers, connections and requests of an address, the time
to send a request. An open long poll costs one socket, one task and one timer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from typing import Any

from tornado import httpserver, iostream, netutil, web

from js2spawner.handshake import handlers
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.book import Book
from js2spawner.handshake.handlers import Desk, HandshakeSettings

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 16 * 1024
MOST_HEADER_BYTES = 8 * 1024
BODY_TIMEOUT_S = 10.0
RENEWAL_CHECK_S = 24 * 3600.0


class HandshakeServer:
    """Listens for guests on `bind_address`:`port` (0: any free port) and asks the book about each message.

    Start it when the book knows its attempts. Guests reach it at `url`, whose host is the authority's address.
    """

    def __init__(
        self,
        book: Book,
        *,
        bind_address: str,
        port: int,
        authority: Authority,
        settings: HandshakeSettings | None = None,
    ) -> None:
        settings = settings or HandshakeSettings()
        self.port = port
        self._bind_address = bind_address
        self._authority = authority
        self._renewal: asyncio.TimerHandle | None = None
        self._server = _BoundedServer(
            web.Application(handlers.routes(Desk(book, settings)), log_function=_keep_no_access_log),
            ssl_options=authority.server_context(),
            idle_connection_timeout=settings.request_s,
            body_timeout=BODY_TIMEOUT_S,
            max_body_size=MOST_BODY_BYTES,
            max_header_size=MOST_HEADER_BYTES,
        )
        self._server.connections_per_address = settings.connections_per_address

    @property
    def url(self) -> str:
        """Where guests reach us; known once started when the port was 0."""
        return f"https://{self._authority.address}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError when the address or port cannot be had."""
        sockets = netutil.bind_sockets(self.port, self._bind_address, family=socket.AF_INET, backlog=1024)
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)
        self._renew_daily()
        log.info("Listening for instances at %s", self.url)

    async def stop(self) -> None:
        """Stop listening and hang up on everybody; guests try again until a hub listens."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._server.stop()
        await self._server.close_all_connections()

    def _renew_daily(self) -> None:
        self._authority.renew()
        self._renewal = asyncio.get_running_loop().call_later(RENEWAL_CHECK_S, self._renew_daily)


class _BoundedServer(httpserver.HTTPServer):
    """An HTTPServer that hangs up at once on an address that has too many connections open."""

    connections_per_address = 8

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: Counter[str] = Counter()

    def handle_stream(self, stream: iostream.IOStream, address: tuple[Any, ...]) -> None:
        host = str(address[0])
        if self._open[host] >= self.connections_per_address:
            handlers.MESSAGES.labels("connection", "too-many").inc()
            stream.close()
            return
        self._open[host] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        super().on_close(server_conn)
        host = str(server_conn.context.address[0])
        self._open[host] -= 1
        if not self._open[host]:
            del self._open[host]


def _keep_no_access_log(_handler: web.RequestHandler) -> None:
    """Metrics count every message; a line for each report of each instance would drown the hub's log."""
