"""A fleet's book in memory, and a guest's plain requests, for tests of the handshake."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl
from pathlib import Path
from typing import Any

import aiohttp

from js2spawner.handshake import tickets
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import Assignment, Hello, Orders, Report

ATTEMPT = "attempt-1"
SERVER_ID = "6c1f7d0e-0000-4000-8000-000000000001"
TICKET = "T" * 43
CREDENTIAL = "C" * 43
OTHER_CREDENTIAL = "D" * 43
HOME = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
DEADLINE_S = 60.0

_TOKEN = "hub-token-that-nobody-may-see-anywhere"


def expected(**changes: Any) -> Expected:
    plain = Expected(
        attempt_id=ATTEMPT,
        ticket_hash=tickets.hashed(TICKET),
        channel_hash="",
        server_id=SERVER_ID,
        addresses=(HOME,),
        closed=False,
        quarantined=False,
        assignment_taken=False,
    )
    return dataclasses.replace(plain, **changes)


def admitted(**changes: Any) -> Expected:
    return expected(channel_hash=tickets.hashed(CREDENTIAL), **changes)


def assignment(**changes: Any) -> Assignment:
    plain = Assignment(
        id="assignment-1",
        user_name="alice",
        uid=20001,
        sudo=False,
        argv=("jupyterhub-singleuser",),
        env={"JUPYTERHUB_API_TOKEN": _TOKEN, "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/"},
        address=HOME,
        port=8888,
    )
    return dataclasses.replace(plain, **changes)


def hello(**changes: Any) -> Hello:
    plain = Hello(
        attempt_id=ATTEMPT,
        ticket=TICKET,
        credential=CREDENTIAL,
        instance_id=SERVER_ID,
        boot_id="5f1c2a9e-1111-4222-8333-944445555666",
        guest="0.1.0",
    )
    return dataclasses.replace(plain, **changes)


def hello_json(**changes: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(hello())
    plain["attempt"] = plain.pop("attempt_id")
    return plain | changes


def report_json(**changes: Any) -> dict[str, Any]:
    figures = ("load1", "memory_used_mb", "memory_total_mb", "disk_used_gb", "disk_total_gb", "uptime_s")
    plain = {
        "stage": "listening",
        "assignment": "assignment-1",
        "problem": "",
        "detail": "",
        "health": dict.fromkeys(figures, 1.5) | {"gpus": []},
        "activity": {"idle_s": 3, "because": "kernel"},
        "notebook": {"alive": True, "restarts": 0},
    }
    return plain | changes


class MemoryBook:
    """One attempt. `lines` tells what happened, in order."""

    def __init__(self, attempt: Expected | None = None, *, given: Assignment | None = None) -> None:
        self.attempt = attempt
        self.given = given
        self.orders = Orders()
        self.reports: list[Report] = []
        self.lines: list[str] = []
        self.waiting = 0
        self.word = False
        self.admission = asyncio.Event()
        self.admission.set()
        self._change = asyncio.Condition()

    def expected(self, attempt_id: str) -> Expected | None:
        return self.attempt if self.attempt and self.attempt.attempt_id == attempt_id else None

    async def admitted(self, attempt_id: str, channel_hash: str, hello: Hello) -> None:
        await self.admission.wait()
        self.lines.append(f"admitted {hello.instance_id}")
        await self.change(channel_hash=channel_hash)

    def quarantine(self, attempt_id: str, why: str) -> None:
        self.lines.append("quarantined")
        assert self.attempt is not None
        self.attempt = dataclasses.replace(self.attempt, quarantined=True)

    def assignment(self, attempt_id: str) -> Assignment | None:
        return self.given

    async def changed(self, attempt_id: str, timeout_s: float) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout_s), self._change:
                await self._change.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1

    def has_word(self, attempt_id: str) -> bool:
        return self.word

    async def report(self, attempt_id: str, report: Report) -> Orders:
        self.reports.append(report)
        self.word = False
        if self.given is not None and report.assignment_id == self.given.id:
            assert self.attempt is not None
            self.attempt = dataclasses.replace(self.attempt, assignment_taken=True)
        await self.change()
        return self.orders

    async def change(self, **changes: Any) -> None:
        """Change the attempt and wake whoever waits for that."""
        if self.attempt is not None:
            self.attempt = dataclasses.replace(self.attempt, **changes)
        async with self._change:
            self._change.notify_all()

    async def give(self, given: Assignment) -> None:
        self.given = given
        await self.change()

    async def until(self, condition: Any, deadline_s: float = DEADLINE_S) -> None:
        """Wait until `condition()` holds; it may only become true by what a guest does."""
        async with asyncio.timeout(deadline_s):
            while not condition():
                await asyncio.sleep(0.02)


class Guest:
    """Requests as a guest makes them, from a chosen source address, trusting only the authority."""

    def __init__(self, url: str, authority: Authority, source: str = HOME) -> None:
        trust = ssl.create_default_context(cadata=authority.ca_pem)
        connector = aiohttp.TCPConnector(ssl=trust, local_addr=(source, 0), limit=0)
        self._session = aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(total=DEADLINE_S))

    async def __aenter__(self) -> Guest:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def hello(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", "/v1/hello", json.dumps(hello_json(**changes)).encode())

    async def assignment(self, credential: str = CREDENTIAL) -> tuple[int, dict[str, Any]]:
        return await self.ask("GET", "/v1/assignment", credential=credential)

    async def word(self, credential: str = CREDENTIAL) -> tuple[int, dict[str, Any]]:
        return await self.ask("GET", "/v1/word", credential=credential)

    async def report(self, credential: str = CREDENTIAL, **changes: Any) -> tuple[int, dict[str, Any]]:
        body = json.dumps(report_json(**changes)).encode()
        return await self.ask("POST", "/v1/report", body, credential=credential)

    async def ask(
        self, method: str, path: str, body: bytes | None = None, credential: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {ATTEMPT}.{credential}"} if credential else {}
        async with self._session.request(method, path, data=body, headers=headers) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw else {}


def authority(folder: Path) -> Authority:
    return Authority.open(folder / "authority", HOME)
