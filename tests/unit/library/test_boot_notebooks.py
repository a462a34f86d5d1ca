"""Smoke notebooks through a notebook server that does as it pleases."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from js2spawner.library.boot.jupyter import OUTPUT_CHARACTERS, Jupyter
from js2spawner.library.boot.notebooks import run_notebook

TOKEN = "t" * 43
Reply = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


def message(kind: str, asked: dict[str, Any], **content: Any) -> str:
    return json.dumps({"msg_type": kind, "parent_header": asked["header"], "content": content})


async def behaves(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
    """A kernel whose code is what it answers: `raise X` fails, all else is printed."""
    code = asked["content"]["code"]
    if code.startswith("raise "):
        await socket.send_str(message("error", asked, ename=code.removeprefix("raise "), evalue="it is\nbroken"))
        await socket.send_str(message("execute_reply", asked, status="error", ename="E", evalue="it is broken"))
    else:
        await socket.send_str(message("stream", asked, name="stdout", text=code))
        await socket.send_str(message("execute_reply", asked, status="ok"))
    await socket.send_str(message("status", asked, execution_state="idle"))


@asynccontextmanager
async def serving(reply: Reply = behaves) -> AsyncIterator[Jupyter]:
    async def makes(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"token {TOKEN}"
        return web.json_response({"id": str(uuid.uuid4()), "kernel": {"id": str(uuid.uuid4())}})

    async def takes(_request: web.Request) -> web.Response:
        return web.json_response({})

    async def channels(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for received in socket:
            await reply(socket, json.loads(received.data))
        return socket

    async def page(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return web.Response(status=302, headers={"Location": "/hub/api/oauth2/authorize?client_id=a"})

    app = web.Application()
    app.router.add_get("/user/a/lab", page)
    app.router.add_put("/user/a/api/contents/{name}", takes)
    app.router.add_post("/user/a/api/sessions", makes)
    app.router.add_post("/user/a/api/kernels", makes)
    app.router.add_delete("/user/a/api/kernels/{id}", takes)
    app.router.add_get("/user/a/api/kernels/{id}/channels", channels)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with Jupyter(f"http://127.0.0.1:{runner.addresses[0][1]}/user/a/", TOKEN) as server:
            yield server
    finally:
        await runner.cleanup()


def notebook(folder: Path, *cells: str, tags: tuple[str, ...] = ()) -> Path:
    file = folder / "smoke.ipynb"
    told = [{"cell_type": "markdown", "source": "# Smoke"}]
    told += [{"cell_type": "code", "source": cell, "metadata": {"tags": list(tags)}} for cell in cells]
    file.write_text(json.dumps({"cells": told, "metadata": {"kernelspec": {"name": "python3"}}}))
    return file


async def test_a_notebook_whose_cells_all_run_passes(tmp_path: Path) -> None:
    async with serving() as server:
        assert await run_notebook(server, notebook(tmp_path, "1 + 1", "2 + 2"), 30) == ""


@pytest.mark.parametrize("cells", [(), ("", " \n")])
async def test_a_notebook_that_tries_nothing_does_not_pass(tmp_path: Path, cells: tuple[str, ...]) -> None:
    async with serving() as server:
        assert "smoke.ipynb has no code" in await run_notebook(server, notebook(tmp_path, *cells), 30)


async def test_the_cell_that_fails_is_named_with_its_error(tmp_path: Path) -> None:
    async with serving() as server:
        failed = await run_notebook(server, notebook(tmp_path, "1 + 1", "raise KeyError"), 30)
    assert failed == "smoke.ipynb, cell 3 (raise KeyError): KeyError: it is broken"


async def test_a_cell_that_is_meant_to_fail_may(tmp_path: Path) -> None:
    async with serving() as server:
        assert await run_notebook(server, notebook(tmp_path, "raise KeyError", tags=("raises-exception",)), 30) == ""


async def test_a_cell_that_never_ends_is_given_up(tmp_path: Path) -> None:
    async def silent(_socket: web.WebSocketResponse, _asked: dict[str, Any]) -> None:
        return

    async with serving(silent) as server:
        assert "not done within 0 s" in await run_notebook(server, notebook(tmp_path, "1 + 1"), 0.05)


@pytest.mark.parametrize("state", ["restarting", "dead"])
async def test_a_kernel_that_dies_is_told_at_once_with_its_cell(tmp_path: Path, state: str) -> None:
    async def dies(socket: web.WebSocketResponse, _asked: dict[str, Any]) -> None:
        # As the server says it, which starts another kernel: in answer to nobody.
        told = {"msg_type": "status", "parent_header": {}, "content": {"execution_state": state}}
        await socket.send_str(json.dumps(told))

    async with serving(dies) as server:
        failed = await run_notebook(server, notebook(tmp_path, "import numpy"), 30)
    assert failed == "smoke.ipynb, cell 2 (import numpy): the kernel died"


async def test_output_without_end_fills_no_memory() -> None:
    async def talks(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        for _ in range(10):
            await socket.send_str(message("stream", asked, text="x" * 100_000))
        await behaves(socket, asked)

    async with serving(talks) as server, server.kernel("python3") as kernel:
        outcome = await kernel.run("1 + 1", 30)
    assert len(outcome.text) <= OUTPUT_CHARACTERS


async def test_nonsense_from_a_kernel_is_passed_over(tmp_path: Path) -> None:
    async def babbles(socket: web.WebSocketResponse, asked: dict[str, Any]) -> None:
        for nonsense in ("[]", "{", '{"parent_header": 1}', "[" * 2000):
            await socket.send_str(nonsense)
        await behaves(socket, asked)

    async with serving(babbles) as server:
        assert await run_notebook(server, notebook(tmp_path, "1 + 1"), 30) == ""


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 1}', '{"cells": [{"cell_type": "code"}]}'])
async def test_a_file_that_is_no_notebook_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "smoke.ipynb"
    file.write_text(content)
    async with serving() as server:
        assert "smoke.ipynb is no notebook" in await run_notebook(server, file, 30)


async def test_a_browser_that_has_not_signed_in_shows_no_token_and_is_followed_nowhere() -> None:
    async with serving() as server:
        assert await server.stranger() == "302 /hub/api/oauth2/authorize"
