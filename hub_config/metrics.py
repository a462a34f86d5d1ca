"""Metrics for Prometheus at /hub/metrics, js2spawner's among JupyterHub's."""

from __future__ import annotations

from typing import Any

from hub_config.settings import Settings, read_secret


def configure(c: Any, settings: Settings) -> None:
    """Metrics tell who runs how much, so they are for those who hold the token, and for nothing else but metrics."""
    c.JupyterHub.authenticate_prometheus = True
    if settings.metrics_token_file:
        token = read_secret(settings.metrics_token_file, "JS2_METRICS_TOKEN_FILE")
        c.JupyterHub.services.append({"name": "prometheus", "api_token": token})
        c.JupyterHub.load_roles.append(
            {"name": "prometheus", "scopes": ["read:metrics"], "services": ["prometheus"]},
        )
