"""Keystone v3: sign in by password or application credential, the catalogue, tokens, application credentials."""

from __future__ import annotations

from typing import Any

from js2spawner.devcloud import app_credentials
from js2spawner.devcloud.app_credentials import app_credentials_of
from js2spawner.devcloud.calls import NOTHING, Answer, Call, Identity, Route, Service
from js2spawner.devcloud.catalogue import (
    DOMAIN,
    MALFORMED,
    catalogue,
    micro,
    not_allowed,
    own_links,
    role_view,
    user_of_path,
)
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import AppCredential, Project, Token, User
from js2spawner.devcloud.tokens import TOKEN_BEGINS, Grant, find, identify, issue, matches, unknown_credential

_UNAUTHENTICATED = "The request you have made requires authentication."


async def versions(call: Call) -> Answer:
    return Answer({"versions": {"values": [_version(call.cloud)]}}, status=300)


async def version(call: Call) -> Answer:
    return Answer({"version": _version(call.cloud)})


async def create_token(call: Call) -> Answer:
    grant = _signed_in(call.cloud, call.member("auth"))
    secret, token = issue(call.cloud, grant)
    roles = grant.app_credential.roles if grant.app_credential else grant.user.roles
    identity = Identity(grant.user, token, grant.project_id, roles)
    with_catalog = "nocatalog" not in call.query
    return Answer(
        {"token": _token_view(call.cloud, identity, with_catalog=with_catalog)}, 201, {"X-Subject-Token": secret}
    )


async def show_token(call: Call) -> Answer:
    secret = call.headers.get("X-Subject-Token", "")
    identity = find(call.cloud, secret)
    if identity is None:
        raise Refusal(404, "Failed to validate token")
    body = {"token": _token_view(call.cloud, identity, with_catalog=True)}
    return Answer(body, headers={"X-Subject-Token": secret})


async def revoke_token(call: Call) -> Answer:
    identity = identify(call.cloud, call.headers.get("X-Subject-Token", ""))
    call.cloud.store.remove(identity.token)
    return NOTHING


async def catalog(call: Call) -> Answer:
    return Answer({"catalog": catalogue(call.cloud), "links": own_links(call)})


async def own_projects(call: Call) -> Answer:
    project = _project(call.cloud, call.caller.user.project_id)
    return Answer({"projects": [_project_view(call.cloud, project)], "links": own_links(call)})


async def list_projects(call: Call) -> Answer:
    _admin_only(call, "identity:list_projects")
    wanted = call.query.get("name")
    found = [project for project in call.cloud.store.all(Project) if wanted in (None, project.name)]
    return Answer({"projects": [_project_view(call.cloud, project) for project in found], "links": own_links(call)})


async def show_project(call: Call) -> Answer:
    key = call.names["project_id"]
    project = call.cloud.store.get(Project, key)
    if key != call.project_id and not call.caller.admin:
        raise not_allowed("identity:get_project")
    if project is None:
        raise Refusal(404, f"Could not find project: {key}.")
    return Answer({"project": _project_view(call.cloud, project)})


async def list_users(call: Call) -> Answer:
    _admin_only(call, "identity:list_users")
    wanted = call.query.get("name")
    found = [user for user in call.cloud.store.all(User) if wanted in (None, user.name)]
    return Answer({"users": [_user_view(call.cloud, user) for user in found], "links": own_links(call)})


async def show_user(call: Call) -> Answer:
    return Answer({"user": _user_view(call.cloud, user_of_path(call, "identity:get_user"))})


def _signed_in(cloud: DevCloud, auth: dict[str, Any]) -> Grant:
    identity = auth.get("identity")
    methods = identity.get("methods") if isinstance(identity, dict) else None
    if not isinstance(identity, dict) or not isinstance(methods, list):
        raise Refusal(400, "'identity' is a required property")
    match methods:
        case []:
            raise Refusal(401, _UNAUTHENTICATED)
        case ["password"]:
            return _by_password(cloud, _part(_part(identity, "password"), "user", "password"), auth.get("scope"))
        case ["application_credential"]:
            return _by_app_credential(cloud, _part(identity, "application_credential"))
        case ["token"]:
            return _by_token(cloud, str(_part(identity, "token").get("id", "")))
    raise Refusal(401, "Attempted to authenticate with an unsupported method.")


def _by_password(cloud: DevCloud, asked: dict[str, Any], scope: object) -> Grant:
    user = _named_user(cloud, asked)
    if user is None or not matches(str(asked.get("password", "")), user.password):
        raise Refusal(401, _UNAUTHENTICATED)
    project_id = user.project_id
    if isinstance(scope, dict) and isinstance(scope.get("project"), dict):
        wanted = scope["project"]
        project = _project(cloud, project_id)
        if wanted.get("id", project.id) != project.id or wanted.get("name", project.name) != project.name:
            raise Refusal(401, _UNAUTHENTICATED)
    return Grant(user, project_id, "password")


