"""Sign-in through CILogon: ACCESS and the institutions the file lists. Nobody enters without a rule that says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub_config.pacing import PacedStarts
from hub_config.settings import Settings, read_secret
from js2spawner import located_yaml
from js2spawner.located_yaml import FileError, Mistake

Names = Annotated[tuple[str, ...], Field(strict=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Institution(_Settings):
    """One identity provider. `user_claim` is what CILogon calls the user there; the hub's name is made of it.

    `strip`: the domain taken off the name. `prefix`: a word put before it. With neither, the name keeps its domain.
    `everyone`: all its people may enter; `domains`: those of these domains may.
    """

    user_claim: str = "eppn"
    strip: str | None = None
    prefix: str | None = None
    everyone: bool = False
    domains: Names = ()


class People(_Settings):
    """The file: institutions by entity id (the first is preselected), people and admins by name, members by group."""

    institutions: Annotated[dict[str, Institution], Field(min_length=1)]
    admins: Names = ()
    people: Names = ()
    groups: dict[str, Names] = {}


def configure(c: Any, settings: Settings) -> None:
    # Imported here: only this way of signing in needs the package.
    from oauthenticator.cilogon import CILogonOAuthenticator

    class PacedCILogon(PacedStarts, CILogonOAuthenticator):  # type: ignore[misc]
        """CILogon's sign-in with starts one after another."""

    people = read_people(settings.cilogon_file)
    c.JupyterHub.authenticator_class = PacedCILogon
    c.CILogonOAuthenticator.client_id = settings.cilogon_client_id
    c.CILogonOAuthenticator.client_secret = read_secret(
        settings.cilogon_client_secret_file, "JS2_CILOGON_CLIENT_SECRET_FILE"
    )
    c.CILogonOAuthenticator.oauth_callback_url = f"{settings.bind_url}/hub/oauth_callback"
    c.CILogonOAuthenticator.idps = identity_providers(people)
    c.Authenticator.admin_users = {name.lower() for name in people.admins}
    c.Authenticator.allowed_users = {name.lower() for name in people.people}
    c.JupyterHub.load_groups = {
        group: {"users": [name.lower() for name in members]} for group, members in people.groups.items()
    }


def read_people(file: Path) -> People:
    """The institutions and people of a file. Raises FileError with every mistake, file and line."""
    located = located_yaml.read(file)
    try:
        people = People.model_validate(located.data)
    except ValidationError as error:
        raise FileError(located.told(located_yaml.explain(error, People, "the sign-in file"))) from None
    if mistakes := list(_dangers(people)):
        raise FileError(located.told(mistakes))
    return people


def _dangers(people: People) -> Iterator[Mistake]:
    """Settings by which nobody could enter, or somebody as somebody else."""
    stripping = [entity for entity, institution in people.institutions.items() if institution.strip]
    for entity in stripping[1:]:
        sentence = "a second “strip” would make alice of one institution alice of the other; use “prefix” here."
        yield ("institutions", entity, "strip"), sentence
    for entity, institution in people.institutions.items():
        if not entity.startswith(("https://", "http://", "urn:")):
            sentence = f"{located_yaml.shown(entity)} is no entity id; cilogon.org/idplist has them."
            yield ("institutions", entity), sentence
        if institution.strip and institution.prefix:
            sentence = "an institution has either “strip” or “prefix”, not both."
            yield ("institutions", entity, "prefix"), sentence
        if institution.user_claim not in ("eppn", "email") and not institution.prefix:
            sentence = "only “eppn” and “email” say which institution a name is from; add a “prefix”."
            yield ("institutions", entity, "user_claim"), sentence
    open_to_some = any(institution.everyone or institution.domains for institution in people.institutions.values())
    if not (open_to_some or people.people or people.admins):
        sentence = (
            "nobody could sign in; list “people” or “admins”, or open an institution with “everyone” or “domains”."
        )
        yield (), sentence


def identity_providers(people: People) -> dict[str, dict[str, Any]]:
    """The institutions in the words of oauthenticator's `idps`."""
    providers: dict[str, dict[str, Any]] = {}
    for entity, institution in people.institutions.items():
        naming: dict[str, str] = {"username_claim": institution.user_claim}
        if institution.strip:
            naming |= {"action": "strip_idp_domain", "domain": institution.strip}
        if institution.prefix:
            naming |= {"action": "prefix", "prefix": institution.prefix}
        providers[entity] = {
            "username_derivation": naming,
            "allow_all": institution.everyone,
            "allowed_domains": list(institution.domains),
            "default": not providers,
        }
    return providers
