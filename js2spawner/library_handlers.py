"""The library page below `/hub/js2/library`, and the same as JSON for scripts and for the search in the browser."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado import web
from tornado.escape import json_encode

from js2spawner.asking import who_asks
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.fleet.regions import offers_of
from js2spawner.library_page import Held, Software, for_others, held
from js2spawner.library_search import ASKED_AT_MOST, Found, search
from js2spawner.library_shown import KIND_TITLES, as_json, shown
from js2spawner.options import Offer

# As long as the choice page waits: then what was known before is shown.
_PATIENCE_S = 3.0
_LISTED_AT_MOST = 2000


def handlers() -> list[Any]:
    """For `c.JupyterHub.extra_handlers`; paths are below the hub's own prefix."""
    return [(r"/js2/library", LibraryHandler), (r"/js2/library\.json", LibraryJsonHandler)]


class _OfLibrary(BaseHandler):
    """What both handlers ask."""

    @property
    def _fleet(self) -> Js2Fleet:
        return Js2Fleet.instance(config=self.config, log=self.log)

    async def _images(self) -> tuple[Held, ...]:
        catalog, who, offers = self._fleet.catalog, who_asks(self), await self._offers()
        # A list that nobody has asked for yet is unpacked, which takes some milliseconds for each image.
        return await asyncio.to_thread(held, catalog, who, offers)

    async def _offers(self) -> dict[str, Offer]:
        """By region, as far as the fleet is open: this page opens nothing."""
        fleet = self._fleet.fleet
        if fleet is None:
            return {}
        return await offers_of(fleet.desks, fleet.history.totals(), patience_s=_PATIENCE_S)


class LibraryHandler(_OfLibrary):
    """The page. With `?q=` it answers a search by itself, for who has no scripts or shares a link."""

    @web.authenticated
    async def get(self) -> None:
        images = await self._images()
        asked = self.get_query_argument("q", "")[:ASKED_AT_MOST]
        environment: Environment = self.settings["jinja2_env_sync"]
        found, lists = await asyncio.to_thread(_searched_and_listed, environment, images, asked)
        page = await self.render_template(
            "library.html",
            images=shown(images, datetime.now(UTC)),
            lists=lists,
            for_others=for_others(self._fleet.catalog, who_asks(self)),
            asked=asked,
            found=found,
            kind_titles=KIND_TITLES,
            cloud_known=all(image.stored is not None for image in images),
            xsrf_token=self.xsrf_token.decode("ascii"),
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


class LibraryJsonHandler(_OfLibrary, APIHandler):
    """The same for scripts, with a token that may read servers, and for the page's search."""

    @needs_scope("read:servers", post_filter=True)
    async def get(self) -> None:
        images = await self._images()
        answer = await asyncio.to_thread(lambda: json_encode(as_json(images)))
        # Tornado adds the ETag: asked again, an answer that has not changed costs no transfer.
        self.set_header("Cache-Control", "private, no-cache")
        self.finish(answer)


def _searched_and_listed(environment: Environment, images: tuple[Held, ...], asked: str) -> tuple[Found, list[str]]:
    return search(images, asked), [_rendered(environment, image.software) for image in images]


# The lists are most of the page, and the same for everybody until an image changes.
@lru_cache(maxsize=64)
def _rendered(environment: Environment, software: Software) -> str:
    """One image's packages as the page lists them."""
    of_kinds = [
        (title, [package for package in software.packages[:_LISTED_AT_MOST] if package.kind == kind])
        for kind, title in KIND_TITLES.items()
    ]
    template = environment.get_template("library_packages.html")
    return template.render(
        state=software.state,
        of_kinds=[(title, packages) for title, packages in of_kinds if packages],
        left_out=max(0, len(software.packages) - _LISTED_AT_MOST),
    )
