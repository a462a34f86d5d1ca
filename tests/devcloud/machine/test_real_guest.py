"""The real guest program in a machine, a real JupyterLab started by it, and a hub that only answers."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from js2spawner.devcloud.hypervisor import Ingress, MachineSpec
from js2spawner.devcloud.machine import Machines
from js2spawner.devcloud.machine.metadata import metadata_app
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import Orders
from js2spawner.handshake.server import HandshakeServer
from js2spawner.handshake.userdata import user_data
from tests.devcloud.machine.conftest import a_spec, needs_root
from tests.unit.handshake import books

pytestmark = needs_root
SETTINGS = HandshakeSettings(poll_s=3.0, report_s=0.5, early_retry_s=0.1)
TOKEN = "token-of-the-server"
PREFIX = "/user/alice/"
UID = 20001


class Hub:
    """The counter, the metadata service and as much of a hub's API as a single-user server asks for."""

    def __init__(self, folder: Path) -> None:
        authority = books.authority(folder)
        self.book = books.MemoryBook()
        self.counter = HandshakeServer(
            self.book, bind_address=books.HOME, port=0, authority=authority, settings=SETTINGS
        )
        self._authority = authority
        self._spec: MachineSpec | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        await self.counter.start()
        app = web.Application()
        app.add_subapp("/metadata", metadata_app(self._lookup))
        app.router.add_get("/hub/api", self._version)
        app.router.add_get("/hub/api/user", self._user)
        app.router.add_post("/hub/api/users/alice/activity", self._version)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, books.HOME, 0).start()
        self.url = f"http://{books.HOME}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self.counter.stop()

    def expect(self) -> MachineSpec:
        """An instance whose hello this hub will accept."""
        told = user_data(
            hub_url=self.counter.url,
            authority_pem=self._authority.ca_pem,
            attempt_id=books.ATTEMPT,
            ticket=books.TICKET,
        )
        spec = a_spec(name="instance", user_data=told.encode(), boot_seconds=0.2)
        self._spec = spec
        self.book.attempt = books.expected(addresses=(spec.address,), server_id=spec.server_id)
        return spec

    def assignment(self, spec: MachineSpec, **changes: Any) -> Any:
        env = {
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_API_URL": f"{self.url}/hub/api",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice",
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers"]',
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://{spec.address}:8888{PREFIX}",
            "JUPYTERHUB_USER": "alice",
        }
        return books.assignment(uid=UID, env=env, address=spec.address, **changes)

    def _lookup(self, source: str) -> MachineSpec | None:
        return self._spec if self._spec is not None and source == self._spec.address else None

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": "6.1.1"})

    async def _user(self, _request: web.Request) -> web.Response:
        scopes = ["access:servers", "users:activity!user=alice"]
        return web.json_response({"name": "alice", "kind": "user", "admin": False, "groups": [], "scopes": scopes})


@pytest.fixture
async def hub(folder: Path) -> AsyncIterator[Hub]:
    made = Hub(folder)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def machines(hub: Hub, folder: Path) -> AsyncIterator[Machines]:
    made = Machines(folder / "cloud", f"{hub.url}/metadata")
    await made.start()
    yield made
    await made.shutdown()


async def printed(spec: MachineSpec, code: str) -> str:
    """What a cell prints, in a fresh kernel of the machine's JupyterLab."""
    base = f"http://{spec.address}:8888{PREFIX}api/kernels"
    message = {
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": "s",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False},
        "channel": "shell",
        "buffers": [],
    }
    headers = {"Authorization": f"token {TOKEN}"}
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        async with session.post(base, json={}) as answer:
            kernel = (await answer.json())["id"]
        async with session.ws_connect(f"{base}/{kernel}/channels") as channel:
            await channel.send_json(message)
            async for told in channel:
                heard = json.loads(told.data)
                if heard["msg_type"] == "stream":
                    return str(heard["content"]["text"])
    raise AssertionError("the kernel said nothing")


async def test_a_machine_becomes_somebodys_jupyterlab_and_ends_when_told(hub: Hub, machines: Machines) -> None:
    spec = hub.expect()
    await machines.enforce(spec.server_id, [Ingress("tcp", 8888, 8888, "127.0.0.1/32")])
    await machines.boot(spec)
    await hub.book.give(hub.assignment(spec))
    await hub.book.until(lambda: any(report.stage in ("listening", "failed") for report in hub.book.reports), 90)
    assert hub.book.reports[-1].stage == "listening", machines.console(spec.server_id, 20)
    told = await printed(spec, "import os, socket; print(os.getuid(), os.getcwd(), socket.gethostname())")
    assert told == f"{UID} /home/alice js2-{books.ATTEMPT}\n"
    console = machines.console(spec.server_id, None)
    for secret in (TOKEN, books.TICKET, "alice"):
        assert secret not in console
    hub.book.orders = Orders(stop=True)
    with contextlib.suppress(TimeoutError):
        await hub.book.until(lambda: not machines.running(spec.server_id), 30)
    assert not machines.running(spec.server_id), machines.console(spec.server_id, 20)
