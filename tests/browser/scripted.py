"""Somebody who works by script: starts and stops servers over REST, and keeps files through JupyterLab's own API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from tests.browser.whole import Hub, until

READY_WITHIN_S = 90
_ANSWER_WITHIN_S = 30


@dataclass
class Scripted:
    """One user of a hub, made with the first word to it."""

    hub: Hub
    name: str
    _token: str = field(default="", repr=False)

    def asks_for(self, server: str = "", **options: str) -> requests.Response:
        """Ask for a start and do not wait."""
        self._signed_in()
        return self.hub.rest("POST", self._path(server), options)

    def starts(self, server: str = "", **options: str) -> None:
        answer = self.asks_for(server, **options)
        assert answer.status_code in (201, 202), answer.text
        until(lambda: self.hub.is_ready(self.name, server), f"{self.name}/{server} is ready", READY_WITHIN_S)

    def stops(self, server: str = "") -> None:
        answer = self.hub.rest("DELETE", self._path(server))
        assert answer.status_code in (202, 204), answer.text

    def keeps(self, path: str, text: str, server: str = "") -> None:
        """Save a file as JupyterLab does."""
        answer = self._contents("PUT", path, server, {"type": "file", "format": "text", "content": text})
        assert answer.ok, answer.text

    def has(self, path: str, server: str = "") -> str | None:
        """What a file holds; None when there is none."""
        answer = self._contents("GET", path, server)
        assert answer.status_code in (200, 404), answer.text
        return str(answer.json()["content"]) if answer.ok else None

    def lab(self, method: str, path: str, server: str = "", body: Any = None) -> requests.Response:
        """A request to the user's own server."""
        where = f"{self.hub.address}/user/{self.name}/{server + '/' if server else ''}{path}"
        headers = {"Authorization": f"token {self._signed_in()}"}
        return requests.request(method, where, json=body, headers=headers, timeout=_ANSWER_WITHIN_S)

    def _contents(self, method: str, path: str, server: str, body: Any = None) -> requests.Response:
        return self.lab(method, f"api/contents/{path}", server, body)

    def _path(self, server: str) -> str:
        return f"/users/{self.name}/servers/{server}" if server else f"/users/{self.name}/server"

    def _signed_in(self) -> str:
        if not self._token:
            self.hub.rest("POST", f"/users/{self.name}")
            self._token = self.hub.rest("POST", f"/users/{self.name}/tokens", {"note": "scripts"}).json()["token"]
        return self._token