def _by_token(cloud: DevCloud, secret: str) -> Grant:
    if not secret.startswith(TOKEN_BEGINS):
        raise Refusal(404, "Could not recognize Fernet token")
    known = identify(cloud, secret, by_keystone=True)
    return Grant(known.user, known.project_id, "token")


def _by_app_credential(cloud: DevCloud, asked: dict[str, Any]) -> Grant:
    credential = _asked_app_credential(cloud, asked)
    user = cloud.store.get(User, credential.user_id)
    expired = credential.expires_at is not None and credential.expires_at <= cloud.clock.now()
    if user is None or expired or not matches(str(asked.get("secret", "")), credential.secret):
        raise Refusal(401, _UNAUTHENTICATED)
    return Grant(user, credential.project_id, "application_credential", credential)


def _asked_app_credential(cloud: DevCloud, asked: dict[str, Any]) -> AppCredential:
    key = asked.get("id")
    if key is None:
        user = _named_user(cloud, asked.get("user") or {})
        named = [known for known in app_credentials_of(cloud, user) if known.name == asked.get("name")] if user else []
        if not named:
            raise Refusal(401, _UNAUTHENTICATED)
        return named[0]
    credential = cloud.store.get(AppCredential, str(key))
    if credential is None:
        raise unknown_credential(str(key))
    return credential


def _token_view(cloud: DevCloud, identity: Identity, *, with_catalog: bool) -> dict[str, Any]:
    token, project = identity.token, _project(cloud, identity.project_id)
    view: dict[str, Any] = {
        "methods": [token.method],
        "user": {
            "domain": DOMAIN,
            "id": identity.user.id,
            "name": identity.user.name,
            "password_expires_at": None,
        },
        "audit_ids": [token.audit_id],
        "expires_at": micro(token.expires_at),
        "issued_at": micro(token.issued_at),
        "project": {"domain": DOMAIN, "id": project.id, "name": project.name},
        "is_domain": False,
        "roles": [role_view(name) for name in identity.roles],
    }
    if with_catalog:
        view["catalog"] = catalogue(cloud)
    if token.app_credential_id:
        credential = cloud.store.get(AppCredential, token.app_credential_id)
        if credential:
            view["application_credential"] = {
                "id": credential.id,
                "name": credential.name,
                "restricted": not credential.unrestricted,
            }
    return view


def _project_view(cloud: DevCloud, project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": DOMAIN["id"],
        "description": "",
        "enabled": True,
        "parent_id": DOMAIN["id"],
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{cloud.settings.identity_url}/identity/v3/projects/{project.id}"},
    }


def _user_view(cloud: DevCloud, user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": DOMAIN["id"],
        "default_project_id": user.project_id,
        "enabled": True,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{cloud.settings.identity_url}/identity/v3/users/{user.id}"},
    }


def _version(cloud: DevCloud) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{cloud.settings.identity_url}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _named_user(cloud: DevCloud, asked: dict[str, Any]) -> User | None:
    if "id" in asked:
        return cloud.store.get(User, str(asked["id"]))
    return next((user for user in cloud.store.all(User) if user.name == asked.get("name")), None)


def _project(cloud: DevCloud, key: str) -> Project:
    project = cloud.store.get(Project, key)
    if project is None:
        raise Refusal(401, _UNAUTHENTICATED)
    return project


def _admin_only(call: Call, rule: str) -> None:
    if not call.caller.admin:
        raise not_allowed(rule)


def _part(container: dict[str, Any], key: str, of: str = "identity") -> dict[str, Any]:
    value = container.get(key)
    if not isinstance(value, dict):
        raise Refusal(400, f"Expecting to find {key} in {of}. {MALFORMED}")
    return value


def revoke_all(cloud: DevCloud) -> int:
    """Make every token worthless at once, as a restart of memcached or an operator may; returns how many."""
    tokens = tuple(cloud.store.all(Token))
    for token in tokens:
        cloud.store.remove(token)
    return len(tokens)


SERVICE = Service(
    "identity",
    "/identity",
    (
        Route("GET", "", "versions", versions, open=True),
        Route("GET", "/", "versions", versions, open=True),
        Route("GET", "/v3", "version", version, open=True),
        Route("GET", "/v3/", "version", version, open=True),
        Route("POST", "/v3/auth/tokens", "tokens.create", create_token, open=True),
        Route("GET", "/v3/auth/tokens", "tokens.show", show_token),
        Route("DELETE", "/v3/auth/tokens", "tokens.delete", revoke_token),
        Route("GET", "/v3/auth/catalog", "catalog.show", catalog),
        Route("GET", "/v3/auth/projects", "projects.own", own_projects),
        Route("GET", "/v3/projects", "projects.list", list_projects),
        Route("GET", "/v3/projects/{project_id}", "projects.show", show_project),
        Route("GET", "/v3/users", "users.list", list_users),
        Route("GET", "/v3/users/{user_id}", "users.show", show_user),
        Route("GET", "/v3/users/{user_id}/projects", "projects.own", own_projects),
        *app_credentials.ROUTES,
    ),
)
