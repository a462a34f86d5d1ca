"""Save my instance: pages and JSON below `/hub/js2/save` (one server's) and `/hub/js2/saved` (what somebody has)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from jupyterhub import orm
from jupyterhub.scopes import needs_scope
from jupyterhub.user import User
from jupyterhub.utils import url_escape_path, url_path_join
from tornado import web
from tornado.httputil import url_concat

from js2spawner import save_requests, saves_shown
from js2spawner.answering import PageOrJson
from js2spawner.asking import who_asks, who_is
from js2spawner.cloud.errors import CloudError
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.fleet.saves import Saves
from js2spawner.options import Who
from js2spawner.save_requests import NotPossible
from js2spawner.saved import NOTE_AT_MOST, TITLE_AT_MOST, BadWords

_BODY_AT_MOST = 4096
# How long the page tells how the last save ended, before it is about the next one.
_NEWS_FOR_S = 300.0


def handlers() -> list[Any]:
    """For `c.JupyterHub.extra_handlers`; paths are below the hub's own prefix."""
    return [
        (r"/js2/save/([^/]+)(?:/([^/]*))?", SaveHandler),
        (r"/js2/saved/([^/]+)", SavedHandler),
        (r"/js2/saved/([^/]+)/([0-9a-fA-F-]{36})", SavedImageHandler),
    ]


class _OfSaves(PageOrJson):
    """What the handlers have in common: the saves, whose they are, a sentence for whatever goes wrong."""

    @property
    def _fleet(self) -> Js2Fleet:
        return Js2Fleet.instance(config=self.config, log=self.log)

    @property
    def _saves(self) -> Saves:
        """Raises HTTPError while the fleet is not open."""
        if self._fleet.saves is None:
            raise web.HTTPError(503, "The hub has just started and is not ready. Try again in a minute.")
        return self._fleet.saves

    def _may_share_with(self, who: Who) -> frozenset[str]:
        """People share with groups that they are in, admins with any."""
        return frozenset(name for (name,) in self.db.query(orm.Group.name)) if who.admin else who.groups

    def _owner(self, name: str) -> Who:
        """Whose saved images these are. Those of somebody who was removed are an admin's to look after."""
        user = self.find_user(name)
        if user is not None:
            return replace(who_is(user), admin=False)
        if not who_asks(self).admin:
            raise web.HTTPError(404, "There is no such user.")
        return Who(name, frozenset(), admin=False)

    def _signed_in(self) -> bool:
        """Whether somebody asks; a person who is not signed in is sent to do so."""
        if self.current_user is not None or self.wants_json:
            return True
        self.redirect(url_concat(self.settings["login_url"], {"next": self.request.path}))
        return False

    def _body(self) -> dict[str, Any]:
        try:
            told = json.loads(self.request.body[: _BODY_AT_MOST + 1] or b"{}")
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or len(self.request.body) > _BODY_AT_MOST:
            raise web.HTTPError(400, "The body must be a small JSON object.")
        return told

    def _answer(self, model: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(model))

    def _refuse(self, error: Exception) -> web.HTTPError:
        """The answer to what cannot be done. Sentences go in as arguments: a "%" in one is no formatting."""
        if isinstance(error, CloudError):
            self.log.warning("saved images: %s: %s", error.name, error)
            return web.HTTPError(503, "%s", f"{error.sentence} Try again in a few minutes.")
        return web.HTTPError(400 if isinstance(error, BadWords) else 409, "%s", str(error))


