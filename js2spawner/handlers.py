"""The hub's own pages and answers below `/hub/js2/`: leases, failed starts' consoles, our static files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.static import CacheControlStaticFilesHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_escape_path, url_path_join
from tornado import web
from tornado.httputil import url_concat

from js2spawner import library_handlers, place_handlers, save_handlers, servers_handlers
from js2spawner.answering import PageOrJson
from js2spawner.lease_shown import lease_model

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


def handlers() -> list[Any]:
    """What `c.JupyterHub.extra_handlers` gets; paths are below the hub's own prefix."""
    server = r"([^/]+)(?:/([^/]*))?"
    return [
        (r"/js2/leases", LeasesHandler),
        (rf"/js2/lease/{server}", LeaseHandler),
        (rf"/js2/console/{server}", ConsoleHandler),
        *library_handlers.handlers(),
        *save_handlers.handlers(),
        *servers_handlers.handlers(),
        *place_handlers.handlers(),
        (r"/js2/static/(.*)", CacheControlStaticFilesHandler, {"path": str(STATIC)}),
    ]


class LeasesHandler(APIHandler):
    """The leases of all running servers that the caller may see. The idle culler asks once a round."""

    @needs_scope("read:servers", post_filter=True)
    def get(self) -> None:
        now = datetime.now(UTC)
        may_see = self.get_scope_filter("read:servers")
        leases = [
            {
                "user": user.name,
                "full_name": f"{user.name}/{spawner.name}",
                **lease_model(spawner.lease(), spawner.name, now),
            }
            for user in list(self.users.values())
            for spawner in list(user.spawners.values())
            if spawner.ready and may_see(spawner, kind="server")
        ]
        self.finish({"leases": leases})


class LeaseHandler(PageOrJson):
    """One server's lease as a page, or as JSON for who accepts that; POST extends it."""

    async def get(self, user_name: str, server_name: str | None = None) -> None:
        if self.current_user is None and not self.wants_json:
            self.redirect(url_concat(self.settings["login_url"], {"next": self.request.path}))
            return
        await self._show(user_name, server_name or "")

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        await self._extend(user_name, server_name or "")

    @needs_scope("servers")
    async def _show(self, user_name: str, server_name: str) -> None:
        user, spawner = self._find(user_name, server_name)
        await self._answer(user, server_name, spawner)

    @needs_scope("servers")
    async def _extend(self, user_name: str, server_name: str) -> None:
        user, spawner = self._find(user_name, server_name)
        try:
            await spawner.extend()
        except ValueError as error:
            # The sentence goes in as an argument: a "%" in it is no formatting.
            raise web.HTTPError(409, "%s", str(error)) from None
        if self.wants_json:
            await self._answer(user, server_name, spawner)
        else:
            # Seen again by reloading, not sent again.
            path = url_path_join(user.escaped_name, url_escape_path(server_name)).strip("/")
            self.redirect(f"{self.hub.base_url}js2/lease/{path}", status=303)

    def _find(self, user_name: str, server_name: str) -> tuple[Any, Any]:
        user = self.find_user(user_name)
        if user is None or server_name not in user.orm_spawners:
            raise web.HTTPError(404, "There is no such server.")
        return user, user.spawners[server_name]

    async def _answer(self, user: Any, server_name: str, spawner: Any) -> None:
        lease = spawner.lease()
        model = lease_model(lease, server_name, datetime.now(UTC), spawner.farewell() if lease else None)
        self.set_header("Cache-Control", "no-store")
        if self.wants_json:
            self.set_header("Content-Type", "application/json")
            self.finish(model)
            return
        page = await self.render_template(
            "lease.html", user=user, server_name=server_name, lease=model, xsrf_token=self.xsrf_token.decode("ascii")
        )
        self.finish(page)


class ConsoleHandler(BaseHandler):
    """The end of the console log of a server's failed start, for admins: a guest wrote it, so it is plain text only."""

    _accept_token_auth = True

    def get(self, user_name: str, server_name: str | None = None) -> None:
        self._show(user_name, server_name or "")

    @needs_scope("admin:servers")
    def _show(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name) if user else None
        failed = spawner.last_failure if spawner else None
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        if failed is None:
            self.set_status(404)
            self.finish("No start of this server has failed since the hub was started.\n")
            return
        heading = (
            f"Attempt {failed.attempt_id or 'without an instance'}, {failed.at:%Y-%m-%d %H:%M:%S} UTC: {failed.name}"
        )
        self.finish(f"{heading}\n\n{failed.console or 'The cloud gave no console log.'}\n")
