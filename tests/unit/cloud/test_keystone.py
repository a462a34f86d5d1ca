from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from js2spawner.cloud import errors
from js2spawner.cloud.keystone import Entry, Grant, authenticate, versioned

from .stand_in import PROJECT, SECRET, StandIn


async def sign_in(file: str, cloud: str = "js2", region: str | None = None) -> Grant:
    entry = Entry(cloud=cloud, region=region, file=file)
    return await asyncio.to_thread(authenticate, entry, timeout_s=10)


async def test_an_application_credential_signs_in(stand_in: StandIn, tmp_path: Path) -> None:
    grant = await sign_in(stand_in.clouds_yaml(tmp_path))
    assert grant.token == "gAAAA-token-1"
    assert grant.project_id == PROJECT
    assert 3590 < grant.lifetime_s <= 3600
    assert stand_in.sign_ins[0]["auth"]["identity"]["application_credential"]["secret"] == SECRET


async def test_a_password_signs_in(stand_in: StandIn, tmp_path: Path) -> None:
    auth = {
        "auth_url": f"{stand_in.url}/identity/v3",
        "username": "jhub",
        "password": "hunter2",
        "project_name": "js2",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    await sign_in(stand_in.clouds_yaml(tmp_path, auth_type="v3password", auth=auth))
    assert stand_in.sign_ins[0]["auth"]["identity"]["password"]["user"]["password"] == "hunter2"


async def test_the_addresses_come_from_the_catalogue_with_their_versions(stand_in: StandIn, tmp_path: Path) -> None:
    grant = await sign_in(stand_in.clouds_yaml(tmp_path))
    assert grant.endpoints == stand_in.grant().endpoints


async def test_the_region_chooses_the_addresses(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.regions = ("IU", "TACC")
    file = stand_in.clouds_yaml(tmp_path, region_name=None, regions=["IU", "TACC"])
    grant = await sign_in(file, region="TACC")
    assert grant.endpoints["compute"] == f"{stand_in.url}/TACC/compute/v2.1"


async def test_the_region_that_a_dashboard_wrote_into_the_file_is_only_where_to_begin(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.regions = ("IU", "TACC")
    file = stand_in.clouds_yaml(tmp_path)
    assert (await sign_in(file)).endpoints["compute"] == f"{stand_in.url}/compute/v2.1"
    assert (await sign_in(file, region="TACC")).endpoints["compute"] == f"{stand_in.url}/TACC/compute/v2.1"


async def test_a_region_that_clouds_yaml_does_not_list_is_named(stand_in: StandIn, tmp_path: Path) -> None:
    file = stand_in.clouds_yaml(tmp_path, region_name=None, regions=["IU"])
    with pytest.raises(errors.BadCloudConfig, match=r"Region TACC .*Valid choices are IU"):
        await sign_in(file, region="TACC")


async def test_a_region_that_the_catalogue_does_not_have_is_named(stand_in: StandIn, tmp_path: Path) -> None:
    file = stand_in.clouds_yaml(tmp_path, region_name=None)
    with pytest.raises(errors.BadCloudConfig, match=r"cloud js2: .*no compute service in region TACC"):
        await sign_in(file, region="TACC")


async def test_an_address_in_clouds_yaml_wins_over_the_catalogue(stand_in: StandIn, tmp_path: Path) -> None:
    grant = await sign_in(stand_in.clouds_yaml(tmp_path, image_endpoint_override="http://127.0.0.9:9292/"))
    assert grant.endpoints["image"] == "http://127.0.0.9:9292/v2"


@pytest.mark.parametrize(
    ("url", "service", "full"),
    [
        ("https://c:9696", "network", "https://c:9696/v2.0"),
        ("https://c/image/v2/", "image", "https://c/image/v2"),
        ("https://c/v3/4bccd4", "block-storage", "https://c/v3/4bccd4"),
        ("https://c/compute", "compute", "https://c/compute/v2.1"),
    ],
)
def test_an_address_without_a_version_gets_ours(url: str, service: str, full: str) -> None:
    assert versioned(url, service) == full


async def test_clouds_yaml_is_read_anew_at_each_sign_in(stand_in: StandIn, tmp_path: Path) -> None:
    file = stand_in.clouds_yaml(tmp_path)
    await sign_in(file)
    Path(file).write_text(Path(file).read_text().replace(SECRET, "rotated"))
    await sign_in(file)
    assert stand_in.sign_ins[1]["auth"]["identity"]["application_credential"]["secret"] == "rotated"


async def test_a_secret_may_be_kept_beside_clouds_yaml(stand_in: StandIn, tmp_path: Path) -> None:
    file = stand_in.clouds_yaml(tmp_path)
    secret = {"clouds": {"js2": {"auth": {"application_credential_secret": "from-secure-yaml"}}}}
    (tmp_path / "secure.yaml").write_text(json.dumps(secret))
    await sign_in(file)
    assert stand_in.sign_ins[0]["auth"]["identity"]["application_credential"]["secret"] == "from-secure-yaml"


async def test_a_named_file_counts_whatever_the_environment_says(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "other.yaml"))
    monkeypatch.setenv("OS_AUTH_URL", "http://127.0.0.9:1/v3")
    (tmp_path / "other.yaml").write_text(json.dumps({"clouds": {}}))
    assert (await sign_in(stand_in.clouds_yaml(tmp_path))).token


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refused_credential_is_a_failed_sign_in(stand_in: StandIn, tmp_path: Path, status: int) -> None:
    body = {"error": {"code": status, "message": "Could not find Application Credential: nope.", "title": "no"}}
    stand_in.refuse_sign_in = web.json_response(body, status=status)
    file = stand_in.clouds_yaml(tmp_path)
    with pytest.raises(errors.SignInFailed, match="Could not find Application Credential"):
        await sign_in(file)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_keystone_in_trouble_is_unreachable_and_certain(stand_in: StandIn, tmp_path: Path, status: int) -> None:
    stand_in.refuse_sign_in = web.Response(status=status, text="<h1>bad</h1>", content_type="text/html")
    file = stand_in.clouds_yaml(tmp_path)
    with pytest.raises(errors.Unreachable) as caught:
        await sign_in(file)
    assert caught.value.certain


@pytest.mark.parametrize("body", ["{}", '{"token": {}}', '{"token": {"catalog": 7}}', "<html>", "[]"])
async def test_a_keystone_that_answers_nonsense_is_unreachable(stand_in: StandIn, tmp_path: Path, body: str) -> None:
    stand_in.refuse_sign_in = web.Response(status=201, text=body, headers={"X-Subject-Token": "t"})
    file = stand_in.clouds_yaml(tmp_path)
    with pytest.raises(errors.CloudError):
        await sign_in(file)


async def test_nobody_at_the_address_is_unreachable(
    stand_in: StandIn, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    stand_in.url = f"http://127.0.0.1:{free_port()}"
    file = stand_in.clouds_yaml(tmp_path)
    with pytest.raises(errors.Unreachable):
        await sign_in(file)


@pytest.mark.parametrize("text", ["clouds: [", "clouds: 7", "[]", "", "clouds: {js2: 7}", "clouds: {other: {}}"])
def test_a_clouds_yaml_that_cannot_work_is_one_clear_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(text)
    with pytest.raises(errors.BadCloudConfig) as caught:
        authenticate(Entry(cloud="js2", file=str(file)), timeout_s=1)
    assert str(caught.value).startswith(f"{file}, cloud js2: ")
    assert "\n" not in str(caught.value)


def test_a_clouds_yaml_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(errors.BadCloudConfig, match="there is no such file"):
        authenticate(Entry(cloud="js2", file=str(tmp_path / "clouds.yaml")), timeout_s=1)


async def test_an_entry_without_a_secret_says_so(stand_in: StandIn, tmp_path: Path) -> None:
    auth = {"auth_url": f"{stand_in.url}/identity/v3", "application_credential_id": "4c68b112"}
    file = stand_in.clouds_yaml(tmp_path, auth=auth)
    with pytest.raises(errors.BadCloudConfig, match="You must provide an auth secret"):
        await sign_in(file)


async def test_an_authority_that_is_not_there_is_one_clear_sentence(stand_in: StandIn, tmp_path: Path) -> None:
    file = stand_in.clouds_yaml(tmp_path, cacert=str(tmp_path / "missing.pem"))
    with pytest.raises(errors.BadCloudConfig, match="cacert"):
        await sign_in(file)


async def test_certificates_are_checked_unless_clouds_yaml_says_otherwise(stand_in: StandIn, tmp_path: Path) -> None:
    checked = await sign_in(stand_in.clouds_yaml(tmp_path))
    unchecked = await sign_in(stand_in.clouds_yaml(tmp_path, verify=False))
    assert checked.tls.verify_mode == ssl.CERT_REQUIRED
    assert checked.tls.check_hostname
    assert unchecked.tls.verify_mode == ssl.CERT_NONE


async def test_neither_secret_nor_token_reaches_the_log_or_a_repr(
    stand_in: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    grant = await sign_in(stand_in.clouds_yaml(tmp_path))
    shown = repr(grant) + caplog.text
    assert grant.token not in shown
    assert SECRET not in shown