class SaveHandler(_OfSaves):
    """One server's save: GET shows the form or how it goes, POST begins it, DELETE gives it up."""

    async def get(self, user_name: str, server_name: str | None = None) -> None:
        if self._signed_in():
            await self._show(user_name, server_name or "")

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        await self._begin(user_name, server_name or "")

    async def delete(self, user_name: str, server_name: str | None = None) -> None:
        await self._give_up(user_name, server_name or "")

    @needs_scope("servers")
    async def _show(self, user_name: str, server_name: str) -> None:
        user, spawner = self._find(user_name, server_name)
        model = await self._model(spawner)
        if self.wants_json:
            self._answer(model)
            return
        if spawner.record is not None:
            self._saves.soon(spawner.record.attempt_id)
        await self._page(user, server_name, model)

    @needs_scope("servers")
    async def _begin(self, user_name: str, server_name: str) -> None:
        user, spawner = self._find(user_name, server_name)
        as_form = not self.wants_json
        asked: dict[str, Any] = (
            {name: self.get_body_argument(name, "") for name in ("title", "note")} if as_form else self._body()
        )
        try:
            await save_requests.begin(spawner, self._saves, asked.get("title"), asked.get("note"))
        except (NotPossible, BadWords, CloudError) as error:
            if not as_form:
                raise self._refuse(error) from None
            told = {"title": asked["title"][:500], "note": asked["note"][:1000], "problem": self._refuse(error).args[0]}
            self.set_status(409)
            await self._page(user, server_name, await self._model(spawner), **told)
            return
        if self.wants_json:
            self._answer(await self._model(spawner), status=202)
        else:
            # Seen again by reloading, not sent again.
            path = url_path_join(user.escaped_name, url_escape_path(server_name)).strip("/")
            self.redirect(f"{self.hub.base_url}js2/save/{path}", status=303)

    @needs_scope("servers")
    async def _give_up(self, user_name: str, server_name: str) -> None:
        _, spawner = self._find(user_name, server_name)
        if spawner.record is not None:
            self._saves.cancel(spawner.record.attempt_id)
        self._answer(await self._model(spawner))

    def _find(self, user_name: str, server_name: str) -> tuple[User, Any]:
        user = self.find_user(user_name)
        if user is None or server_name not in user.orm_spawners:
            raise web.HTTPError(404, "There is no such server.")
        return user, user.spawners[server_name]

    async def _model(self, spawner: Any) -> dict[str, Any]:
        saves, record = self._saves, spawner.record
        save = saves.latest(record.attempt_id) if record is not None else None
        if save is not None and save.over and saves.now() - save.state.since > _NEWS_FOR_S:
            save = None
        shown = None
        if save is not None:
            shown = saves_shown.save_shown(save, saves.seconds(save.id), saves.typical(save), saves.now())
        under_way = save is not None and not save.over
        problem = ""
        kept: list[float] = []
        if not under_way:
            try:
                problem, kept = await save_requests.why_not_save(spawner, saves)
            except CloudError as error:
                problem = f"{error.sentence} Try again in a few minutes."
        return {
            "server": spawner.name,
            "save": shown,
            # True while a save that was under way when the hub was restarted may still be found.
            "looking": saves.may_be_found_in(record.plan.region) if record else saves.may_be_found(),
            "why_not": problem,
            "allowance": saves_shown.allowance_shown(spawner.allowance, kept),
        }

    async def _page(self, user: User, server_name: str, model: dict[str, Any], **told: str) -> None:
        path = user.escaped_name + (f"/{url_escape_path(server_name)}" if server_name else "")
        page = await self.render_template(
            "save.html",
            user=user,
            server_name=server_name,
            server_path=path,
            told={"title": "", "note": "", "problem": "", **told},
            limits={"title": TITLE_AT_MOST, "note": NOTE_AT_MOST},
            xsrf_token=self.xsrf_token.decode("ascii"),
            **model,
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


class SavedHandler(_OfSaves):
    """What somebody has saved, and what is shared with them."""

    async def get(self, user_name: str) -> None:
        if self._signed_in():
            await self._show(user_name)

    @needs_scope("servers")
    async def _show(self, user_name: str) -> None:
        owner, viewer, saves, problem = self._owner(user_name), who_asks(self), self._saves, ""
        try:
            everybodys = await saves.images.all()
        except CloudError as error:
            everybodys, problem = [], f"{error.sentence} What is saved cannot be shown right now."
        lists = saves_shown.listed(everybodys, self._fleet.catalog, owner, viewer)
        if self.wants_json:
            if problem:
                raise web.HTTPError(503, "%s", problem)
            self._answer(lists)
            return
        page = await self.render_template(
            "saved.html",
            owner=owner.name,
            under_way=[{"title": each.words.title, "server": each.server} for each in saves.of_owner(owner.id)],
            groups=sorted(self._may_share_with(viewer)),
            problem=problem,
            xsrf_token=self.xsrf_token.decode("ascii"),
            **lists,
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


class SavedImageHandler(_OfSaves):
    """One saved image: PATCH shares, freezes or thaws it, DELETE deletes it. For scripts, and for the page's own."""

    async def patch(self, user_name: str, image_id: str) -> None:
        await self._change(user_name, image_id)

    async def delete(self, user_name: str, image_id: str) -> None:
        await self._delete(user_name, image_id)

    @needs_scope("servers")
    async def _change(self, user_name: str, image_id: str) -> None:
        asked, saves, who, catalog = self._body(), self._saves, who_asks(self), self._fleet.catalog
        if not asked or not asked.keys() <= {"group", "frozen"}:
            raise web.HTTPError(400, 'Say what to change: {"group": name or ""} or {"frozen": true or false}.')
        group, frozen = asked.get("group"), asked.get("frozen")
        try:
            saved = await self._saved(user_name, image_id)
            if "group" in asked:
                if not isinstance(group, str):
                    raise web.HTTPError(400, "The group must be a name, or empty for nobody.")
                groups = self._may_share_with(who)
                saved = await save_requests.share(saves, catalog, who, saved, group, groups)
            if "frozen" in asked:
                if not isinstance(frozen, bool):
                    raise web.HTTPError(400, "“frozen” must be true or false.")
                saved = await save_requests.freeze(saves, catalog, who, saved, frozen=frozen)
        except (NotPossible, CloudError) as error:
            raise self._refuse(error) from None
        self._answer(saves_shown.saved_shown(saved, catalog, who))

    @needs_scope("servers")
    async def _delete(self, user_name: str, image_id: str) -> None:
        try:
            await save_requests.delete(self._saves, await self._saved(user_name, image_id))
        except (NotPossible, CloudError) as error:
            raise self._refuse(error) from None
        self.set_status(204)
        self.finish()

    async def _saved(self, user_name: str, image_id: str) -> Any:
        """The image, if it is this user's and the caller may change it: the token's scope was asked for by the user."""
        viewer = who_asks(self)
        saved = await save_requests.changeable(self._saves, viewer, image_id)
        if not saves_shown.belongs_on_page(saved, self._owner(user_name), viewer):
            raise NotPossible("There is no such saved image of yours.")
        return saved

    @property
    def wants_json(self) -> bool:
        return True
