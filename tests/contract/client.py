"""Raw HTTP to a cloud as one person, and the list of what was made, so that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

VERSION = "2.96"
NO_VERSION = "none"
"""As a call's `version`: no header about it."""

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.05

# A POST to one of these makes something that has a path of its own. The name is that of the member that holds its id.
_COLLECTIONS: Mapping[str, str] = {
    "servers": "id",
    "os-keypairs": "name",
    "flavors": "id",
    "images": "id",
    "networks": "id",
    "subnets": "id",
    "ports": "id",
    "routers": "id",
    "security-groups": "id",
    "security-group-rules": "id",
    "floatingips": "id",
    "volumes": "id",
    "snapshots": "id",
    "shares": "id",
    "application_credentials": "id",
}
_COLLECTION = re.compile(rf"/[^?]+/({'|'.join(_COLLECTIONS)})/?")


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer. `body` is parsed JSON, or text when it is none; `service` is who gave it, as paths call it."""

    status: int
    headers: Mapping[str, str]
    body: Any
    service: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """Something a test made, whose path answers 404 once it is gone."""

    by: Client
    path: str


@dataclass(slots=True)
class Ledger:
    """What is to be deleted when a test or a module ends: a pile for each of them, the innermost on top.

    A deletion that takes time, or has to wait for another one, is not waited for between tests: `leaving` is looked at
    again after the next one, and awaited at the very end.
    """

    piles: list[list[Made]] = field(default_factory=lambda: [[]])
    leaving: list[Made] = field(default_factory=list)

    def note(self, by: Client, path: str) -> None:
        self.piles[-1].append(Made(by, path))

    def begin(self) -> None:
        self.piles.append([])

    @contextmanager
    def for_good(self) -> Iterator[None]:
        """What is made in this block stays until the end of all tests."""
        self.piles.append(self.piles[0])
        try:
            yield
        finally:
            self.piles.pop()

    async def end(self) -> None:
        self.leaving += reversed(self.piles.pop())
        await self.sweep()

    async def sweep(self) -> None:
        """Ask once more for every deletion that is not done."""
        answers = [await made.by.call("DELETE", made.path) for made in self.leaving]
        self.leaving = [made for made, seen in zip(self.leaving, answers, strict=True) if seen.status != 404]

    async def close(self) -> None:
        """Wait until nothing is left of all that was made."""
        while self.piles:
            self.leaving += reversed(self.piles.pop())
        try:
            async with asyncio.timeout(PATIENCE_S):
                while self.leaving:
                    await self.sweep()
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise AssertionError(f"never went away: {[made.path for made in self.leaving]}") from None


@dataclass(slots=True)
class Client:
    """Calls as one person.

    A path begins with the service and its version, such as `/compute/v2.1/servers`; `roots` says where each service is.
    """

    http: aiohttp.ClientSession
    roots: Mapping[str, str]
    ledger: Ledger = field(default_factory=Ledger)
    token: str = ""
    project_id: str = ""
    user_id: str = ""
    version: str = VERSION
    defaults: Mapping[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, body: Any = None, *, version: str = "", headers: Mapping[str, str] | None = None
    ) -> Seen:
        sent = {"X-Auth-Token": self.token} if self.token else {}
        if path.startswith("/compute") and version != NO_VERSION:
            sent["OpenStack-API-Version"] = f"compute {version or self.version}"
        data = {"data": body} if isinstance(body, bytes) else {"json": body}
        # aiohttp would call no body at all a stream of octets, and Nova does not take those.
        plain = {"skip_auto_headers": ("Content-Type",)} if body is None else {}
        async with self.http.request(
            method, self.url_of(path), headers={**sent, **(headers or {})}, **data, **plain
        ) as answer:
            raw = await answer.read()
            is_json = answer.content_type == "application/json" and raw
            given = {name: ", ".join(answer.headers.getall(name)) for name in answer.headers}
            shown = json.loads(raw) if is_json else raw.decode()
        seen = Seen(answer.status, given, shown, path.removeprefix("/").partition("/")[0])
        self._note(method, path, seen)
        return seen

    def url_of(self, path: str) -> str:
        service, slash, rest = path.removeprefix("/").partition("/")
        return self.roots[service] + slash + rest

    async def get(self, path: str, **more: Any) -> Any:
        return (await self.call("GET", path, **more)).body

    async def act(self, server_id: str, action: str, arguments: Any = None, **more: Any) -> Seen:
        return await self.call("POST", f"{server_path(server_id)}/action", {action: arguments}, **more)

    async def sign_in(self, auth: Mapping[str, Any]) -> Seen:
        """Get a token and keep it."""
        seen = await self.call("POST", "/identity/v3/auth/tokens", {"auth": auth})
        if seen.status == 201:
            self.token = seen.headers["X-Subject-Token"]
            self.project_id = seen.body["token"]["project"]["id"]
            self.user_id = seen.body["token"]["user"]["id"]
        return seen

    async def flavor_id(self, name: str = "") -> str:
        name = name or self.defaults["flavor"]
        flavors = (await self.get("/compute/v2.1/flavors"))["flavors"]
        return str(next(flavor["id"] for flavor in flavors if flavor["name"] == name))

    async def image_id(self, name: str = "") -> str:
        return str((await self.get(f"/image/v2/images?name={name or self.defaults['image']}"))["images"][0]["id"])

    async def network_id(self, name: str = "") -> str:
        path = f"/network/v2.0/networks?name={name or self.defaults['network']}"
        return str((await self.get(path))["networks"][0]["id"])

    async def request_for(self, name: str, *, flavor: str = "", **more: Any) -> dict[str, Any]:
        """The body of a create that would be accepted; a member that is None is left out."""
        server = {
            "name": name,
            "flavorRef": more.pop("flavorRef", None) or await self.flavor_id(flavor),
            "imageRef": more.pop("imageRef") if "imageRef" in more else await self.image_id(),
            "networks": more.pop("networks") if "networks" in more else [{"uuid": await self.network_id()}],
        }
        return {"server": {**{key: value for key, value in server.items() if value is not None}, **more}}

    async def create(self, name: str = "one", *, version: str = "", **more: Any) -> Seen:
        body = await self.request_for(name, **more)
        return await self.call("POST", "/compute/v2.1/servers", body, version=version)

    async def created(self, name: str = "one", **more: Any) -> str:
        """The id of a new server that was accepted."""
        seen = await self.create(name, **more)
        assert seen.status == 202, seen
        return str(seen.body["server"]["id"])

    async def server(self, server_id: str, **more: Any) -> Any:
        return (await self.get(server_path(server_id), **more))["server"]

    async def settled(self, server_id: str, status: str, within_s: float = PATIENCE_S) -> Any:
        """The server once it has a status and no task."""
        shown: Any = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    seen = await self.call("GET", server_path(server_id))
                    if seen.status == 200:
                        server = seen.body["server"]
                        shown = server["status"], server["OS-EXT-STS:task_state"], server.get("fault")
                        if shown[:2] == (status, None):
                            return server
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise AssertionError(f"{server_id} is {shown} and not {status} after {within_s} s") from None

    async def active(self, name: str = "one", **more: Any) -> Any:
        return await self.settled(await self.created(name, **more), "ACTIVE")

    async def gone(self, path: str, within_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(within_s):
            while (await self.call("GET", path)).status != 404:
                await asyncio.sleep(LOOK_EVERY_S)

    def _note(self, method: str, path: str, seen: Seen) -> None:
        """Whatever was made is to be deleted."""
        if method != "POST" or seen.status not in (200, 201, 202) or not isinstance(seen.body, dict):
            return
        if path.endswith("/action") and (image_id := seen.body.get("image_id")):
            self.ledger.note(self, f"/image/v2/images/{image_id}")
        if match := _COLLECTION.fullmatch(path):
            inner = [value for value in seen.body.values() if isinstance(value, dict)]
            made = inner[0] if len(seen.body) == 1 and inner else seen.body
            if key := made.get(_COLLECTIONS[match[1]]):
                self.ledger.note(self, f"{path.rstrip('/')}/{key}")


def server_path(server_id: str) -> str:
    return f"/compute/v2.1/servers/{server_id}"


def password_auth(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What Keystone is asked with an entry of clouds.yaml that holds a password."""
    auth = entry["auth"]
    user = {"name": auth["username"], "password": auth["password"], "domain": _domain(auth, "user")}
    scope = {"project": {"name": auth["project_name"], "domain": _domain(auth, "project")}}
    return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}


def credential_auth(key: str, secret: str) -> dict[str, Any]:
    return {
        "identity": {"methods": ["application_credential"], "application_credential": {"id": key, "secret": secret}}
    }


def auth_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What Keystone is asked with an entry of clouds.yaml."""
    auth = entry["auth"]
    if "application_credential_id" in auth:
        return credential_auth(auth["application_credential_id"], auth["application_credential_secret"])
    return password_auth(entry)


def _domain(auth: Mapping[str, Any], of: str) -> dict[str, str]:
    if f"{of}_domain_id" in auth:
        return {"id": auth[f"{of}_domain_id"]}
    return {"name": auth.get(f"{of}_domain_name", "Default")}
