"""The hub's pages: js2spawner's templates before JupyterHub's own, and the addresses they need."""

from __future__ import annotations

from typing import Any

from hub_config.settings import Settings
from js2spawner.handlers import TEMPLATES, handlers

_HINTS = {
    "local": "Use the name and the password you were given.",
    "codes": "Use your name and the code of your class.",
    "cilogon": "Use your ACCESS account or that of your institution.",
}


def configure(c: Any, settings: Settings) -> None:
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.template_vars = {"js2_sign_in": {"kind": settings.sign_in, "hint": _HINTS[settings.sign_in]}}
    c.JupyterHub.extra_handlers = handlers()
