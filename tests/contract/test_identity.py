"""Signing in: what a credential is good for, how long, and what Keystone says when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.client import LOOK_EVERY_S, Client, Seen, credential_auth, password_auth
from tests.contract.clouds import Cloud

Answer = Callable[..., None]
TOKENS = "/identity/v3/auth/tokens"
# Every service of a real cloud is in its catalogue; which ones there are beside ours is its own affair.
TOKEN_LOOSE = ("catalog", "audit_ids")


async def test_a_password_opens_a_project(cloud: Cloud, answer: Answer) -> None:
    seen = await _somebody(cloud).sign_in(password_auth(cloud.entry("user")))
    answer("identity-token-by-password", _in_order(seen), loose=[*TOKEN_LOOSE, "name"])


async def test_an_application_credential_opens_the_project_it_was_made_in(cloud: Cloud, answer: Answer) -> None:
    auth = cloud.entry("member")["auth"]
    somebody = _somebody(cloud)
    seen = await somebody.sign_in(
        credential_auth(auth["application_credential_id"], auth["application_credential_secret"])
    )
    answer("identity-token-by-credential", _in_order(seen), loose=[*TOKEN_LOOSE, "name"])
    assert (somebody.project_id, somebody.user_id) == (cloud.user.project_id, cloud.user.user_id)


async def test_a_token_tells_how_long_it_lasts(cloud: Cloud) -> None:
    seen = await _somebody(cloud).sign_in(password_auth(cloud.entry("user")))
    issued, expires = (datetime.fromisoformat(seen.body["token"][name]) for name in ("issued_at", "expires_at"))
    assert issued.tzinfo == expires.tzinfo == UTC
    assert timedelta(minutes=5) <= expires - issued <= timedelta(days=1)


async def test_the_catalogue_names_the_four_services_a_hub_uses(cloud: Cloud) -> None:
    catalog = (await cloud.member.get("/identity/v3/auth/catalog"))["catalog"]
    services = {service["type"]: service for service in catalog}
    assert {"compute", "network", "image", "identity", "block-storage"} <= services.keys()
    for service in services.values():
        assert service.keys() == {"id", "type", "name", "endpoints"}
        for endpoint in service["endpoints"]:
            assert endpoint.keys() == {"id", "interface", "region_id", "region", "url"}
        assert any(endpoint["interface"] == "public" for endpoint in service["endpoints"])


@pytest.mark.parametrize(
    ("name", "auth"),
    [
        ("unknown-credential", credential_auth("nope", "x")),
        ("no-method", {"identity": {"methods": []}}),
        ("no-credential", {"identity": {"methods": ["application_credential"]}}),
        ("bad-token", {"identity": {"methods": ["token"], "token": {"id": "nonsense"}}}),
        ("unknown-user", password_auth({"auth": {"username": "nobody", "password": "x", "project_name": "x"}})),
    ],
)
async def test_who_cannot_sign_in_is_told_why(cloud: Cloud, answer: Answer, name: str, auth: Mapping[str, Any]) -> None:
    answer(f"identity-refused-{name}", await _somebody(cloud).sign_in(auth))


async def test_a_sign_in_without_a_known_method_is_refused(cloud: Cloud) -> None:
    """Keystone adds its whole schema to the one answer, and to the other all methods that this cloud has."""
    nothing = await _somebody(cloud).sign_in({})
    assert (nothing.status, nothing.body["error"]["title"]) == (400, "Bad Request")
    assert nothing.body["error"]["message"].startswith("'identity' is a required property")
    magic = await _somebody(cloud).sign_in({"identity": {"methods": ["magic"], "magic": {}}})
    assert magic.status == 401
    assert magic.body["error"]["message"] == "Attempted to authenticate with an unsupported method."


async def test_a_wrong_password_is_refused(cloud: Cloud, answer: Answer) -> None:
    entry = cloud.entry("user")
    auth = password_auth({"auth": {**entry["auth"], "password": "wrong"}})
    answer("identity-refused-wrong-password", await _somebody(cloud).sign_in(auth))


async def test_a_wrong_secret_is_refused(cloud: Cloud, answer: Answer) -> None:
    auth = credential_auth(cloud.entry("member")["auth"]["application_credential_id"], "wrong")
    answer("identity-refused-wrong-secret", await _somebody(cloud).sign_in(auth))


async def test_nobody_signs_in_to_a_project_that_is_not_theirs(cloud: Cloud, answer: Answer) -> None:
    auth, others = cloud.entry("user")["auth"], cloud.entry("other")["auth"]
    foreign = password_auth({"auth": {**auth, "project_name": others["project_name"]}})
    answer("identity-refused-foreign-project", await _somebody(cloud).sign_in(foreign))


async def test_a_credential_is_made_by_a_person(cloud: Cloud, answer: Answer) -> None:
    seen = await _make(cloud.user, "contract-made", description="for a hub", unrestricted=False)
    answer("identity-credential-made", _without_secret(_in_order(seen)))
    path = f"{_credentials(cloud)}/{seen.body['application_credential']['id']}"
    answer("identity-credential-shown", _in_order(await cloud.user.call("GET", path)))
    listed = await cloud.user.call("GET", f"{_credentials(cloud)}?name=contract-made")
    assert [each["name"] for each in listed.body["application_credentials"]] == ["contract-made"]
    made = seen.body["application_credential"]
    assert (await _somebody(cloud).sign_in(credential_auth(made["id"], made["secret"]))).status == 201
    answer("identity-credential-deleted", await cloud.user.call("DELETE", path))
    answer("identity-credential-gone", await cloud.user.call("GET", path))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("unnamed", {"description": "x"}),
        ("name-too-long", {"name": "n" * 256}),
        ("bad-time", {"name": "contract-bad-time", "expires_at": "soon"}),
        ("time-with-offset", {"name": "contract-offset", "expires_at": "2046-01-01T00:00:00+00:00"}),
        ("past", {"name": "contract-past", "expires_at": "2020-01-01T00:00:00Z"}),
        ("role-not-held", {"name": "contract-role-not-held", "roles": [{"name": "admin"}]}),
        ("unknown-role", {"name": "contract-unknown-role", "roles": [{"name": "nope"}]}),
    ],
)
async def test_a_credential_that_makes_no_sense_is_refused(
    cloud: Cloud, answer: Answer, name: str, asked: Mapping[str, Any]
) -> None:
    seen = await cloud.user.call("POST", _credentials(cloud), {"application_credential": asked})
    answer(f"identity-credential-refused-{name}", seen)


async def test_a_name_serves_one_credential_of_a_person(cloud: Cloud, answer: Answer) -> None:
    await _make(cloud.user, "contract-twice")
    answer("identity-credential-refused-twice", await _make(cloud.user, "contract-twice"))


async def test_a_credential_cannot_manage_credentials(cloud: Cloud, answer: Answer) -> None:
    answer("identity-credential-makes-credential", await _make(cloud.member, "contract-more"))
    own = f"{_credentials(cloud)}/{cloud.entry('member')['auth']['application_credential_id']}"
    answer("identity-credential-deletes-itself", await cloud.member.call("DELETE", own))
    assert (await cloud.member.call("GET", own)).status == 200
    assert (await cloud.member.call("GET", _credentials(cloud))).status == 200


async def test_nobody_sees_the_credentials_of_others(cloud: Cloud, answer: Answer) -> None:
    own = f"{_credentials(cloud)}/{cloud.entry('member')['auth']['application_credential_id']}"
    answer("identity-credential-of-others", await cloud.other.call("GET", own))
    answer("identity-credentials-of-others", await cloud.other.call("GET", _credentials(cloud)))


async def test_a_credential_ends_at_its_time(cloud: Cloud, answer: Answer) -> None:
    until = datetime.now(UTC) + timedelta(seconds=3)
    text = until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    made = (await _make(cloud.user, "contract-brief", expires_at=text)).body["application_credential"]
    assert datetime.fromisoformat(made["expires_at"]).replace(tzinfo=UTC) == until
    auth = credential_auth(made["id"], made["secret"])
    somebody = _somebody(cloud)
    while datetime.now(UTC) < until + timedelta(seconds=1):
        await asyncio.sleep(LOOK_EVERY_S)
    answer("identity-refused-expired-credential", await somebody.sign_in(auth))


async def test_the_tokens_of_a_deleted_credential_are_worth_nothing(cloud: Cloud, answer: Answer) -> None:
    made = (await _make(cloud.user, "contract-deleted")).body["application_credential"]
    holder = _somebody(cloud)
    await holder.sign_in(credential_auth(made["id"], made["secret"]))
    await cloud.user.call("DELETE", f"{_credentials(cloud)}/{made['id']}")
    answer("identity-token-of-deleted-credential", await holder.call("GET", "/identity/v3/auth/catalog"))
    answer("identity-token-of-deleted-credential-at-nova", await holder.call("GET", "/compute/v2.1/servers"))


async def test_a_revoked_token_is_worth_nothing(cloud: Cloud, answer: Answer) -> None:
    holder = _somebody(cloud)
    await holder.sign_in(password_auth(cloud.entry("user")))
    own = {"X-Subject-Token": holder.token}
    shown = await holder.call("GET", TOKENS, headers=own)
    answer("identity-token-shown", _in_order(shown), loose=[*TOKEN_LOOSE, "name"])
    answer("identity-token-revoked", await holder.call("DELETE", TOKENS, headers=own))
    answer("identity-revoked-token-shown", await cloud.user.call("GET", TOKENS, headers=own))
    for service, path in (
        ("compute", "/compute/v2.1/servers"),
        ("network", "/network/v2.0/ports"),
        ("image", "/image/v2/images"),
        ("volume", "/volume/v3/volumes"),
    ):
        answer(f"identity-revoked-token-at-{service}", await holder.call("GET", path))


@pytest.mark.parametrize("token", ["", "nonsense"], ids=["no-token", "bad-token"])
@pytest.mark.parametrize(
    "path",
    ["/compute/v2.1/servers", "/network/v2.0/ports", "/image/v2/images", "/volume/v3/volumes", "/identity/v3/users"],
)
async def test_no_service_answers_without_a_token(cloud: Cloud, answer: Answer, token: str, path: str) -> None:
    service, what = path.split("/")[1], "bad-token" if token else "no-token"
    answer(f"identity-{what}-at-{service}", await replace(_somebody(cloud), token=token).call("GET", path))


@pytest.mark.parametrize("what", ["users", "projects"])
async def test_a_member_is_not_told_who_there_is(cloud: Cloud, answer: Answer, what: str) -> None:
    answer(f"identity-{what}-as-member", await cloud.member.call("GET", f"/identity/v3/{what}"))


async def test_a_member_knows_itself_and_its_project(cloud: Cloud, answer: Answer) -> None:
    loose = ["name", "description", "email", "default_project_id"]
    answer("identity-own-user", await cloud.user.call("GET", f"/identity/v3/users/{cloud.user.user_id}"), loose=loose)
    own = f"/identity/v3/projects/{cloud.user.project_id}"
    answer("identity-own-project", await cloud.user.call("GET", own), loose=loose)
    answer("identity-own-projects", await cloud.user.call("GET", "/identity/v3/auth/projects"), loose=loose)
    answer("identity-foreign-user", await cloud.member.call("GET", f"/identity/v3/users/{cloud.other.user_id}"))
    foreign = f"/identity/v3/projects/{cloud.other.project_id}"
    answer("identity-foreign-project", await cloud.member.call("GET", foreign))


async def test_a_credential_for_reading_changes_nothing(cloud: Cloud, answer: Answer) -> None:
    made = (await _make(cloud.user, "contract-reader", roles=[{"name": "reader"}])).body["application_credential"]
    assert [role["name"] for role in made["roles"]] == ["reader"]
    reader = replace(cloud.member, token="")
    seen = await reader.sign_in(credential_auth(made["id"], made["secret"]))
    assert [role["name"] for role in seen.body["token"]["roles"]] == ["reader"]
    for path in ("/compute/v2.1/servers", "/network/v2.0/ports", "/image/v2/images", "/volume/v3/volumes"):
        assert (await reader.call("GET", path)).status == 200
    answer("identity-reader-creates-server", await reader.create("contract-reader"))
    port = {"port": {"network_id": cloud.names.network, "name": "contract-reader"}}
    answer("identity-reader-creates-port", await reader.call("POST", "/network/v2.0/ports", port))
    group = {"security_group": {"name": "contract-reader"}}
    answer("identity-reader-creates-group", await reader.call("POST", "/network/v2.0/security-groups", group))
    answer("identity-reader-creates-image", await reader.call("POST", "/image/v2/images", {"name": "contract-reader"}))
    volume = {"volume": {"size": 1, "name": "contract-reader"}}
    answer("identity-reader-creates-volume", await reader.call("POST", "/volume/v3/volumes", volume))


def _somebody(cloud: Cloud) -> Client:
    """Nobody yet, apart from all others: who signs in here changes nobody else's token."""
    return replace(cloud.nobody, token="")


def _credentials(cloud: Cloud) -> str:
    return f"/identity/v3/users/{cloud.user.user_id}/application_credentials"


async def _make(person: Client, name: str, **more: Any) -> Seen:
    path = f"/identity/v3/users/{person.user_id}/application_credentials"
    return await person.call("POST", path, {"application_credential": {"name": name, **more}})


def _in_order(seen: Seen) -> Seen:
    """Keystone names roles in any order, and a cloud may have more of them."""
    (key, body), *others = seen.body.items()
    roles = sorted(
        (role for role in body["roles"] if role["name"] in ("member", "reader")), key=lambda each: each["name"]
    )
    return replace(seen, body={key: {**body, "roles": roles}, **dict(others)})


def _without_secret(seen: Seen) -> Seen:
    credential = seen.body["application_credential"]
    assert len(credential["secret"]) >= 32
    return replace(seen, body={"application_credential": {**credential, "secret": "<secret>"}})
