"""Application credentials: what a hub signs in with, made by a person and useless for making more."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from js2spawner.devcloud.calls import Answer, Call, Route
from js2spawner.devcloud.catalogue import micro, own_links, role_view, user_of_path
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import AppCredential, User
from js2spawner.devcloud.tokens import digest, new_secret


async def create_app_credential(call: Call) -> Answer:
    user = user_of_path(call)
    if call.caller.token.method == "application_credential":
        # The two full stops are Keystone's.
        raise Refusal(
            403,
            "You are not authorized to perform the requested action: Using method 'application_credential' is not "
            "allowed for managing additional application credentials..",
        )
    asked = call.member("application_credential")
    name = asked.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 255:
        raise Refusal(400, "'name' is a required property")
    if any(known.name == name for known in app_credentials_of(call.cloud, user)):
        raise Refusal(409, "Conflict occurred attempting to store application_credential - Duplicate entry found.")
    secret = asked.get("secret") or new_secret()
    roles = tuple(role["name"] for role in asked.get("roles", ()) if "name" in role) or user.roles
    if not set(roles) <= set(user.roles):
        raise Refusal(400, "Invalid application credential: user lacks a role.")
    credential = AppCredential(
        id=uuid.uuid4().hex,
        name=name,
        user_id=user.id,
        project_id=call.project_id,
        roles=roles,
        secret=digest(str(secret)),
        description=str(asked.get("description") or ""),
        unrestricted=bool(asked.get("unrestricted")),
        expires_at=_instant(asked.get("expires_at")),
    )
    call.cloud.store.put(credential)
    view = _app_credential_view(call.cloud, credential)
    return Answer({"application_credential": {**view, "secret": secret}}, 201)


async def list_app_credentials(call: Call) -> Answer:
    wanted = call.query.get("name")
    found = [known for known in app_credentials_of(call.cloud, user_of_path(call)) if wanted in (None, known.name)]
    views = [_app_credential_view(call.cloud, known) for known in found]
    return Answer({"application_credentials": views, "links": own_links(call)})


async def show_app_credential(call: Call) -> Answer:
    return Answer({"application_credential": _app_credential_view(call.cloud, _app_credential_of_path(call))})


async def delete_app_credential(call: Call) -> Answer:
    credential = _app_credential_of_path(call)
    if call.caller.token.method == "application_credential":
        raise Refusal(403, "You are not authorized to perform the requested action.")
    call.cloud.store.remove(credential)
    return Answer(status=204)


def app_credentials_of(cloud: DevCloud, user: User) -> list[AppCredential]:
    return [known for known in cloud.store.all(AppCredential) if known.user_id == user.id]


def _app_credential_view(cloud: DevCloud, credential: AppCredential) -> dict[str, Any]:
    base = f"{cloud.settings.url}/identity/v3/users/{credential.user_id}/application_credentials"
    return {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [role_view(name) | {"domain_id": None} for name in credential.roles],
        "expires_at": micro(credential.expires_at) if credential.expires_at else None,
        "unrestricted": credential.unrestricted,
        "system": None,
        "links": {"self": f"{base}/{credential.id}"},
    }


def _app_credential_of_path(call: Call) -> AppCredential:
    key = call.names["credential_id"]
    credential = call.cloud.store.get(AppCredential, key)
    if credential is None or credential.user_id != user_of_path(call).id:
        raise Refusal(404, f"Could not find Application Credential: {key}.")
    return credential


def _instant(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as problem:
        raise Refusal(400, f"'{text}' is not a 'date-time'") from problem
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_CREDENTIALS = "/v3/users/{user_id}/application_credentials"
ROUTES = (
    Route("GET", _CREDENTIALS, "application_credentials.list", list_app_credentials),
    Route("POST", _CREDENTIALS, "application_credentials.create", create_app_credential),
    Route("GET", f"{_CREDENTIALS}/{{credential_id}}", "application_credentials.show", show_app_credential),
    Route("DELETE", f"{_CREDENTIALS}/{{credential_id}}", "application_credentials.delete", delete_app_credential),
)
