"""Who may enter: CILogon with institutions, a local list for demonstrations, or class codes. JS2_SIGN_IN says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hub_config import cilogon, class_codes, shared_password
from hub_config.settings import Settings, read_secret


def configure(c: Any, settings: Settings) -> None:
    # Where starts are let through one after another: see pacing.py.
    c.Authenticator.refresh_pre_spawn = True
    match settings.sign_in:
        case "cilogon":
            cilogon.configure(c, settings)
        case "local":
            c.JupyterHub.authenticator_class = shared_password.SharedPassword
            c.SharedPassword.password = read_secret(settings.password_file, "JS2_PASSWORD_FILE")
            c.Authenticator.allowed_users = set(settings.users)
            c.Authenticator.admin_users = set(settings.users[:1])
            # The list is the truth: who leaves it stays out, whatever the database remembers.
            c.Authenticator.allow_existing_users = False
        case "codes":
            c.JupyterHub.authenticator_class = class_codes.ClassCodes
            class_codes.read_courses(settings.class_codes or Path())
            c.ClassCodes.codes_file = str(settings.class_codes)
            c.ClassCodes.manage_groups = True
            # Whom a code admits is allowed: there is no second list.
            c.ClassCodes.allow_all = True
