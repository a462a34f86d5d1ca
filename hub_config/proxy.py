"""Where the hub is: its public address, its own, and the proxy between them, which runs on its own."""

from __future__ import annotations

from typing import Any

from hub_config.settings import Settings


def configure(c: Any, settings: Settings) -> None:
    """The proxy is a service of its own, so notebooks stay reachable while the hub restarts."""
    c.JupyterHub.bind_url = settings.bind_url.replace("https://", "http://", 1)
    if settings.bind_url.startswith("https://"):
        # TLS ends before the proxy: only this tells the hub that its cookies must be Secure.
        c.JupyterHub.public_url = f"{settings.bind_url}/"
    c.JupyterHub.hub_bind_url = settings.hub_bind_url
    if settings.hub_connect_url:
        c.JupyterHub.hub_connect_url = settings.hub_connect_url
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = settings.proxy_api_url
    c.JupyterHub.cleanup_proxy = False
