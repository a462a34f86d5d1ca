"""Application credentials: what a hub signs in with, made by a person and useless for making more."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from js2spawner.devcloud.calls import NOTHING, Answer, Call, Route
from js2spawner.devcloud.catalogue import MALFORMED, invalid, micro, not_allowed, own_links, role_view, user_of_path
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import AppCredential, User
from js2spawner.devcloud.tokens import digest, new_secret, unknown_credential


async def create_app_credential(call: Call) -> Answer:
    user = user_of_path(call, "identity:create_application_credential")
    _not_by_credential(call)
    asked = call.member("application_credential")
    name = _name(asked)
    if any(known.name == name for known in app_credentials_of(call.cloud, user)):
        raise Refusal(
            409,
            f"Conflict occurred attempting to store application_credential - Duplicate entry found with name {name}.",
        )
    secret = asked.get("secret") or new_secret()
    credential = AppCredential(
        id=uuid.uuid4().hex,
        name=name,
        user_id=user.id,
        project_id=call.project_id,
        roles=_roles(call.cloud, user, asked),
        secret=digest(str(secret)),
        description=str(asked.get("description") or ""),
        unrestricted=bool(asked.get("unrestricted")),
        expires_at=_instant(asked.get("expires_at"), call.cloud.clock.now()),
    )
    call.cloud.store.put(credential)
    view = _app_credential_view(call.cloud, credential)
    return Answer({"application_credential": {**view, "secret": secret}}, 201)


async def list_app_credentials(call: Call) -> Answer:
    wanted = call.query.get("name")
    user = user_of_path(call, "identity:list_application_credentials")
    found = [known for known in app_credentials_of(call.cloud, user) if wanted in (None, known.name)]
    views = [_app_credential_view(call.cloud, known) for known in found]
    return Answer({"application_credentials": views, "links": own_links(call)})


async def show_app_credential(call: Call) -> Answer:
    credential = _app_credential_of_path(call, "identity:get_application_credential")
    return Answer({"application_credential": _app_credential_view(call.cloud, credential)})


async def delete_app_credential(call: Call) -> Answer:
    credential = _app_credential_of_path(call, "identity:delete_application_credential")
    _not_by_credential(call)
    call.cloud.store.remove(credential)
    return NOTHING


def app_credentials_of(cloud: DevCloud, user: User) -> list[AppCredential]:
    return [known for known in cloud.store.all(AppCredential) if known.user_id == user.id]


def _app_credential_view(cloud: DevCloud, credential: AppCredential) -> dict[str, Any]:
    return {
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "roles": [_full_role_view(name) for name in credential.roles],
        "expires_at": micro(credential.expires_at) if credential.expires_at else None,
        "unrestricted": credential.unrestricted,
        "system": None,
        "links": {"self": f"{cloud.settings.identity_url}/identity/v3/application_credentials/{credential.id}"},
    }


def _full_role_view(name: str) -> dict[str, Any]:
    return {**role_view(name), "domain_id": None, "description": None, "options": {"immutable": True}}


def _not_by_credential(call: Call) -> None:
    if call.caller.token.method == "application_credential":
        # The second full stop is Keystone's.
        raise not_allowed(
            "Using method 'application_credential' is not allowed for managing additional application credentials."
        )


def _name(asked: dict[str, Any]) -> str:
    name = asked.get("name")
    if name is None:
        raise invalid("application_credential", asked, "'name' is a required property")
    if not isinstance(name, str) or len(name) > 255:
        raise invalid("name", name, f"{name!r} is too long")
    return name


def _roles(cloud: DevCloud, user: User, asked: dict[str, Any]) -> tuple[str, ...]:
    """The roles asked for, or all that the user has. Raises Refusal for what cannot be had."""
    wanted = tuple(str(role["name"]) for role in asked.get("roles") or () if "name" in role)
    known = {role for person in cloud.store.all(User) for role in person.roles}
    for name in wanted:
        if name not in known:
            raise Refusal(404, f"Role {name} is not defined")
    if not set(wanted) <= set(user.roles):
        raise Refusal(
            400, "Invalid application credential: Cannot create an application credential with unassigned role"
        )
    return wanted or user.roles


def _app_credential_of_path(call: Call, rule: str) -> AppCredential:
    key = call.names["credential_id"]
    user = user_of_path(call, rule)
    credential = call.cloud.store.get(AppCredential, key)
    if credential is None or credential.user_id != user.id:
        raise unknown_credential(key)
    return credential


def _instant(text: object, now: datetime) -> datetime | None:
    """The one form of a time that Keystone takes: in UTC, and marked by a Z or not at all."""
    if text is None:
        return None
    for form in ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S"):
        try:
            moment = datetime.strptime(str(text).removesuffix("Z"), form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if moment < now:
            raise Refusal(400, f"The 'expires_at' must not be before now. {MALFORMED}")
        return moment
    raise Refusal(400, f"Timestamp not in expected format. {MALFORMED}")


_CREDENTIALS = "/v3/users/{user_id}/application_credentials"
ROUTES = (
    Route("GET", _CREDENTIALS, "application_credentials.list", list_app_credentials),
    Route("POST", _CREDENTIALS, "application_credentials.create", create_app_credential),
    Route("GET", f"{_CREDENTIALS}/{{credential_id}}", "application_credentials.show", show_app_credential),
    Route("DELETE", f"{_CREDENTIALS}/{{credential_id}}", "application_credentials.delete", delete_app_credential),
)
