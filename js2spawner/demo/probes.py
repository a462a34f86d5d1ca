"""Is it answering? One question over HTTP on loopback, answered yes or no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import aiohttp

Probe = Callable[[], Awaitable[bool]]
_ANSWER_WITHIN_S = 2.0


def http_probe(url: str, headers: Mapping[str, str] | None = None) -> Probe:
    """Yes when a GET of `url` is answered below 400 within two seconds; anything else is no."""

    async def ask() -> bool:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    return ask
