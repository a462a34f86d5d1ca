"""A way to a service that a test can close or listen at: nobody else's way to it changes."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

# Clients send a request's head in one piece of its own, or with the body behind it.
_HEAD = re.compile(rb"([A-Z]{3,7}) (\S+) HTTP/1\.1\r\n")


class Request(NamedTuple):
    """When it passed, in seconds of the wall clock, and its first line without the version."""

    at: float
    method: str
    path: str


class Relay:
    """Passes bytes between a port of 127.0.0.1 and the host of `target`. Entered, it listens.

    `url` is `target` by this way. While it is `mute`, requests reach the service and its answers are lost. `requests`
    are those that passed.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ways: set[asyncio.StreamWriter] = set()
        self.mute = False
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return self._target._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Listen, on the same port as before."""
        self._do(self._listen())

    def close(self) -> None:
        """Break every connection and refuse new ones, as a service does whose process has ended."""
        self._do(self._hang_up())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
        for way in self._ways:
            way.transport.abort()

    async def _end(self) -> None:
        await self._hang_up()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.close()
            return
        ends = {writer, back}
        self._ways |= ends
        try:
            passing = (_pass(reader, back, self._note), _pass(there, writer, lambda _: not self.mute))
            await asyncio.wait([asyncio.ensure_future(each) for each in passing], return_when="FIRST_COMPLETED")
        finally:
            self._ways -= ends
            for end in ends:
                end.close()

    def _note(self, data: bytes) -> bool:
        if head := _HEAD.match(data):
            self.requests.append(Request(time.time(), head[1].decode(), head[2].decode()))
        return True


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lets: Callable[[bytes], bool]) -> None:
    try:
        while data := await reader.read(1 << 16):
            if lets(data):
                writer.write(data)
                await writer.drain()
    except OSError:
        pass
