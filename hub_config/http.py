"""Limits of the hub's own HTTP client, which asks servers whether they are ready and speaks to the proxy."""

from __future__ import annotations

from typing import Any

import aiohttp

from hub_config.settings import Settings


def configure(c: Any, settings: Settings) -> None:
    """No shared limit, short deadlines: servers that accept and never answer must not hold up the others.

    JupyterHub 6.1 sends both kinds of request through one aiohttp session with 100 connections and 300 s each: about a
    hundred hung servers would stop every other start for five minutes.
    """
    del settings
    c.JupyterHubHTTPClient.connector_options = {"limit": 0}
    c.JupyterHubHTTPClient.session_options = {"timeout": aiohttp.ClientTimeout(total=10, sock_connect=5)}
