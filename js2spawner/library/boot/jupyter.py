"""A user's way to a notebook server: files, kernels and what they answer, by its REST API and websockets.

The server runs on a machine that may be anybody's by now: whatever comes from it is cut to size, and awaited only so
long.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

ANSWER_BYTES = 4 * 1024 * 1024
OUTPUT_CHARACTERS = 512 * 1024
REQUEST_S = 120.0
_DIED = ("restarting", "autorestarting", "dead")


class NotebookProblem(Exception):
    """The server did not do what it was asked to; the message says what."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a piece of code printed, and how it failed (empty: it did not)."""

    text: str
    error: str = ""


class Jupyter:
    """One user's server below `url`; entered, it can be asked."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"token {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def answers(self) -> bool:
        """Whether it answers a question that takes the token with 200."""
        try:
            await self.ask("GET", "api/status")
        except NotebookProblem:
            return False
        return True

    async def stranger(self) -> str:
        """What a browser gets that has not signed in: `302 /where/it/is/sent`. Raises NotebookProblem."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(f"{self.url}/lab", allow_redirects=False) as answer,
            ):
                return f"{answer.status} {answer.headers.get('Location', '').partition('?')[0][:200]}"
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise NotebookProblem(f"the server does not answer a browser ({type(problem).__name__})") from problem

    async def write(self, name: str, content: Any, kind: str) -> None:
        """Put a file into the user's home: `notebook` with a JSON object, or `file` with text."""
        body = {"type": kind, "format": "json" if kind == "notebook" else "text", "content": content}
        await self.ask("PUT", f"api/contents/{name}", body)

    async def read(self, name: str) -> str:
        """The text of a file in the user's home."""
        told = await self.ask("GET", f"api/contents/{name}?type=file&format=text")
        return str(told.get("content"))

    @asynccontextmanager
    async def kernel(self, name: str, path: str = "") -> AsyncIterator[Kernel]:
        """A running kernel; for the notebook at `path`, if one is given. Raises NotebookProblem."""
        if path:
            told = await self.ask("POST", "api/sessions", _session(name, path))
            kernel = told.get("kernel")
        else:
            kernel = await self.ask("POST", "api/kernels", {"name": name})
        kernel_id = str(kernel.get("id")) if isinstance(kernel, dict) else ""
        try:
            uuid.UUID(kernel_id)
        except ValueError:
            raise NotebookProblem(f"the server gave no id for a kernel {name}") from None
        assert self._session is not None
        way = self._session.ws_connect(
            f"{self.url}/api/kernels/{kernel_id}/channels",
            max_msg_size=ANSWER_BYTES,
            timeout=aiohttp.ClientWSTimeout(),
        )
        try:
            async with way as socket:
                yield Kernel(socket)
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise NotebookProblem(f"kernel {name} cannot be reached ({type(problem).__name__})") from problem
        await self.ask("DELETE", f"api/kernels/{kernel_id}")

    async def ask(self, method: str, path: str, body: Any = None) -> Mapping[str, Any]:
        """The JSON object of a good answer. Raises NotebookProblem."""
        assert self._session is not None
        what = f"{method} {path.partition('?')[0]}"
        try:
            async with self._session.request(method, f"{self.url}/{path}", json=body) as answer:
                raw = await answer.content.read(ANSWER_BYTES)
                while not answer.content.at_eof() and len(raw) < ANSWER_BYTES:
                    raw += await answer.content.read(ANSWER_BYTES - len(raw))
        except (aiohttp.ClientError, TimeoutError) as problem:
            raise NotebookProblem(f"the server does not answer {what} ({type(problem).__name__})") from problem
        if answer.status >= 300:
            raise NotebookProblem(f"the server answered {what} with {answer.status}")
        try:
            told = json.loads(raw) if raw else {}
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise NotebookProblem(f"the server's answer to {what} is no JSON object")
        return told


class Kernel:
    """A kernel's websocket (Jupyter's messaging protocol, version 5)."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session = uuid.uuid4().hex

    async def run(self, code: str, within_s: float) -> Outcome:
        """Run code to its end. Raises NotebookProblem."""
        asked = uuid.uuid4().hex
        header = {
            "msg_id": asked,
            "msg_type": "execute_request",
            "username": "",
            "session": self._session,
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self._socket.send_str(json.dumps(message))
        text, error, replied, idle = "", "", False, False
        try:
            async with asyncio.timeout(within_s):
                while not (replied and idle):
                    kind, told = await self._next(asked)
                    if kind == "stream":
                        text = (text + str(told.get("text")))[:OUTPUT_CHARACTERS]
                    elif kind == "error":
                        error = printable(f"{told.get('ename')}: {told.get('evalue')}")
                    elif kind == "execute_reply":
                        replied = True
                        if told.get("status") != "ok" and not error:
                            error = printable(f"{told.get('ename', told.get('status'))}: {told.get('evalue', '')}")
                    elif told.get("execution_state") in _DIED:
                        # Nothing more comes of this cell.
                        return Outcome(text, "the kernel died")
                    elif kind == "status":
                        idle = idle or told.get("execution_state") == "idle"
        except TimeoutError:
            return Outcome(text, f"not done within {within_s:.0f} s")
        return Outcome(text, error)

    async def _next(self, asked: str) -> tuple[str, Mapping[str, Any]]:
        """Kind and content of the next message about that request; others come as the empty kind."""
        received = await self._socket.receive()
        if received.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            raise NotebookProblem("the kernel's connection ended")
        if received.type is not aiohttp.WSMsgType.TEXT:
            return "", {}
        try:
            told = json.loads(received.data)
        except (ValueError, RecursionError):
            return "", {}
        parent, content = (told.get(name) if isinstance(told, dict) else None for name in ("parent_header", "content"))
        if not isinstance(parent, dict) or not isinstance(content, dict):
            return "", {}
        kind = str(told.get("msg_type"))
        # The server's word about a dead kernel is in answer to nobody.
        died = kind == "status" and content.get("execution_state") in _DIED
        return (kind, content) if died or parent.get("msg_id") == asked else ("", {})


def printable(text: str, most: int = 400) -> str:
    """One line that cannot forge others."""
    line = " ".join(text[: 4 * most].split())
    return "".join(character if character.isprintable() else " " for character in line)[:most]


def _session(kernel: str, path: str) -> Mapping[str, Any]:
    return {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}}
