"""Who may do what over the REST API. Further roles of your own go here."""

from __future__ import annotations

from typing import Any

from jupyterhub.roles import get_default_roles

from hub_config.settings import Settings, read_secret


def configure(c: Any, settings: Settings) -> None:
    """With JS2_API_TOKEN_FILE, a service `operator` whose token may do what an admin may: for scripts."""
    if settings.api_token_file:
        token = read_secret(settings.api_token_file, "JS2_API_TOKEN_FILE")
        c.JupyterHub.services.append({"name": "operator", "api_token": token})
        scopes = next(role["scopes"] for role in get_default_roles() if role["name"] == "admin")
        c.JupyterHub.load_roles.append({"name": "operator", "scopes": scopes, "services": ["operator"]})
