"""The hub's own `cloud.compute` on both clouds: every call it makes, and the names it gives to refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from js2spawner.cloud import errors
from js2spawner.cloud.cloud import Cloud as OurCloud
from js2spawner.cloud.faults import fault_of
from js2spawner.cloud.records import NewServer, Server
from tests.contract.client import LOOK_EVERY_S, PATIENCE_S, server_path
from tests.contract.clouds import Cloud
from tests.contract.standing import TAGS, Standing

NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def ours(cloud: Cloud) -> AsyncIterator[OurCloud]:
    """What the hub signs in with: the application credential."""
    ours = OurCloud(cloud.entries["member"], config_file=str(cloud.clouds_yaml))
    yield ours
    await ours.close()


@pytest.fixture
def new(cloud: Cloud) -> NewServer:
    return NewServer(
        name="contract-ours",
        image_id=cloud.names.image,
        flavor_id=cloud.names.flavor,
        network_id=cloud.names.network,
        security_groups=("default",),
        metadata={"attempt": "a-1"},
        tags=("contract-ours",),
        user_data="#cloud-config\n{}\n",
        description="one of ours",
    )


async def until(ours: OurCloud, server_id: str, status: str) -> Server:
    async with asyncio.timeout(PATIENCE_S):
        while (server := await ours.compute.get_server(server_id)).status != status or server.task_state is not None:
            await asyncio.sleep(LOOK_EVERY_S)
    return server


async def until_gone(ours: OurCloud, server_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await ours.compute.get_server(server_id)
            except errors.Gone:
                return
            await asyncio.sleep(LOOK_EVERY_S)


async def test_a_server_from_create_to_gone(cloud: Cloud, ours: OurCloud, new: NewServer) -> None:
    server_id = await ours.compute.create_server(new)
    cloud.ledger.note(cloud.member, server_path(server_id))
    assert server_id in [server.id for server in await ours.compute.list_servers(tag="contract-ours")]
    server = await until(ours, server_id, "ACTIVE")
    assert server.addresses
    assert server.host_id
    assert (server.name, server.image_id, server.metadata, server.tags) == (
        new.name,
        new.image_id,
        new.metadata,
        {"contract-ours"},
    )
    assert server.flavor_name == cloud.words["<flavor>"]
    assert server.launched is not None
    assert server.launched >= server.created
    assert fault_of(server) is None
    listed = [one for one in await ours.compute.list_servers(tag="contract-ours") if one.id == server_id]
    assert listed == [server]
    await ours.compute.delete_server(server_id)
    await until_gone(ours, server_id)
    assert await ours.compute.list_servers(tag="contract-ours") == []
    with pytest.raises(errors.Gone):
        await ours.compute.delete_server(server_id)


async def test_a_port_of_our_own_is_used(cloud: Cloud, ours: OurCloud, new: NewServer) -> None:
    port = await ours.network.create_port(cloud.names.network, "contract-ours", [])
    cloud.ledger.note(cloud.member, f"/network/v2.0/ports/{port.id}")
    server_id = await ours.compute.create_server(replace(new, ports=(port.id,), security_groups=()))
    cloud.ledger.note(cloud.member, server_path(server_id))
    assert (await until(ours, server_id, "ACTIVE")).addresses == port.addresses


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image_id": NOWHERE}, errors.BadImage),
        ({"image_id": "nope"}, errors.BadImage),
        ({"flavor_id": "nope"}, errors.BadFlavor),
        ({"network_id": NOWHERE}, errors.BadNetwork),
        ({"network_id": "nope"}, errors.BadNetwork),
        ({"ports": (NOWHERE,)}, errors.BadNetwork),
        ({"security_groups": ("nope",)}, errors.BadSecurityGroup),
        ({"key_name": "nope"}, errors.BadKey),
        ({"metadata": {"k": "v" * 256}}, errors.BadRequest),
        ({"tags": ("a/b",)}, errors.BadRequest),
        ({"name": ""}, errors.BadRequest),
        ({"user_data": "x" * 50_000}, errors.BadRequest),
    ],
)
async def test_a_refused_create_gets_its_name(
    ours: OurCloud, new: NewServer, changes: dict[str, Any], kind: type[errors.CloudError]
) -> None:
    with pytest.raises(errors.CloudError) as refused:
        await ours.compute.create_server(replace(new, **changes))
    assert type(refused.value) is kind, refused.value.detail
    assert refused.value.certain


async def test_no_valid_host_is_no_capacity(ours: OurCloud, standing: Standing) -> None:
    assert isinstance(fault_of(await ours.compute.get_server(standing.failed)), errors.NoCapacity)


async def test_what_is_not_there_is_gone(ours: OurCloud) -> None:
    for call in (
        ours.compute.get_server(NOWHERE),
        ours.compute.delete_server(NOWHERE),
        ours.compute.act(NOWHERE, "os-stop"),
        ours.compute.act(NOWHERE, "shelve"),
        ours.compute.console_log(NOWHERE, lines=5),
        ours.compute.set_metadata(NOWHERE, {"k": "v"}),
        ours.compute.attachments(NOWHERE),
        ours.compute.create_image(NOWHERE, "contract-image", {}),
    ):
        with pytest.raises(errors.Gone):
            await call


async def test_another_projects_server_is_gone(cloud: Cloud, standing: Standing) -> None:
    others = OurCloud(cloud.entries["other"], config_file=str(cloud.clouds_yaml))
    try:
        assert await others.compute.list_servers(tag=TAGS[0]) == []
        with pytest.raises(errors.Gone):
            await others.compute.get_server(standing.active)
        with pytest.raises(errors.Gone):
            await others.compute.delete_server(standing.active)
    finally:
        await others.close()


async def test_metadata_is_changed(ours: OurCloud, standing: Standing) -> None:
    for value in ("w", "v"):
        await ours.compute.set_metadata(standing.active, {"k": value})
        assert (await ours.compute.get_server(standing.active)).metadata == {"k": value}


@pytest.mark.parametrize("state", ["failed", "shelved"])
async def test_metadata_of_a_server_without_a_machine_cannot_be_changed(
    ours: OurCloud, standing: Standing, state: str
) -> None:
    server_id = getattr(standing, state)
    with pytest.raises(errors.Conflict):
        await ours.compute.set_metadata(server_id, {"k": "v"})


async def test_actions_in_the_wrong_state_are_conflicts(ours: OurCloud, standing: Standing) -> None:
    for server_id, action in (
        (standing.active, "os-start"),
        (standing.active, "unshelve"),
        (standing.failed, "shelve"),
        (standing.failed, "os-stop"),
        (standing.shelved, "os-stop"),
        (standing.shelved, "shelve"),
    ):
        with pytest.raises(errors.Conflict):
            await ours.compute.act(server_id, action)


async def test_the_console_log(ours: OurCloud, standing: Standing) -> None:
    assert await ours.compute.console_log(standing.active, lines=100)
    with pytest.raises(errors.Conflict):
        await ours.compute.console_log(standing.shelved, lines=5)


async def test_flavors_and_limits(cloud: Cloud, ours: OurCloud, standing: Standing) -> None:
    flavors = {flavor.id: flavor for flavor in await ours.compute.flavors()}
    assert flavors[cloud.names.flavor].name == cloud.words["<flavor>"]
    assert not flavors[cloud.names.flavor].disabled
    limits = await ours.compute.limits()
    assert limits.instances_used >= 3
    assert limits.instances_max is None or limits.instances_max >= limits.instances_used


async def test_a_volume_is_attached_once(cloud: Cloud, ours: OurCloud, standing: Standing) -> None:
    volume = await ours.volumes.create("contract-ours", 1, {})
    cloud.ledger.note(cloud.member, f"/volume/v3/volumes/{volume.id}")
    await volume_is(ours, volume.id, "available")
    attached = await ours.compute.attach_volume(standing.active, volume.id)
    assert (attached.volume_id, attached.server_id) == (volume.id, standing.active)
    with pytest.raises(errors.Conflict):
        await ours.compute.attach_volume(standing.active, volume.id)
    await volume_is(ours, volume.id, "in-use")
    assert [held.volume_id for held in await ours.compute.attachments(standing.active)] == [volume.id]
    assert (await ours.compute.get_server(standing.active)).volumes == (volume.id,)
    with pytest.raises(errors.Conflict):
        await ours.volumes.delete(volume.id)
    await ours.compute.detach_volume(standing.active, volume.id)
    await volume_is(ours, volume.id, "available")


async def volume_is(ours: OurCloud, volume_id: str, status: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await ours.volumes.get(volume_id)).status != status:
            await asyncio.sleep(LOOK_EVERY_S)


async def test_an_image_of_a_server_has_an_id_at_once(cloud: Cloud, ours: OurCloud, standing: Standing) -> None:
    image_id = await ours.compute.create_image(standing.active, "contract-ours", {"mine": "yes"})
    cloud.ledger.note(cloud.member, f"/image/v2/images/{image_id}")
    assert (await ours.images.get(image_id)).name == "contract-ours"
    await cloud.member.settled(standing.active, "ACTIVE")
