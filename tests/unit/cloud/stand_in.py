"""A cloud of a few lines on loopback: Keystone's sign-in, and the answers a test puts behind the other services."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from js2spawner.cloud.keystone import Grant
from tests.contract.recorded import example

SECRET = "app-cred-secret-d41d8cd9"
PROJECT = "4bccd4d376dc4e908fcd7417add45d47"
ID = "c5fc5389-eb32-427e-8e44-7300f20da191"
"""Every id in a recorded answer."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def recorded(name: str) -> Any:
    """The JSON body of an answer of the real services (tests/contract/answers), with its placeholders filled."""
    return example(name)["body"]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class StandIn:
    """`on()` says what to answer, `seen` is what came. Below /compute/v2.1, /image/v2, /network/v2.0, /volume/v3,
    /share/v2."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    sign_ins: list[Any] = field(default_factory=list)
    token_seconds: float = 3600
    regions: tuple[str, ...] = ("IU",)
    refuse_sign_in: web.Response | None = None
    refused_tokens: set[str] = field(default_factory=set)
    _answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)

    def on(self, method: str, path: str, *answers: Answer | Any, status: int = 200) -> None:
        """Answer with each of these in turn, the last one for good: coroutine functions, or JSON for a body."""
        self._answers[method, path] = [
            answer if callable(answer) else _constantly(answer, status) for answer in answers or ({},)
        ]

    def calls(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def grant(self, token: str = "token-0", **changes: Any) -> Grant:
        """What a sign-in here would give, for tests that do without one."""
        endpoints = {
            "compute": f"{self.url}/compute/v2.1",
            "image": f"{self.url}/image/v2",
            "network": f"{self.url}/network/v2.0",
            "block-storage": f"{self.url}/volume/v3",
            "shared-file-system": f"{self.url}/share/v2",
        }
        plain = {"token": token, "endpoints": endpoints, "project_id": PROJECT, "lifetime_s": 3600.0}
        return Grant(**{**plain, "tls": ssl.create_default_context(), **changes})

    def clouds_yaml(self, folder: Path, **entry: Any) -> str:
        """A clouds.yaml (JSON is YAML) whose cloud `js2` is this one; None takes a key out."""
        auth = {
            "auth_url": f"{self.url}/identity/v3",
            "application_credential_id": "4c68b112",
            "application_credential_secret": SECRET,
        }
        cloud = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "IU", **entry}
        cloud = {key: value for key, value in cloud.items() if value is not None}
        file = folder / "clouds.yaml"
        file.write_text(json.dumps({"clouds": {"js2": cloud}}))
        return str(file)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        octets = request.content_type == "application/octet-stream"
        body = raw if octets else json.loads(raw) if raw else None
        if request.path == "/identity/v3/auth/tokens":
            return self._sign_in(body)
        self.seen.append(Seen(request.method, request.path, dict(request.query), request.headers.copy(), body))
        if request.headers.get("X-Auth-Token") in self.refused_tokens:
            return web.Response(status=401, text="Authentication required")
        answers = self._answers.get((request.method, request.path))
        if not answers:
            return web.Response(status=418, text=f"The test has no answer to {request.method} {request.path}")
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    def _sign_in(self, body: Any) -> web.Response:
        self.sign_ins.append(body)
        if self.refuse_sign_in is not None:
            return self.refuse_sign_in
        now = datetime.now(UTC)
        token = {
            "methods": body["auth"]["identity"]["methods"],
            "issued_at": now.isoformat().replace("+00:00", "Z"),
            "expires_at": (now + timedelta(seconds=self.token_seconds)).isoformat().replace("+00:00", "Z"),
            "project": {"id": PROJECT, "name": "js2", "domain": {"id": "default", "name": "Default"}},
            "user": {"id": "u", "name": "jhub", "domain": {"id": "default", "name": "Default"}},
            "catalog": [self._service(*service) for service in _CATALOGUE],
        }
        headers = {"X-Subject-Token": f"gAAAA-token-{len(self.sign_ins)}"}
        return web.json_response({"token": token}, status=201, headers=headers)

    def _service(self, kind: str, path: str) -> dict[str, Any]:
        endpoints = [
            {"id": f"{kind}-{region}", "interface": "public", "region": region, "region_id": region}
            | {"url": f"{self.url}{path}" if region == "IU" else f"{self.url}/{region}{path}"}
            for region in self.regions
        ]
        return {"id": kind, "type": kind, "name": kind, "endpoints": endpoints}


# As clouds have it: some addresses name a version, some do not, and block storage goes by an old name.
_CATALOGUE = (
    ("compute", "/compute/v2.1/"),
    ("image", "/image"),
    ("network", "/network"),
    ("volumev3", "/volume/v3"),
    ("sharev2", "/share/v2"),
    ("identity", "/identity/v3"),
)


def _constantly(body: Any, status: int) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status) if body == "" else web.json_response(body, status=status)

    return answer


@asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    """A stand-in that listens on a free port of 127.0.0.1 until the block ends."""
    stand_in = StandIn()
    server = web.Server(stand_in.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield stand_in
    finally:
        await runner.cleanup()
