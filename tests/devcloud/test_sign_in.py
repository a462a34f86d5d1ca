"""Keystone: who gets a token, for how long, and what it opens."""

from __future__ import annotations

from datetime import timedelta

from tests.contract.client import credential_auth, password_auth
from tests.devcloud.client import Scene


async def test_a_token_is_worthless_once_it_has_expired(scene: Scene) -> None:
    scene.clock.ahead = timedelta(seconds=3599)
    assert (await scene.hub.call("GET", "/compute/v2.1/servers")).status == 200
    scene.clock.ahead = timedelta(seconds=3601)
    assert (await scene.hub.call("GET", "/compute/v2.1/servers")).status == 401


async def test_a_revoked_token_is_worthless(scene: Scene) -> None:
    subject = {"X-Subject-Token": scene.hub.token}
    assert (await scene.hub.call("DELETE", "/identity/v3/auth/tokens", headers=subject)).status == 204
    assert (await scene.hub.call("GET", "/compute/v2.1/servers")).status == 401


async def test_all_tokens_can_be_revoked_at_once(scene: Scene) -> None:
    await scene.nobody.call("POST", "/devcloud/tokens/revoke")
    for person in (scene.hub, scene.other, scene.admin):
        assert (await person.call("GET", "/network/v2.0/networks")).status == 401


async def test_a_person_makes_an_application_credential_and_deleting_it_ends_its_tokens(scene: Scene) -> None:
    person = scene.nobody
    await person.sign_in(password_auth(scene.clouds["devcloud-user"]))
    path = f"/identity/v3/users/{person.user_id}/application_credentials"
    made = (await person.call("POST", path, {"application_credential": {"name": "second"}})).body
    credential = made["application_credential"]
    await scene.other.sign_in(credential_auth(credential["id"], credential["secret"]))
    assert (await scene.other.call("GET", "/compute/v2.1/servers")).status == 200
    assert (await person.call("DELETE", f"{path}/{credential['id']}")).status == 204
    assert (await scene.other.call("GET", "/compute/v2.1/servers")).status == 401


async def test_the_catalogue_names_every_service_at_this_cloud(scene: Scene) -> None:
    catalog = (await scene.hub.get("/identity/v3/auth/catalog"))["catalog"]
    assert {entry["type"] for entry in catalog} == {
        "identity",
        "compute",
        "image",
        "network",
        "block-storage",
        "shared-file-system",
    }
    urls = [endpoint["url"] for entry in catalog for endpoint in entry["endpoints"]]
    assert all(url.startswith(scene.running.url) for url in urls)


async def test_a_malformed_sign_in_is_400(scene: Scene) -> None:
    assert (await scene.nobody.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": []}})).status == 400
    assert (await scene.nobody.call("POST", "/identity/v3/auth/tokens", ["what"])).status == 400
