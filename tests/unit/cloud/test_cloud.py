"""The whole way: clouds.yaml, openstacksdk, catalogue, aiohttp, records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from js2spawner.cloud import errors
from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.records import NewServer

from .stand_in import SECRET, StandIn, recorded
from .test_images import image

SERVERS = "/compute/v2.1/servers"


@pytest.fixture
async def cloud(stand_in: StandIn, tmp_path: Path) -> AsyncIterator[Cloud]:
    cloud = Cloud("js2", config_file=stand_in.clouds_yaml(tmp_path))
    yield cloud
    await cloud.close()


def test_a_cloud_is_made_without_a_loop_and_without_looking_at_a_file() -> None:
    cloud = Cloud("nowhere", region="IU", config_file="/nonexistent/clouds.yaml")
    assert (cloud.name, cloud.region) == ("nowhere", "IU")


async def test_the_first_call_signs_in_by_itself_and_once(cloud: Cloud, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{SERVERS}/detail", {"servers": [recorded("server-2.61")["server"]]})
    lists = await asyncio.gather(*(cloud.compute.list_servers(tag="js2") for _ in range(8)))
    assert {servers[0].name for servers in lists} == {"contract-active"}
    assert len(stand_in.sign_ins) == 1


async def test_a_token_that_was_revoked_costs_one_sign_in(cloud: Cloud, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{SERVERS}/detail", {"servers": []})
    await cloud.sign_in()
    stand_in.refused_tokens.add("gAAAA-token-1")
    await asyncio.gather(*(cloud.compute.list_servers(tag="js2") for _ in range(16)))
    assert len(stand_in.sign_ins) == 2


async def test_a_token_that_was_revoked_is_found_out_before_an_upload_and_not_after_it(
    cloud: Cloud, stand_in: StandIn, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"disk")
    stand_in.on("GET", "/image/v2/images/i", image("i", "2026-10-01T00:00:00Z", status="queued"))
    stand_in.on("PUT", "/image/v2/images/i/file", "")
    await cloud.sign_in()
    stand_in.refused_tokens.add("gAAAA-token-1")
    await cloud.images.upload("i", disk)
    assert len(stand_in.calls("PUT", "/image/v2/images/i/file")) == 1


async def test_two_regions_are_two_clouds(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.regions = ("IU", "TACC")
    file = stand_in.clouds_yaml(tmp_path, region_name=None, regions=["IU", "TACC"])
    stand_in.on("GET", "/TACC/compute/v2.1/limits", recorded("limits-2.61"))
    tacc = Cloud("js2", region="TACC", config_file=file)
    await tacc.compute.limits()
    await tacc.close()
    assert stand_in.seen[0].path == "/TACC/compute/v2.1/limits"


async def test_a_keystone_that_is_down_during_a_create_means_nothing_was_created(
    cloud: Cloud, stand_in: StandIn
) -> None:
    stand_in.refuse_sign_in = web.Response(status=503)
    with pytest.raises(errors.Unreachable) as caught:
        await cloud.compute.create_server(NewServer("a", "i", "f", "n"))
    assert caught.value.certain
    assert stand_in.seen == []


async def test_a_wrong_credential_shows_at_sign_in(cloud: Cloud, stand_in: StandIn) -> None:
    stand_in.refuse_sign_in = web.json_response({"error": {"code": 401, "message": "no"}}, status=401)
    with pytest.raises(errors.SignInFailed):
        await cloud.sign_in()


async def test_nothing_secret_is_logged_on_the_whole_way(
    cloud: Cloud, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    stand_in.on("GET", "/compute/v2.1/limits", recorded("limits-2.61"))
    await cloud.compute.limits()
    assert "gAAAA-token" not in caplog.text
    assert SECRET not in caplog.text


async def test_a_cloud_can_be_closed_before_and_after_use(stand_in: StandIn, tmp_path: Path) -> None:
    cloud = Cloud("js2", config_file=stand_in.clouds_yaml(tmp_path))
    await cloud.close()
    await cloud.sign_in()
    await cloud.close()
