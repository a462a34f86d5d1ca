"""clouds.yaml: the only place where the secrets of a cloud stand in clear, written readable by its owner alone."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.records import AppCredential, Project, User
from js2spawner.devcloud.tokens import digest, matches, new_secret

HUB_CREDENTIAL = "hub"


def write(cloud: DevCloud, path: Path) -> str:
    """Write the file with this cloud's address; returns its text. Secrets that still fit are kept, others are new."""
    old = _read(path)
    entries: dict[str, Any] = {}
    people = {user.name: user for user in cloud.store.all(User)}
    entries["devcloud"] = _app_credential_entry(cloud, people["hub"], old.get("devcloud"))
    for entry, name in (("devcloud-user", "hub"), ("devcloud-other", "other"), ("devcloud-admin", "admin")):
        entries[entry] = _password_entry(cloud, people[name], old.get(entry))
    text = yaml.safe_dump({"clouds": entries}, sort_keys=False)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
    return text


def _app_credential_entry(cloud: DevCloud, user: User, old: Mapping[str, Any] | None) -> dict[str, Any]:
    auth = (old or {}).get("auth") or {}
    credential = cloud.store.get(AppCredential, str(auth.get("application_credential_id")))
    secret = str(auth.get("application_credential_secret"))
    if credential is None or not matches(secret, credential.secret):
        for stale in cloud.store.all(AppCredential):
            if stale.user_id == user.id and stale.name == HUB_CREDENTIAL:
                cloud.store.remove(stale)
        secret = new_secret()
        credential = AppCredential(
            uuid.uuid4().hex, HUB_CREDENTIAL, user.id, user.project_id, user.roles, digest(secret)
        )
        cloud.store.put(credential)
    return {
        "auth_type": "v3applicationcredential",
        "region_name": cloud.settings.region,
        "interface": "public",
        "auth": {
            "auth_url": f"{cloud.settings.identity_url}/identity/v3",
            "application_credential_id": credential.id,
            "application_credential_secret": secret,
        },
    }


def _password_entry(cloud: DevCloud, user: User, old: Mapping[str, Any] | None) -> dict[str, Any]:
    password = str(((old or {}).get("auth") or {}).get("password", ""))
    known = cloud.store.get(User, user.id) or user
    if not matches(password, known.password):
        password = new_secret()
        cloud.store.put(replace(known, password=digest(password)))
    project = cloud.store.get(Project, user.project_id)
    return {
        "region_name": cloud.settings.region,
        "interface": "public",
        "auth": {
            "auth_url": f"{cloud.settings.identity_url}/identity/v3",
            "username": user.name,
            "password": password,
            "project_name": project.name if project else "",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
    }


def _read(path: Path) -> Mapping[str, Any]:
    """The entries of an earlier file; a missing or broken one has none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    clouds = content.get("clouds") if isinstance(content, dict) else None
    return clouds if isinstance(clouds, dict) else {}
