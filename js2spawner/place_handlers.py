"""Where a start stands in the line, as JSON: `/hub/js2/place/USER[/SERVER]`.

JupyterHub forgets a start that was pending when the hub went down; its place is kept. The progress page comes back
when the hub does, asks here, and starts with the same options again, which takes the place up.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from jupyterhub.scopes import needs_scope
from tornado import web

from js2spawner.answering import PageOrJson
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Owner


def handlers() -> list[Any]:
    """For `c.JupyterHub.extra_handlers`; the path is below the hub's own prefix."""
    return [(r"/js2/place/([^/]+)(?:/([^/]*))?", PlaceHandler)]


class PlaceHandler(PageOrJson):
    """GET tells of one server's place; that there is none is an answer too."""

    async def get(self, user_name: str, server_name: str | None = None) -> None:
        await self._show(user_name, server_name or "")

    @needs_scope("read:servers")  # type: ignore[untyped-decorator]
    async def _show(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        if user is None or (server_name and server_name not in user.orm_spawners):
            raise web.HTTPError(404, "There is no such server.")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self._told(Owner(user.name, server_name))))

    def _told(self, owner: Owner) -> dict[str, Any]:
        """`kept`: there is a place. `waits`: a start waits in it; else one with these `options` takes it up."""
        js2 = Js2Fleet.instance(config=self.config, log=self.log)
        found = js2.admission.where(owner) if js2.admission else None
        if found is None:
            return {"kept": False, "waits": False, "position": None, "of": None, "options": {}, "since": None}
        return {
            "kept": True,
            "waits": found.place.away_since is None,
            "position": found.waits.position if found.waits else None,
            "of": found.waits.of if found.waits else None,
            "options": dict(found.options),
            "since": datetime.fromtimestamp(found.place.since, UTC).isoformat(timespec="seconds"),
        }
