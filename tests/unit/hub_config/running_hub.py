"""A real hub process on this repository's configuration, with a stand-in for the spawner, the servers and the proxy."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

PROJECT = Path(__file__).resolve().parents[3]
CONFIG = Path(__file__).with_name("stand_in_config.py")
API_TOKEN = "operator-token-of-the-tests"
METRICS_TOKEN = "metrics-token-of-the-tests"
PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class RunningHub:
    url: str
    log: Path
    pid: int

    def ask(
        self, path: str, *, method: str = "GET", token: str = API_TOKEN, body: Any = None, **headers: str
    ) -> Answer:
        """One request with a token ("" for none); redirects are answers, not followed."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/hub/{path}", data=data, method=method)
        if token:
            request.add_header("Authorization", f"token {token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        opener = urllib.request.build_opener(_NoRedirects)
        try:
            with opener.open(request, timeout=30) as response:
                return Answer(response.status, dict(response.headers), response.read().decode())
        except HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def token_of(self, user: str, scopes: list[str] | None = None) -> str:
        body = {"scopes": scopes} if scopes else {}
        return str(self.ask(f"api/users/{user}/tokens", method="POST", body=body).json["token"])

    def start(self, user: str, server: str = "", **options: Any) -> None:
        """Start a server (the user is made when missing) and wait until it is ready."""
        self.ask(f"api/users/{user}", method="POST")
        path = f"api/users/{user}/servers/{server}" if server else f"api/users/{user}/server"
        answer = self.ask(path, method="POST", body={"user_options": options})
        assert answer.status in (201, 202), answer
        until(lambda: self.servers(user).get(server, {}).get("ready"), f"{user}/{server} is ready")

    def servers(self, user: str) -> dict[str, Any]:
        return dict(self.ask(f"api/users/{user}").json["servers"])


class Browser:
    """Cookies, pages and forms of one person."""

    def __init__(self, hub: RunningHub) -> None:
        self.cookies = CookieJar()
        self._open = build_opener(HTTPCookieProcessor(self.cookies))
        self._hub = hub

    def page(self, path: str, form: dict[str, str] | None = None) -> Answer:
        data = None
        if form is not None:
            xsrf = next(cookie.value for cookie in self.cookies if cookie.name == "_xsrf")
            data = urlencode({**form, "_xsrf": xsrf}).encode()
        request = Request(f"{self._hub.url}/hub/{path}", data=data, headers={"Sec-Fetch-Mode": "navigate"})
        try:
            with self._open.open(request, timeout=30) as response:
                return Answer(response.status, {"url": response.url}, response.read().decode())
        except HTTPError as error:
            return Answer(error.code, {}, error.read().decode())

    def sign_in(self, name: str, password: str) -> Answer:
        self.page("login")
        return self.page("login?next=/hub/token", {"username": name, "password": password})


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _ProxyAndServers(BaseHTTPRequestHandler):
    """Speaks as much of the proxy's API as the hub needs, and answers 200 as any single-user server."""

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._answer(200, b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(201)

    def do_DELETE(self) -> None:
        self._answer(204)

    def log_message(self, *_: Any) -> None:
        pass


def until(condition: Any, what: str, within_s: float = 60) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {within_s} s: {what}")


def free_port() -> int:
    """A port the kernel gives to nobody by itself, since the hub takes its time until it binds it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def environment(directory: Path, stand_in: str, **more: str) -> dict[str, str]:
    port = free_port()
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JS2_", "JUPYTER"))},
        "PYTHONPATH": str(PROJECT),
        "JS2_STATE_DIR": str(directory / "state"),
        "JS2_CATALOG": str(PROJECT / "hub_config" / "catalog.demo.yaml"),
        "JS2_SIGN_IN": "local",
        "JS2_USERS": "alice,bob",
        "JS2_PASSWORD_FILE": str(secret_file(directory / "password", PASSWORD)),
        "JS2_API_TOKEN_FILE": str(secret_file(directory / "token", API_TOKEN)),
        "JS2_METRICS_TOKEN_FILE": str(secret_file(directory / "metrics", METRICS_TOKEN)),
        "JS2_HUB_BIND_URL": f"http://127.0.0.1:{port}",
        "JS2_PROXY_API_URL": stand_in,
        "CONFIGPROXY_AUTH_TOKEN": "proxy-token-of-the-tests",
        "STAND_IN_URL": stand_in,
        "JS2_CULL_EVERY_S": "1",
        **more,
    }


@contextmanager
def running_hub(directory: Path, **more: str) -> Iterator[RunningHub]:
    """A hub that is up, and is gone with all its processes afterwards."""
    stand_in = ThreadingHTTPServer(("127.0.0.1", 0), _ProxyAndServers)
    threading.Thread(target=stand_in.serve_forever, daemon=True).start()
    settings = environment(directory, f"http://127.0.0.1:{stand_in.server_port}", **more)
    log = directory / "hub.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", f"--config={CONFIG}"],
            cwd=directory,
            env=settings,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    hub = RunningHub(settings["JS2_HUB_BIND_URL"], log, process.pid)
    try:
        until(lambda: process.poll() is not None or _healthy(hub), "the hub answers")
        assert process.poll() is None, log.read_text()
        yield hub
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        stand_in.shutdown()
        stand_in.server_close()


def _healthy(hub: RunningHub) -> bool:
    try:
        return hub.ask("health", token="").status == 200
    except OSError:
        return False
