"""Keystone: who gets a token, for how long, and what it opens."""

from __future__ import annotations

from datetime import timedelta

from tests.devcloud.client import Scene, credential_auth, password_auth


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


async def test_a_wrong_application_secret_is_401(scene: Scene) -> None:
    auth = scene.clouds["devcloud"]["auth"]
    assert (await scene.nobody.sign_in(credential_auth(auth["application_credential_id"], "wrong"))).status == 401


async def test_another_project_cannot_be_had_by_password(scene: Scene) -> None:
    entry = scene.clouds["devcloud-user"]
    asked = password_auth({"auth": {**entry["auth"], "project_name": "devcloud-other"}})
    assert (await scene.nobody.sign_in(asked)).status == 401


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


async def test_a_member_does_not_see_other_projects_or_users(scene: Scene) -> None:
    assert (await scene.hub.call("GET", "/identity/v3/projects")).status == 403
    assert (await scene.hub.call("GET", f"/identity/v3/users/{scene.other.user_id}")).status == 404


async def test_the_catalogue_names_every_service_at_this_cloud(scene: Scene) -> None:
    catalog = (await scene.hub.get("/identity/v3/auth/catalog"))["catalog"]
    assert {entry["type"] for entry in catalog} == {"identity", "compute", "image", "network", "block-storage"}
    urls = [endpoint["url"] for entry in catalog for endpoint in entry["endpoints"]]
    assert all(url.startswith(scene.running.url) for url in urls)


async def test_a_malformed_sign_in_is_400(scene: Scene) -> None:
    assert (await scene.nobody.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": []}})).status == 400
    assert (await scene.nobody.call("POST", "/identity/v3/auth/tokens", ["what"])).status == 400
