"""Pages for people, JSON for scripts: what handlers that answer both have in common."""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import get_accepted_mimetype


class PageOrJson(BaseHandler):
    """Answers a person with a page and a script with JSON, errors too."""

    # Scripts may ask too, with a token of the scope that each method names.
    _accept_token_auth = True

    @property
    def wants_json(self) -> bool:
        """Whether a script asks."""
        accepted = get_accepted_mimetype(
            self.request.headers.get("Accept", ""), choices=["text/html", "application/json"]
        )
        return bool(accepted == "application/json")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A script gets JSON, a person a page."""
        if self.wants_json:
            APIHandler.write_error(self, status_code, **kwargs)
        else:
            super().write_error(status_code, **kwargs)
