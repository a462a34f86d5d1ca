"""Does a notebook answer the hub? Asked from the hub's side of the network: a guest can only speak for its own."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

_TRY_EVERY_S = 0.3


async def answers_http(url: str, *, timeout_s: float, tls: bool) -> bool:
    """Whether anything speaks HTTP at the URL's host and port within `timeout_s` seconds.

    Any status line will do: JupyterHub makes the real request next. With internal TLS a connection is proof enough,
    since the handshake needs JupyterHub's own certificates.
    """
    parts = urlsplit(url)
    until = time.monotonic() + timeout_s
    while True:
        left = until - time.monotonic()
        if left <= 0:
            return False
        try:
            if await asyncio.wait_for(_ask(str(parts.hostname), parts.port or 80, tls), min(left, 5.0)):
                return True
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(min(_TRY_EVERY_S, max(left, 0)))


async def _ask(host: str, port: int, tls: bool) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if tls:
            return True
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return (await reader.read(5)) == b"HTTP/"
    finally:
        writer.close()
