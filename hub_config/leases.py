"""What the idle culler asks before it stops a server: has its lease ended?"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

_log = logging.getLogger("js2.culling")

# A lease that has ended is asked for again right before the end: somebody may just have extended it.
_JUST_NOW_S = 2.0

Ended = Mapping[str, bool]


class HubLeases:
    """Asks the hub for the leases of all running servers."""

    def __init__(self, api_url: str, token: str) -> None:
        self._url = f"{api_url.rstrip('/').removesuffix('/api')}/js2/leases"
        self._token = token

    async def fetch(self) -> Ended:
        """Server ("user/name") → whether its lease has ended. Raises OSError when the hub does not say."""
        headers = {"Authorization": f"token {self._token}"}
        try:
            answer = await AsyncHTTPClient().fetch(self._url, headers=headers, connect_timeout=5, request_timeout=30)
        except HTTPClientError as error:
            raise OSError(f"the hub answered {error.code} to {self._url}") from error
        return {lease["full_name"]: lease["ended"] is True for lease in json.loads(answer.body)["leases"]}


class Arbiter:
    """Decides for `IdleCuller.cull_arbiter_hook`. A server whose lease is not known is never stopped."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Ended]], *, round_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`round_s`: seconds between two rounds of the culler. One answer serves all servers of a round."""
        self._fetch = fetch
        self._fresh_s = round_s / 2
        self._clock = clock
        self._ended: Ended = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def should_cull(self, *, server: Mapping[str, Any], **_inactive: object) -> bool:
        """Whether the server's lease has ended. `server` is the hub's REST model of it."""
        name = str(server["full_name"])
        return await self._has_ended(name, self._fresh_s) and await self._has_ended(name, _JUST_NOW_S)

    async def _has_ended(self, name: str, fresh_s: float) -> bool:
        async with self._asking:
            if self._clock() - self._asked_at > fresh_s:
                try:
                    self._ended = await self._fetch()
                except (OSError, ValueError, KeyError, TypeError) as error:
                    _log.warning("leases are not known, so nothing is stopped: %s", error)
                    self._ended = {}
                self._asked_at = self._clock()
            return self._ended.get(name, False)
