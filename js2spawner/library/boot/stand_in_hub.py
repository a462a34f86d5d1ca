"""As much of JupyterHub's API as one single-user server asks of it: a version, whose a token is, a place for activity.

JupyterHub's REST API: GET /hub/api/, GET /hub/api/user, POST /hub/api/users/{name}/activity.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

BODY_BYTES = 64 * 1024


@asynccontextmanager
async def stand_in_hub(user: str, token: str) -> AsyncIterator[int]:
    """The port of 127.0.0.1 where it answers as long as the block does."""
    app = web.Application(client_max_size=BODY_BYTES)

    def allowed(request: web.Request) -> None:
        told = request.headers.get("Authorization", "")
        if not hmac.compare_digest(told.partition(" ")[2].encode(), token.encode()):
            raise web.HTTPForbidden

    async def says_version(_request: web.Request) -> web.Response:
        return web.json_response({"version": _version()}, headers={"X-JupyterHub-Version": _version()})

    async def says_user(request: web.Request) -> web.Response:
        allowed(request)
        scopes = [f"access:servers!user={user}", f"read:users:name!user={user}"]
        model = {"kind": "user", "name": user, "admin": False, "groups": [], "scopes": scopes, "session_id": None}
        return web.json_response(model)

    async def takes_activity(request: web.Request) -> web.Response:
        allowed(request)
        return web.Response()

    app.router.add_get("/hub/api", says_version)
    app.router.add_get("/hub/api/", says_version)
    app.router.add_get("/hub/api/user", says_user)
    app.router.add_post(f"/hub/api/users/{user}/activity", takes_activity)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port: int = runner.addresses[0][1]
        yield port
    finally:
        await runner.cleanup()


def server_environment(user: str, token: str, hub: str) -> Mapping[str, str]:
    """What JupyterHub puts into a server's environment (its Spawner's `get_env`); `hub` is as the server sees it."""
    scope = f"access:servers!server={user}/"
    return {
        "JUPYTERHUB_API_TOKEN": token,
        "JPY_API_TOKEN": token,
        "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{user}",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_API_URL": f"{hub}/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": f"{hub}/hub/api/users/{user}/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"/user/{user}/oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": f'["{scope}"]',
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": f'["{scope}"]',
        "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": "[]",
        "JUPYTERHUB_USER": user,
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/" + user + "/",
        "JUPYTERHUB_SERVICE_PREFIX": f"/user/{user}/",
        "JUPYTERHUB_DEFAULT_URL": "/lab",
    }


def _version() -> str:
    try:
        return version("jupyterhub")
    except PackageNotFoundError:
        return "6.1.0"
