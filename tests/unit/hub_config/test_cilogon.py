"""Who may enter through CILogon, and as whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from oauthenticator.cilogon import CILogonOAuthenticator
from traitlets.config import Config

from hub_config import cilogon
from hub_config.settings import from_environment
from js2spawner.located_yaml import FileError

ACCESS = "https://access-ci.org/idp"
IU = "urn:mace:incommon:iu.edu"
PEOPLE = f"""\
institutions:
  {ACCESS}: {{strip: access-ci.org}}
  {IU}: {{prefix: iu, everyone: true}}
admins: [Alice]
people: [bob]
groups:
  gpu: [Bob, "iu:carol@iu.edu"]
"""


def people_file(directory: Path, text: str) -> Path:
    file = directory / "cilogon.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def authenticator(tmp_path: Path) -> Any:
    c = configured(tmp_path)
    return c.JupyterHub.authenticator_class(config=c)


def configured(directory: Path) -> Config:
    secret = directory / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    c = Config()
    cilogon.configure(
        c,
        from_environment(
            {
                "CONFIGPROXY_AUTH_TOKEN": "t",
                "JS2_BIND_URL": "https://hub.example.org",
                "JS2_CILOGON_FILE": str(people_file(directory, PEOPLE)),
                "JS2_CILOGON_CLIENT_ID": "cilogon:/client_id/1",
                "JS2_CILOGON_CLIENT_SECRET_FILE": str(secret),
            }
        ),
    )
    return c


def name_of(authenticator: CILogonOAuthenticator, institution: str, eppn: str) -> str:
    name: str = authenticator.normalize_username(
        authenticator.user_info_to_username({"idp": institution, "eppn": eppn})
    )
    return name


async def allowed(authenticator: CILogonOAuthenticator, institution: str, eppn: str) -> bool:
    info = {"idp": institution, "eppn": eppn}
    name = name_of(authenticator, institution, eppn)
    model = {"admin": name in authenticator.admin_users, "auth_state": {"cilogon_user": info}, "groups": []}
    return bool(await authenticator.check_allowed(name, model))


def test_oauthenticator_takes_the_settings(authenticator: Any):
    assert authenticator.oauth_callback_url == "https://hub.example.org/hub/oauth_callback"
    assert authenticator.client_secret == "s3cret"
    assert authenticator.admin_users == {"alice"}


def test_names_say_which_institution_they_are_from(authenticator: Any):
    assert name_of(authenticator, ACCESS, "alice@access-ci.org") == "alice"
    assert name_of(authenticator, IU, "alice@iu.edu") == "iu:alice@iu.edu"


async def test_nobody_enters_without_a_rule(authenticator: Any):
    assert await allowed(authenticator, ACCESS, "bob@access-ci.org")
    assert await allowed(authenticator, ACCESS, "alice@access-ci.org")
    assert await allowed(authenticator, IU, "anybody@iu.edu")
    assert not await allowed(authenticator, ACCESS, "mallory@access-ci.org")


def test_groups_of_the_file_are_the_hub_s(tmp_path: Path):
    assert configured(tmp_path).JupyterHub.load_groups == {"gpu": {"users": ["bob", "iu:carol@iu.edu"]}}


def test_the_first_institution_is_preselected():
    people = cilogon.People(institutions={ACCESS: cilogon.Institution(), IU: cilogon.Institution()}, people=("a",))
    assert [provider["default"] for provider in cilogon.identity_providers(people).values()] == [True, False]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (f"institutions:\n  {ACCESS}: {{}}\n", "1: nobody could sign in"),
        (
            f"institutions:\n  {ACCESS}: {{strip: a.org}}\n  {IU}: {{strip: iu.edu}}\npeople: [a]\n",
            "3: a second “strip”",
        ),
        (f"institutions:\n  {IU}: {{strip: a.org, prefix: b}}\npeople: [a]\n", "2: an institution has either"),
        (f"institutions:\n  {IU}: {{user_claim: sub}}\npeople: [a]\n", "2: only “eppn” and “email” say"),
        ("institutions:\n  iu.edu: {everyone: true}\n", "2: “iu.edu” is no entity id"),
        ("institutions: {}\n", "1: "),
        ("people: [alice]\n", "1: the sign-in file lacks “institutions”; add it."),
        (f"institutions:\n  {IU}: {{everyone: yes}}\n", "2: "),
        ("admins: [alice]\ninstitutoins: {}\n", "2: the sign-in file has no setting “institutoins”; did you mean"),
    ],
)
def test_a_mistake_or_a_danger_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, mistake: str):
    with pytest.raises(FileError) as caught:
        cilogon.read_people(people_file(tmp_path, text))
    assert any(f"cilogon.yaml:{mistake}" in told for told in caught.value.mistakes), caught.value
