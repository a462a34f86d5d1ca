"""A devcloud for a test, and raw HTTP calls to it as its different people."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from js2spawner.devcloud.clock import SystemClock
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.hypervisor import NoMachines
from js2spawner.devcloud.latency import PHASES
from js2spawner.devcloud.nova.status import status_of
from js2spawner.devcloud.records import Server
from js2spawner.devcloud.script import LatenciesText, Script
from js2spawner.devcloud.server import Options, Running, running

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
VERSION = "2.96"
QUICK = Script(latencies=LatenciesText(calls={"default": 0}, phases=dict.fromkeys(PHASES, 0.01), spread=0))


class MovableClock(SystemClock):
    """The real time plus what a test adds to it; nobody waits for that part."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass(frozen=True, slots=True)
class Seen:
    status: int
    headers: Mapping[str, str]
    body: Any

    def normal(self, url: str) -> Any:
        """The body with what differs from cloud to cloud made equal, as in the recorded answers."""
        text = UUID.sub("<id>", json.dumps(self.body))
        return json.loads(text.replace(f"{url}/compute", "<compute>").replace(f"{url}/volume", "<volume>"))


@dataclass(slots=True)
class Client:
    """Calls as one person. Paths begin with the service's prefix, such as `/compute/v2.1/servers`."""

    http: aiohttp.ClientSession
    url: str
    token: str = ""
    project_id: str = ""
    user_id: str = ""
    version: str = VERSION

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str = "", headers: Mapping[str, str] | None = None
    ) -> Seen:
        sent = {"X-Auth-Token": self.token} if self.token else {}
        if path.startswith("/compute"):
            sent["OpenStack-API-Version"] = f"compute {version or self.version}"
        async with self.http.request(
            method, f"{self.url}{path}", json=body, headers={**sent, **(headers or {})}
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            return Seen(answer.status, dict(answer.headers), json.loads(raw) if is_json else raw.decode())

    async def get(self, path: str, **more: Any) -> Any:
        return (await self.call("GET", path, **more)).body

    async def act(self, server_id: str, action: str, arguments: Any = None, **more: Any) -> Seen:
        return await self.call("POST", f"/compute/v2.1/servers/{server_id}/action", {action: arguments}, **more)

    async def sign_in(self, auth: Mapping[str, Any]) -> Seen:
        """Get a token and keep it."""
        seen = await self.call("POST", "/identity/v3/auth/tokens", {"auth": auth})
        if seen.status == 201:
            self.token = seen.headers["X-Subject-Token"]
            self.project_id = seen.body["token"]["project"]["id"]
            self.user_id = seen.body["token"]["user"]["id"]
        return seen

    async def flavor_id(self, name: str = "m3.tiny") -> str:
        flavors = (await self.get("/compute/v2.1/flavors"))["flavors"]
        return str(next(flavor["id"] for flavor in flavors if flavor["name"] == name))

    async def image_id(self, name: str = "Featured-Ubuntu24") -> str:
        return str((await self.get(f"/image/v2/images?name={name}"))["images"][0]["id"])

    async def network_id(self, name: str = "auto_allocated_network") -> str:
        return str((await self.get(f"/network/v2.0/networks?name={name}"))["networks"][0]["id"])

    async def request_for(self, name: str, *, flavor: str = "m3.tiny", **more: Any) -> dict[str, Any]:
        """The body of a create that would be accepted."""
        server = {
            "name": name,
            "flavorRef": await self.flavor_id(flavor),
            "imageRef": await self.image_id(),
            "networks": [{"uuid": await self.network_id()}],
        }
        return {"server": {**server, **more}}

    async def create(self, name: str = "one", **more: Any) -> Seen:
        return await self.call("POST", "/compute/v2.1/servers", await self.request_for(name, **more))

    async def created(self, name: str = "one", **more: Any) -> str:
        """The id of a new server that was accepted."""
        seen = await self.create(name, **more)
        assert seen.status == 202, seen
        return str(seen.body["server"]["id"])

    async def server(self, server_id: str, **more: Any) -> Any:
        return (await self.get(f"/compute/v2.1/servers/{server_id}", **more))["server"]

    async def settled(self, server_id: str, status: str, within_s: float = 20) -> Any:
        """The server once it has a status and no task."""
        async with asyncio.timeout(within_s):
            while True:
                seen = await self.call("GET", f"/compute/v2.1/servers/{server_id}")
                if seen.status == 200:
                    server = seen.body["server"]
                    if server["status"] == status and server["OS-EXT-STS:task_state"] is None:
                        return server
                await asyncio.sleep(0.01)

    async def active(self, name: str = "one", **more: Any) -> Any:
        return await self.settled(await self.created(name, **more), "ACTIVE")

    async def gone(self, path: str, within_s: float = 20) -> None:
        async with asyncio.timeout(within_s):
            while (await self.call("GET", path)).status != 404:
                await asyncio.sleep(0.01)


@dataclass(slots=True)
class Scene:
    """A running devcloud and the people of its clouds.yaml, signed in."""

    running: Running
    hub: Client
    other: Client
    admin: Client
    nobody: Client
    clock: MovableClock
    history: dict[str, list[str]] = field(default_factory=dict)

    @property
    def cloud(self) -> DevCloud:
        return self.running.cloud

    @property
    def machines(self) -> NoMachines:
        assert isinstance(self.cloud.hypervisor, NoMachines)
        return self.cloud.hypervisor

    @property
    def clouds(self) -> Mapping[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.running.clouds_yaml.read_text())
        return content["clouds"]


@asynccontextmanager
async def devcloud(directory: Path, **options: Any) -> AsyncIterator[Scene]:
    """A devcloud without machines whose phases take hundredths of a second."""
    clock = MovableClock()
    wanted = replace(Options(directory, script=QUICK, clock=clock), **options)
    async with running(wanted) as up, aiohttp.ClientSession() as http:
        people = {}
        for entry, auth in _auths(up.clouds_yaml).items():
            people[entry] = Client(http, up.url)
            assert (await people[entry].sign_in(auth)).status == 201
        scene = Scene(
            up, people["devcloud"], people["devcloud-other"], people["devcloud-admin"], Client(http, up.url), clock
        )
        _watch(scene)
        yield scene


def password_auth(entry: Mapping[str, Any]) -> dict[str, Any]:
    auth = entry["auth"]
    user = {"name": auth["username"], "password": auth["password"], "domain": {"name": "Default"}}
    scope = {"project": {"name": auth["project_name"], "domain": {"name": "Default"}}}
    return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}


def credential_auth(key: str, secret: str) -> dict[str, Any]:
    return {
        "identity": {"methods": ["application_credential"], "application_credential": {"id": key, "secret": secret}}
    }


def _auths(clouds_yaml: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for name, entry in yaml.safe_load(clouds_yaml.read_text())["clouds"].items():
        auth = entry["auth"]
        if "application_credential_id" in auth:
            found[name] = credential_auth(auth["application_credential_id"], auth["application_credential_secret"])
        else:
            found[name] = password_auth(entry)
    return found


def _watch(scene: Scene) -> None:
    """Note every state a server's record goes through, so that no test has to be quick enough to see one."""
    store = scene.cloud.store
    put = store.put

    def noting(record: Any) -> Any:
        if isinstance(record, Server):
            state = f"{status_of(record.vm_state, record.task_state)}/{record.task_state}"
            shown = state + ("" if record.interfaces else " no address")
            states = scene.history.setdefault(record.id, [])
            if not states or states[-1] != shown:
                states.append(shown)
        return put(record)

    store.put = noting  # type: ignore[method-assign]
