"""Secrets and tokens: made, recognised, revoked. Only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from js2spawner.devcloud.calls import Identity
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.records import AppCredential, Token, User

TOKEN_BEGINS = "gAAAAA"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sign-in proved: who, for which project, by which method."""

    user: User
    project_id: str
    method: str
    app_credential: AppCredential | None = None


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Every secret here is random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, kept: str) -> bool:
    return hmac.compare_digest(digest(secret), kept)


def issue(cloud: DevCloud, grant: Grant) -> tuple[str, Token]:
    """A new token; returns what the client holds and what is kept. Forgets tokens that have expired."""
    now = cloud.clock.now()
    for old in cloud.store.all(Token):
        if old.expires_at < now:
            cloud.store.remove(old)
    secret = TOKEN_BEGINS + secrets.token_urlsafe(96)
    token = Token(
        id=digest(secret),
        user_id=grant.user.id,
        project_id=grant.project_id,
        method=grant.method,
        app_credential_id=grant.app_credential.id if grant.app_credential else "",
        audit_id=secrets.token_urlsafe(16),
        issued_at=now,
        expires_at=now + timedelta(seconds=cloud.settings.token_seconds),
    )
    return secret, cloud.store.put(token)


def find(cloud: DevCloud, secret: str) -> Identity | None:
    """Who holds this token, or None when it is unknown, revoked or expired."""
    token = cloud.store.get(Token, digest(secret))
    if token is None or token.expires_at <= cloud.clock.now():
        return None
    user = cloud.store.get(User, token.user_id)
    if user is None:
        return None
    if token.app_credential_id:
        credential = cloud.store.get(AppCredential, token.app_credential_id)
        return Identity(user, token, token.project_id, credential.roles) if credential else None
    return Identity(user, token, token.project_id, user.roles)


def identify(cloud: DevCloud, secret: str, *, by_keystone: bool = False) -> Identity:
    """Who calls. Raises Refusal: 401, and 404 when Keystone itself is asked by the token of a deleted credential."""
    identity = find(cloud, secret) if secret else None
    if identity is None:
        token = cloud.store.get(Token, digest(secret)) if by_keystone else None
        if token and token.app_credential_id and not cloud.store.get(AppCredential, token.app_credential_id):
            raise unknown_credential(token.app_credential_id)
        raise Refusal(401, "The request you have made requires authentication.")
    return identity


def unknown_credential(key: str) -> Refusal:
    """Keystone says 404 here and not 401; clients that expect 401 have been surprised by it."""
    return Refusal(404, f"Could not find Application Credential: {key}.")
