"""Sign-in for a demonstration on one machine: a list of people and one password for all of them."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

from tornado import web
from traitlets import Unicode

from hub_config.attempts import FailureLimit
from hub_config.pacing import PacedStarts


class SharedPassword(PacedStarts):
    """Whoever is on the list and knows the password enters, as anybody on the list: not for people who need privacy."""

    password = Unicode(help="The password, the same for everybody on the list.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limit = FailureLimit(20, 600, time.monotonic)

    async def authenticate(self, handler: Any, data: Mapping[str, str]) -> str | None:
        address = handler.request.remote_ip
        if self._limit.blocked(address):
            raise web.HTTPError(429, "Too many failed sign-ins from your address. Try again in ten minutes.")
        name: str = self.normalize_username(data.get("username", ""))
        given = data.get("password", "").encode()
        if self.password and hmac.compare_digest(given, self.password.encode()) and name in self.allowed_users:
            return name
        self._limit.failed(address)
        return None
