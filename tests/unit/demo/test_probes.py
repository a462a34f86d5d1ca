from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from js2spawner.demo.probes import http_probe


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (302, True), (404, False), (503, False)])
async def test_an_answer_below_400_is_healthy(free_port: Callable[[], int], status: int, healthy: bool):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/"})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        assert await http_probe(f"http://127.0.0.1:{port}/")() is healthy
    finally:
        await runner.cleanup()


async def test_nobody_listening_is_not_healthy(free_port: Callable[[], int]):
    assert not await http_probe(f"http://127.0.0.1:{free_port()}/")()


async def test_something_that_speaks_no_http_is_not_healthy():
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        assert not await http_probe(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")()
