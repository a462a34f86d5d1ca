"""The list of servers and what can be done with each: `/hub/js2/servers`, pages for people and JSON for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from jupyterhub import orm
from jupyterhub.scopes import needs_scope
from jupyterhub.user import User
from jupyterhub.utils import url_escape_path, url_path_join
from tornado import web
from tornado.httputil import url_concat

from js2spawner.answering import PageOrJson
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Owner
from js2spawner.servers_actions import ACTIONS, NotNow, carry_out
from js2spawner.servers_seen import Servers
from js2spawner.servers_shown import MOVING, listed, row

_BODY_AT_MOST = 1024
_QUERY_AT_MOST = 200


def handlers() -> list[Any]:
    """For `c.JupyterHub.extra_handlers`; paths are below the hub's own prefix."""
    return [(r"/js2/servers", ServersHandler), (r"/js2/servers/([^/]+)(?:/([^/]*))?", ServerHandler)]


class _OfServers(PageOrJson):
    """What both handlers have in common."""

    @property
    def _js2(self) -> Js2Fleet:
        return Js2Fleet.instance(config=self.config, log=self.log)

    def _servers(self) -> Servers:
        def may_open(owner: Owner) -> bool:
            return bool(self.has_scope(f"access:servers!server={owner.user}/{owner.server}"))

        return Servers(self._js2, self._users_named, may_see=self.get_scope_filter("read:servers"), may_open=may_open)

    def _users_named(self, names: Sequence[str]) -> list[User]:
        return [self._user_from_orm(each) for each in self.db.query(orm.User).filter(orm.User.name.in_(names))]

    def _signed_in(self) -> bool:
        """Whether somebody asks; a person who is not signed in is sent to do so."""
        if self.current_user is not None or self.wants_json:
            return True
        self.redirect(url_concat(self.settings["login_url"], {"next": self.request.uri}))
        return False

    def _json(self, model: Any) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(model))


class ServersHandler(_OfServers):
    """All servers the caller may see: of a person who may see everybody's everybody's, unless `?mine` is asked for."""

    async def get(self) -> None:
        if self._signed_in():
            await self._list()

    @needs_scope("read:servers", post_filter=True)
    async def _list(self) -> None:
        me = self.current_user if isinstance(self.current_user, User) else None
        servers = self._servers()
        sees_others = me is None or self.has_scope("list:users")
        mine = me is not None and (not sees_others or bool(self.get_argument("mine", "")))
        seen = await (servers.of(me) if me is not None and mine else servers.everybodys())
        now = time.time()
        query = "" if mine and not sees_others else self.get_argument("q", "")[:_QUERY_AT_MOST]
        model = listed([row(each, now) for each in seen], query)
        model["mine"], model["sees_others"] = mine, sees_others
        model["limits"] = servers.limits_of(me) if me is not None and mine else []
        if self.wants_json or me is None:
            # A service is a script, whatever it says it takes: pages are made for somebody.
            self._json(model)
            return
        self.set_header("Cache-Control", "no-store")
        moving = any(each["state"] in MOVING for each in model["servers"])
        page = await self.render_template(
            "servers.html", told=model, moving=moving, xsrf_token=self.xsrf_token.decode("ascii")
        )
        self.finish(page)


class ServerHandler(_OfServers):
    """One server: GET tells of it, POST `do` (one of ACTIONS) does something to it, or to an earlier `attempt`."""

    async def get(self, user_name: str, server_name: str | None = None) -> None:
        await self._show(user_name, server_name or "")

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        await self._act(user_name, server_name or "")

    @needs_scope("read:servers")
    async def _show(self, user_name: str, server_name: str) -> None:
        _, told = await self._find(user_name, server_name)
        self._json(told)

    @needs_scope("servers")
    async def _act(self, user_name: str, server_name: str) -> None:
        wanted, attempt_id = self._wanted()
        user, told = await self._find(user_name, server_name, attempt_id)
        if wanted == "start" and "back" in told["actions"]:
            # What is kept for this server, on the shelf or in the line, is what a start of it finds.
            wanted = "back"
        if wanted not in told["actions"]:
            sentence = f"This cannot be done now: the server is {told['state_text']}."
            raise web.HTTPError(409, "%s", sentence)
        of_earlier = attempt_id if told["earlier"] else ""
        try:
            await carry_out(self, self._js2, user, server_name, wanted, attempt_id=of_earlier)
        except NotNow as error:
            # The sentence goes in as an argument: a "%" in it is no formatting.
            raise web.HTTPError(409, "%s", str(error)) from None
        if self.wants_json:
            self._json((await self._find(user_name, server_name))[1])
            return
        # Seen again by reloading, not sent again.
        path = url_path_join(user.escaped_name, url_escape_path(server_name)).strip("/")
        self.redirect(f"{self.hub.base_url}{ACTIONS[wanted].format(path=path)}", status=303)

    def _wanted(self) -> tuple[str, str]:
        """What is to be done, and the attempt it is about where that is named."""
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            return str(self.get_body_argument("do", "")), str(self.get_body_argument("attempt", ""))
        try:
            told = json.loads(self.request.body[: _BODY_AT_MOST + 1])
        except (ValueError, RecursionError):
            told = None
        wanted, attempt_id = (told.get("do"), told.get("attempt", "")) if isinstance(told, dict) else (None, "")
        if not isinstance(wanted, str) or wanted not in ACTIONS or not isinstance(attempt_id, str):
            raise web.HTTPError(400, "%s", f'The body must be {{"do": one of {", ".join(ACTIONS)}}}.')
        return wanted, attempt_id

    async def _find(self, user_name: str, server_name: str, attempt_id: str = "") -> tuple[User, dict[str, Any]]:
        user = self.find_user(user_name)
        seen = await self._servers().one(Owner(user_name, server_name), attempt_id) if user is not None else None
        if user is None or seen is None or (seen.record is None and server_name not in {"", *user.orm_spawners}):
            raise web.HTTPError(404, "There is no such server.")
        return user, row(seen, time.time())
