"""Starts that ended without a server, as JupyterHub, its pages and its metrics are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jupyterhub.spawner import SpawnException

from js2spawner.failures import Failure
from js2spawner.fleet.starts import Tried


@dataclass(frozen=True, slots=True)
class LastFailure:
    """Why the latest start failed and when; `console` is the end of its instance's log, for admins."""

    why: Failure
    tried: tuple[Tried, ...]
    at: datetime
    console: str = ""

    @property
    def name(self) -> str:
        return self.why.name

    @property
    def attempt_id(self) -> str:
        """The last attempt made; empty when the start failed before any."""
        return self.tried[-1].attempt_id if self.tried else ""


class StartRefused(SpawnException):
    """A start that ended without a server: a sentence for the user, a reason for metrics, the detail for the log.

    JupyterHub 6.1 takes what its pages show from these two attributes and ignores SpawnException's own.
    """

    def __init__(self, sentence: str, *, reason: str, detail: str = "", html: str = "", status_code: int = 400) -> None:
        super().__init__(
            sentence, reason=reason, log_message=detail or sentence, message_html=html, status_code=status_code
        )
        self.jupyterhub_message = sentence
        self.jupyterhub_html_message = html or None


async def refusal_of(failed: LastFailure, pages: Any) -> StartRefused:
    """What JupyterHub raises to its user. `pages` is the Jinja environment that renders the failure page."""
    why = failed.why
    html = await pages.get_template("failure.html").render_async(
        name=why.name,
        sentence=why.sentence,
        remedy=why.remedy,
        attempts=[{"number": tried.number, "why": tried.why.sentence} for tried in failed.tried],
        at=failed.at,
    )
    message = f"{why.sentence} {why.remedy}".strip()
    detail = f"{why.name}: {why.detail or why.sentence}"
    return StartRefused(message, reason=why.name, detail=detail, html=html, status_code=503)
