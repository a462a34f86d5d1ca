"""The hub's own sign-in, network, images and volumes on both clouds: every call, and the names of refusals."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha512
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from js2spawner.cloud import errors
from js2spawner.cloud.cloud import Cloud as OurCloud
from js2spawner.cloud.keystone import Entry, authenticate
from js2spawner.cloud.network import meaning
from js2spawner.cloud.records import NewImage, SecurityGroupRule
from js2spawner.library.properties import HARDWARE, PARTS_AT_MOST, VALUE_AT_MOST, from_parts, in_parts
from tests.contract.client import LOOK_EVERY_S, PATIENCE_S
from tests.contract.clouds import Cloud
from tests.contract.standing import Standing
from tests.contract.test_network import ready_to_allocate

NOWHERE = "11111111-1111-1111-1111-111111111111"
NOTEBOOK = SecurityGroupRule("", "ingress", "IPv4", "tcp", 8888, 8888, "192.0.2.7/8")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def ours(cloud: Cloud) -> AsyncIterator[OurCloud]:
    """What the hub signs in with: the application credential."""
    ours = OurCloud(cloud.entries["member"], config_file=str(cloud.clouds_yaml))
    yield ours
    await ours.close()


@pytest.mark.parametrize("person", ["member", "user"])
async def test_a_sign_in_gives_a_token_a_project_and_all_services(cloud: Cloud, person: str) -> None:
    entry = Entry(cloud=cloud.entries[person], file=str(cloud.clouds_yaml))
    grant = await asyncio.to_thread(authenticate, entry, timeout_s=PATIENCE_S)
    assert grant.project_id == cloud.member.project_id
    assert grant.lifetime_s >= 300
    # Shares are what not every cloud has.
    roots = cloud.member.roots
    shares = {"shared-file-system": f"{roots['share']}/v2"} if "share" in roots else {}
    assert grant.endpoints == shares | {
        "compute": f"{cloud.member.roots['compute']}/v2.1",
        "network": f"{cloud.member.roots['network']}/v2.0",
        "image": f"{cloud.member.roots['image']}/v2",
        "block-storage": f"{cloud.member.roots['volume']}/v3",
    }
    holder = replace(cloud.nobody, token=grant.token)
    assert (await holder.call("GET", "/compute/v2.1/limits")).status == 200


@pytest.mark.parametrize(
    ("changed", "error", "status"),
    [
        ({"application_credential_id": "nope"}, errors.SignInFailed, 404),
        ({"application_credential_secret": "wrong"}, errors.SignInFailed, 401),
        ({"auth_url": "http://127.0.0.1:9/v3"}, errors.Unreachable, None),
    ],
)
async def test_a_sign_in_that_fails_has_a_name(
    cloud: Cloud, tmp_path: Path, changed: dict[str, str], error: type[errors.CloudError], status: int | None
) -> None:
    with pytest.raises(error) as raised:
        await _authenticate(_changed(cloud, tmp_path, "member", **changed))
    assert raised.value.status == status


async def test_a_wrong_password_fails_the_sign_in(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(errors.SignInFailed) as raised:
        await _authenticate(_changed(cloud, tmp_path, "user", password="wrong"))
    assert raised.value.status == 401


async def test_a_token_that_was_revoked_is_renewed_once_and_the_call_made(cloud: Cloud) -> None:
    ours = OurCloud(cloud.entries["user"], config_file=str(cloud.clouds_yaml))
    try:
        grant = await ours._sign_in.grant()
        revoked = replace(cloud.nobody, token=grant.token)
        seen = await revoked.call("DELETE", "/identity/v3/auth/tokens", headers={"X-Subject-Token": grant.token})
        assert seen.status == 204
        assert await ours.network.find_network(cloud.names.network)
        assert (await ours._sign_in.grant()) is not grant
    finally:
        await ours.close()


async def test_a_hub_whose_credential_was_deleted_is_told_so(cloud: Cloud, tmp_path: Path) -> None:
    path = f"/identity/v3/users/{cloud.user.user_id}/application_credentials"
    made = (await cloud.user.call("POST", path, {"application_credential": {"name": "contract-ours"}})).body
    credential = made["application_credential"]
    entry = _changed(
        cloud,
        tmp_path,
        "member",
        application_credential_id=credential["id"],
        application_credential_secret=credential["secret"],
    )
    ours = OurCloud(entry.cloud, config_file=entry.file)
    try:
        await ours.sign_in()
        assert (await cloud.user.call("DELETE", f"{path}/{credential['id']}")).status == 204
        with pytest.raises(errors.SignInFailed):
            await ours.network.find_network(cloud.names.network)
    finally:
        await ours.close()


async def test_a_network_is_found_by_name_and_by_id(cloud: Cloud, ours: OurCloud) -> None:
    by_name = await ours.network.find_network(cloud.words["<network>"])
    assert (by_name.id, by_name.external) == (cloud.names.network, False)
    assert await ours.network.find_network(cloud.names.network) == by_name
    assert (await ours.network.find_network(cloud.names.external_network)).external
    for name in ("contract-nothing", NOWHERE):
        with pytest.raises(errors.BadNetwork):
            await ours.network.find_network(name)


async def test_two_networks_of_one_name_are_no_choice(cloud: Cloud, ours: OurCloud) -> None:
    for _ in range(2):
        await cloud.member.call("POST", "/network/v2.0/networks", {"network": {"name": "contract-twin"}})
    with pytest.raises(errors.BadNetwork, match="2 networks"):
        await ours.network.find_network("contract-twin")


async def test_a_network_is_made_at_the_asking(cloud: Cloud) -> None:
    ours = OurCloud(cloud.entries["other"], config_file=str(cloud.clouds_yaml))
    try:
        async with ready_to_allocate(cloud):
            made = await ours.network.get_me_a_network()
            assert made.name == "auto_allocated_network"
            assert await ours.network.get_me_a_network() == made
    finally:
        await ours.close()


async def test_a_port_from_create_to_gone(cloud: Cloud, ours: OurCloud) -> None:
    group = await ours.network.find_group("default")
    assert group is not None
    port = await ours.network.create_port(
        cloud.names.network, "contract-ours", [group.id], tags=["contract-b", "contract-a"], description="ours"
    )
    cloud.ledger.note(cloud.member, f"/network/v2.0/ports/{port.id}")
    assert (port.name, port.network_id, port.device_id) == ("contract-ours", cloud.names.network, "")
    assert (len(port.addresses), port.security_group_ids) == (1, (group.id,))
    assert port.tags == {"contract-a", "contract-b"}
    [found] = [each for each in await ours.network.list_ports(tag="contract-a") if each.id == port.id]
    assert found.addresses == port.addresses
    assert await ours.network.list_ports(device_id=NOWHERE) == []
    await ours.network.delete_port(port.id)
    with pytest.raises(errors.Gone):
        await ours.network.delete_port(port.id)
    with pytest.raises(errors.Gone):
        await ours.network.create_port(NOWHERE, "contract-ours", [group.id])


async def test_a_group_is_made_once_and_completed(cloud: Cloud, ours: OurCloud) -> None:
    assert await ours.network.find_group("contract-ours") is None
    made = await ours.network.ensure_group("contract-ours", "ours", [NOTEBOOK])
    cloud.ledger.note(cloud.member, f"/network/v2.0/security-groups/{made.id}")
    assert (made.name, made.description) == ("contract-ours", "ours")
    assert meaning(NOTEBOOK) in {meaning(rule) for rule in made.rules}
    again = await ours.network.ensure_group("contract-ours", "ours", [NOTEBOOK])
    assert {rule.id for rule in again.rules} == {rule.id for rule in made.rules}
    among = SecurityGroupRule("", "ingress", "IPv4", "tcp", 22, 22, None, made.id)
    more = await ours.network.ensure_group("contract-ours", "ours", [NOTEBOOK, among])
    assert len(more.rules) == len(made.rules) + 1
    await asyncio.gather(*(ours.network._create_rule(made.id, NOTEBOOK) for _ in range(2)))
    port = await ours.network.create_port(cloud.names.network, "contract-ours-group", [made.id])
    cloud.ledger.note(cloud.member, f"/network/v2.0/ports/{port.id}")
    with pytest.raises(errors.Conflict):
        await ours.network.delete_group(made.id)
    await ours.network.delete_port(port.id)
    await ours.network.delete_group(made.id)
    with pytest.raises(errors.Gone):
        await ours.network.delete_group(made.id)


async def test_the_oldest_of_two_groups_of_one_name_counts(cloud: Cloud, ours: OurCloud) -> None:
    for _ in range(2):
        body = {"security_group": {"name": "contract-ours-twin"}}
        await cloud.member.call("POST", "/network/v2.0/security-groups", body)
        await asyncio.sleep(1.1)  # Neutron's times are whole seconds
    groups = (await cloud.member.get("/network/v2.0/security-groups?name=contract-ours-twin"))["security_groups"]
    oldest = min(groups, key=lambda group: group["created_at"])
    found = await ours.network.find_group("contract-ours-twin")
    assert found is not None
    assert found.id == oldest["id"]


async def test_images_are_listed_and_one_is_shown(cloud: Cloud, ours: OurCloud) -> None:
    asked = {"name": "contract-ours", "disk_format": "raw", "container_format": "bare", "min_disk": 1, "js2": "yes"}
    made = (await cloud.member.call("POST", "/image/v2/images", asked)).body
    [found] = await ours.images.list(name="contract-ours")
    assert (found.id, found.status, found.min_disk_gb, found.size_bytes) == (made["id"], "queued", 1, 0)
    assert found.properties["js2"] == "yes"
    assert await ours.images.get(made["id"]) == found
    everything = await ours.images.list()
    assert {cloud.names.image, made["id"]} <= {image.id for image in everything}
    assert [image.created for image in everything] == sorted((image.created for image in everything), reverse=True)
    with pytest.raises(errors.Gone):
        await ours.images.get(NOWHERE)


async def test_a_long_list_of_images_is_read_page_by_page(
    cloud: Cloud, ours: OurCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        (await cloud.member.call("POST", "/image/v2/images", {"name": "contract-ours-page"})).body["id"]
        for _ in range(3)
    }
    monkeypatch.setattr("js2spawner.cloud.images.PAGE", 2)
    assert {image.id for image in await ours.images.list(name="contract-ours-page")} == made


async def test_an_image_from_create_to_gone(cloud: Cloud, ours: OurCloud, tmp_path: Path) -> None:
    new = NewImage(
        str(uuid.uuid4()),
        "contract-ours-image",
        "raw",
        min_disk_gb=1,
        min_ram_mb=64,
        properties={**HARDWARE, "js2_title": "Größe, “quoted” and long: " + "x" * 220},
        tags=("contract-ours",),
    )
    cloud.ledger.note(cloud.member, f"/image/v2/images/{new.id}")
    made = await ours.images.create(new)
    assert (made.id, made.name, made.status, made.visibility) == (new.id, new.name, "queued", "private")
    assert (made.min_disk_gb, made.min_ram_mb, made.disk_format) == (1, 64, "raw")
    assert made.owner == cloud.member.project_id == await ours.project_id()
    assert (made.os_hash_value, made.tags) == ("", {"contract-ours"})
    assert made.properties.items() >= new.properties.items()
    with pytest.raises(errors.Conflict):
        await ours.images.create(new)

    data = tmp_path / "disk.raw"
    data.write_bytes(b"0123456789abcdef" * 200_000)
    told: list[int] = []
    await ours.images.upload(new.id, data, told.append)
    assert told[-1] == data.stat().st_size
    full = await ours.images.get(new.id)
    assert (full.status, full.size_bytes) == ("active", data.stat().st_size)
    assert (full.os_hash_algo, full.os_hash_value) == ("sha512", sha512(data.read_bytes()).hexdigest())
    with pytest.raises(errors.Conflict):
        await ours.images.upload(new.id, data)

    changed = await ours.images.update(
        new.id, put={"js2_new": "1", "js2_title": "other", "min_ram": 128}, remove=["hw_disk_bus"]
    )
    assert (changed.properties["js2_new"], changed.properties["js2_title"], changed.min_ram_mb) == ("1", "other", 128)
    assert "hw_disk_bus" not in changed.properties
    with pytest.raises(errors.Conflict):
        await ours.images.update(new.id, put={"js2_new": "2"}, remove=["hw_disk_bus"])
    assert await ours.images.get(new.id) == changed

    await ours.images.delete(new.id)
    for refused in (ours.images.get(new.id), ours.images.delete(new.id), ours.images.update(new.id, put={"a": "b"})):
        with pytest.raises(errors.Gone):
            await refused
    with pytest.raises(errors.Conflict):
        # An id is never used again, so that what was signed or chosen by it cannot become something else.
        await ours.images.create(new)


async def test_images_are_found_by_what_they_say_of_themselves(cloud: Cloud, ours: OurCloud) -> None:
    for name, build in (("contract-ours-a", "b+1 ü"), ("contract-ours-b", "b2")):
        new = NewImage(
            str(uuid.uuid4()), name, "raw", properties={"js2_contract": build}, tags=("contract-ours-found",)
        )
        cloud.ledger.note(cloud.member, f"/image/v2/images/{new.id}")
        await ours.images.create(new)
    assert [image.name for image in await ours.images.list(properties={"js2_contract": "b+1 ü"})] == ["contract-ours-a"]
    assert len(await ours.images.list(properties={"tag": "contract-ours-found"})) == 2
    assert await ours.images.list(name="contract-ours-a", properties={"js2_contract": "b2"}) == []


async def test_a_library_s_list_of_software_fits_on_an_image(cloud: Cloud, ours: OurCloud) -> None:
    new = NewImage(str(uuid.uuid4()), "contract-ours-parts", "raw")
    cloud.ledger.note(cloud.member, f"/image/v2/images/{new.id}")
    await ours.images.create(new)
    packed = ("0123456789abcdef" * 2000)[: VALUE_AT_MOST * PARTS_AT_MOST]
    told = {**HARDWARE, **in_parts(packed), **{f"js2_{number}": "x" for number in range(12)}}
    assert from_parts((await ours.images.update(new.id, put=told)).properties) == packed


async def test_nobody_publishes_for_everybody_without_being_allowed_to(cloud: Cloud, ours: OurCloud) -> None:
    with pytest.raises(errors.Forbidden):
        await ours.images.create(NewImage(str(uuid.uuid4()), "contract-ours-public", "raw", visibility="public"))


async def test_an_upload_that_breaks_off_leaves_an_image_without_data(
    cloud: Cloud, ours: OurCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewImage(str(uuid.uuid4()), "contract-ours-broken", "raw")
    cloud.ledger.note(cloud.member, f"/image/v2/images/{new.id}")
    await ours.images.create(new)
    data = tmp_path / "disk.raw"
    data.write_bytes(bytes(4 * 2**20))
    monkeypatch.setattr("js2spawner.cloud.images._size", lambda _: 5 * 2**20)
    with pytest.raises(errors.CloudError):
        await ours.images.upload(new.id, data, stall_s=2.0)
    async with asyncio.timeout(PATIENCE_S):
        while (left := await ours.images.get(new.id)).status == "saving":
            await asyncio.sleep(LOOK_EVERY_S)
    assert left.status in ("queued", "killed")
    assert left.os_hash_value == ""
    await ours.images.delete(new.id)


async def test_the_servers_of_an_image_are_found(cloud: Cloud, ours: OurCloud, standing: Standing) -> None:
    found = await ours.compute.servers_of_image(cloud.names.image)
    assert standing.active in {server.id for server in found}
    assert {server.image_id for server in found} == {cloud.names.image}
    assert await ours.compute.servers_of_image(NOWHERE) == []


async def test_a_volume_from_create_to_gone(cloud: Cloud, ours: OurCloud) -> None:
    made = await ours.volumes.create("contract-ours", 1, {"user": "alice", "contract": "ours"})
    path = f"/volume/v3/volumes/{made.id}"
    cloud.ledger.note(cloud.member, path)
    assert (made.name, made.size_gb, made.metadata) == ("contract-ours", 1, {"user": "alice", "contract": "ours"})
    await _until(ours, made.id, "available")
    assert [each.id for each in await ours.volumes.list({"contract": "ours", "user": "alice"})] == [made.id]
    assert await ours.volumes.list({"contract": "ours", "user": "bob"}) == []
    assert made.id in [each.id for each in await ours.volumes.list()]
    await ours.volumes.set_metadata(made.id, {"user": "bob"})
    assert (await ours.volumes.get(made.id)).metadata == {"user": "bob", "contract": "ours"}
    with pytest.raises(errors.BadRequest):
        await ours.volumes.extend(made.id, 1)
    await ours.volumes.extend(made.id, 2)
    await _until(ours, made.id, "available")
    assert (await ours.volumes.get(made.id)).size_gb == 2
    await ours.volumes.delete(made.id)
    await cloud.member.gone(path)
    for refused in (ours.volumes.get(made.id), ours.volumes.delete(made.id), ours.volumes.extend(made.id, 3)):
        with pytest.raises(errors.Gone):
            await refused


async def test_a_volume_over_the_quota_is_a_quota_and_no_throttling(cloud: Cloud) -> None:
    """Cinder says 413 with Retry-After for it, as services do that want less."""
    ours = OurCloud(cloud.entries["other"], config_file=str(cloud.clouds_yaml))
    try:
        with pytest.raises(errors.QuotaExceeded) as raised:
            await ours.volumes.create("contract-ours-quota", 1_000_000, {})
        assert raised.value.quota == "gigabytes"
    finally:
        await ours.close()


async def _until(ours: OurCloud, volume_id: str, status: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await ours.volumes.get(volume_id)).status != status:
            await asyncio.sleep(LOOK_EVERY_S)


async def _authenticate(entry: Entry) -> None:
    await asyncio.to_thread(authenticate, entry, timeout_s=PATIENCE_S)


def _changed(cloud: Cloud, folder: Path, person: str, **auth: str) -> Entry:
    """A clouds.yaml with a person's entry, changed."""
    entry = cloud.entry(person)
    clouds_yaml = folder / "clouds.yaml"
    clouds_yaml.write_text(yaml.safe_dump({"clouds": {"changed": {**entry, "auth": {**entry["auth"], **auth}}}}))
    return Entry(cloud="changed", file=str(clouds_yaml))
