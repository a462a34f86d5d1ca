"""Homes on the real Cinder and Nova: made, attached, let go of; with instances that are shelved or lost, and stuck."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from js2spawner.cloud.cloud import Cloud
from js2spawner.fleet.home_attaching import Attaching, Pace
from tests.browser.scripted import Scripted
from tests.browser.whole import until
from tests.openstack.estate import Estate
from tests.openstack.whole import PATIENCE_S, RealHub

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(PATIENCE_S)]

GONE_WITHIN_S = 90
STUCK = ("attaching", "reserved", "detaching")
HUB = "5f1d7a3e-0000-4000-8000-00000000abcd"


@pytest.fixture(scope="module")
def hub(own_estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    quicker = ("--Js2Fleet.report_interval_s=2", "--Js2Fleet.quiet_list_interval_s=2")
    with RealHub(tmp_path_factory.mktemp("homes"), own_estate, "ada", hub_options=quicker) as running:
        yield running


def home(hub: RealHub, user: str) -> Any:
    """Somebody's one and only home, as Cinder shows it."""
    (only,) = (each for each in hub.cloud.block_storage.volumes() if each.metadata.get("js2_user") == user)
    return only


def has_let_go(hub: RealHub, user: str) -> bool:
    return not hub.instances(user) and home(hub, user).status == "available"


def test_files_outlive_the_instance_and_one_home_serves_one_server(hub: RealHub):
    ada = Scripted(hub, "ada")
    ada.starts(image="home")
    volume = home(hub, "ada")
    assert (volume.status, volume.size, volume.metadata["js2_home"]) == ("in-use", 1, "home")
    assert [each["server_id"] for each in volume.attachments] == [hub.instance_id("ada")]
    ada.keeps("thesis.txt", "chapter one")
    refused = ada.asks_for("second", image="home")
    assert refused.status_code == 503
    assert "in use by your default server" in refused.json()["message"]

    ada.stops()
    until(lambda: has_let_go(hub, "ada"), "the instance is gone and the home is free", GONE_WITHIN_S)
    assert home(hub, "ada").metadata["js2_formatted"] == "yes"
    ada.starts(image="home")
    assert home(hub, "ada").id == volume.id
    assert ada.has("thesis.txt") == "chapter one"


def test_an_instance_that_is_deleted_behind_our_back_and_a_start_at_once_keep_the_files(hub: RealHub):
    ada = Scripted(hub, "ada")
    lost = hub.instance_id("ada")
    hub.cloud.compute.delete_server(lost)
    until(lambda: ada.asks_for(image="home").status_code in (201, 202), "the hub noticed and starts", GONE_WITHIN_S)
    until(lambda: hub.is_ready("ada"), "a new instance is ready", GONE_WITHIN_S)
    assert hub.instance_id("ada") != lost
    assert ada.has("thesis.txt") == "chapter one"


def test_a_shelved_instance_comes_back_with_its_disk_and_its_home(hub: RealHub):
    cy = Scripted(hub, "cy")
    cy.starts(image="shelf")
    cy.keeps("home.txt", "of the home")
    instance = hub.instance_id("cy")
    cy.stops()
    until(lambda: hub.instances("cy")[0].status == "SHELVED_OFFLOADED", "it is on the shelf", GONE_WITHIN_S)
    until(lambda: home(hub, "cy").status == "available", "its home is free", GONE_WITHIN_S)
    until(lambda: not hub.instance_processes(instance), "its machine is off", GONE_WITHIN_S)

    cy.starts(image="shelf")
    assert hub.instance_id("cy") == instance
    assert cy.has("home.txt") == "of the home"
    assert [each["server_id"] for each in home(hub, "cy").attachments] == [instance]
    cy.stops()


@pytest.fixture(scope="module")
def bystander(own_estate: Estate) -> Iterator[str]:
    """An instance that nobody plays and no hub knows."""
    owner = own_estate.connection(own_estate.people.user)
    server = owner.compute.create_server(
        name="bystander",
        image_id=owner.image.find_image(own_estate.name).id,
        flavor_id=owner.compute.find_flavor("m3.tiny").id,
        networks=[{"uuid": own_estate.own.network_id}],
    )
    owner.compute.wait_for_server(server, wait=GONE_WITHIN_S)
    yield server.id
    owner.compute.delete_server(server)


def test_volumes_that_a_crash_left_on_their_way_are_attached_all_the_same(own_estate: Estate, bystander: str):
    owner, admin = (own_estate.connection(name) for name in (own_estate.people.user, own_estate.people.admin))
    stuck = {status: owner.block_storage.create_volume(size=1, name=f"stuck-{status}") for status in STUCK}
    for status, volume in stuck.items():
        owner.block_storage.wait_for_status(volume, "available", interval=0.3, wait=GONE_WITHIN_S)
        # As the tables are when a service ended between two steps: nobody holds the volume, and nobody may have it.
        admin.block_storage.reset_volume_status(volume, status=status, attach_status="detached")
        assert owner.block_storage.get_volume(volume.id).status == status
    asyncio.run(to_and_fro(own_estate, [volume.id for volume in stuck.values()], bystander))
    for volume in stuck.values():
        assert owner.block_storage.get_volume(volume.id).status == "available"


async def to_and_fro(estate: Estate, volume_ids: list[str], server_id: str) -> None:
    """Each gets to the instance, and is let go of."""
    cloud = Cloud(estate.people.member, config_file=str(estate.people.clouds_yaml))
    # As the hub's, with less patience for what nobody is at work on.
    ways = Attaching("here", cloud, HUB, list, logging.getLogger("homes"), Pace(stuck_s=2.0))
    try:
        attached = await asyncio.gather(*(ways.attach(each, server_id, within_s=60) for each in volume_ids))
        assert attached == [None] * len(volume_ids)
        assert {(await cloud.volumes.get(each)).status for each in volume_ids} == {"in-use"}
        detached = await asyncio.gather(*(ways.detach(each, server_id, within_s=60) for each in volume_ids))
        assert detached == [None] * len(volume_ids)
    finally:
        await cloud.close()
