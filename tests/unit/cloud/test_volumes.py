from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.volumes import Volumes

from .stand_in import ID, StandIn, recorded

VOLUMES = "/volume/v3/volumes"


@pytest.fixture
def volumes(caller: Caller) -> Volumes:
    return Volumes(caller)


async def test_a_recorded_volume_is_read(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{VOLUMES}/13bb", recorded("attached-volume"))
    volume = await volumes.get("13bb")
    assert (volume.name, volume.status, volume.size_gb) == ("contract-volume", "in-use", 1)
    assert volume.attached_to == (ID,)
    assert volume.created == datetime(2026, 11, 22, 16, 44, 37, tzinfo=UTC)


async def test_a_volume_is_made_with_its_metadata(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("POST", VOLUMES, recorded("attached-volume"), status=202)
    await volumes.create("home-alice", 10, {"js2_user": "alice"})
    assert stand_in.seen[0].body == {"volume": {"name": "home-alice", "size": 10, "metadata": {"js2_user": "alice"}}}


async def test_a_filter_that_cinder_ignores_is_applied_here(volumes: Volumes, stand_in: StandIn) -> None:
    plain = recorded("attached-volume")["volume"]
    ours = {**plain, "id": "ours", "metadata": {"js2_hub": "h", "js2_user": "alice"}}
    stand_in.on("GET", f"{VOLUMES}/detail", {"volumes": [plain, ours]})
    assert [volume.id for volume in await volumes.list({"js2_hub": "h"})] == ["ours"]
    assert json.loads(stand_in.seen[0].query["metadata"]) == {"js2_hub": "h"}


async def test_without_a_filter_all_volumes_are_listed(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{VOLUMES}/detail", {"volumes": [recorded("attached-volume")["volume"]]})
    assert len(await volumes.list()) == 1


async def test_a_volume_in_use_is_not_deleted(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("DELETE", f"{VOLUMES}/v", recorded("attached-volume-delete"), status=400)
    with pytest.raises(errors.Conflict):
        await volumes.delete("v")


async def test_a_volume_grows_and_is_labelled(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{VOLUMES}/v/action", "", status=202)
    stand_in.on("POST", f"{VOLUMES}/v/metadata", {"metadata": {}})
    await volumes.extend("v", 20)
    await volumes.set_metadata("v", {"k": "1"})
    assert [seen.body for seen in stand_in.seen] == [{"os-extend": {"new_size": 20}}, {"metadata": {"k": "1"}}]


async def test_a_volume_that_is_attached_grows_with_the_version_that_allows_it(
    volumes: Volumes, stand_in: StandIn
) -> None:
    stand_in.on("POST", f"{VOLUMES}/v/action", "", status=202)
    await volumes.extend("v", 20, attached=True)
    assert stand_in.seen[0].headers["OpenStack-API-Version"] == "volume 3.42"


async def test_a_volume_is_made_from_a_snapshot_with_the_type_that_is_wanted(
    volumes: Volumes, stand_in: StandIn
) -> None:
    stand_in.on("POST", VOLUMES, recorded("volume-from-snapshot"), status=202)
    await volumes.create("home", 1, {}, volume_type="fast", snapshot_id="s")
    asked = stand_in.seen[0].body["volume"]
    assert (asked["volume_type"], asked["snapshot_id"]) == ("fast", "s")


async def test_an_attached_volume_is_copied_by_force(volumes: Volumes, stand_in: StandIn) -> None:
    stand_in.on("POST", "/volume/v3/snapshots", recorded("snapshot-made"), status=202)
    snapshot = await volumes.create_snapshot("v", "home", {"js2_hub": "h"})
    assert snapshot.status == "creating"
    assert stand_in.seen[0].body["snapshot"]["force"] is True


async def test_removing_metadata_that_is_not_there_is_no_error_but_a_lost_volume_is(
    volumes: Volumes, stand_in: StandIn
) -> None:
    stand_in.on("DELETE", f"{VOLUMES}/v/metadata/k", recorded("volume-metadata-gone"), status=404)
    await volumes.delete_metadata("v", "k")
    stand_in.on("DELETE", f"{VOLUMES}/v/metadata/k", recorded("volume-gone"), status=404)
    with pytest.raises(errors.Gone):
        await volumes.delete_metadata("v", "k")


async def test_who_is_about_to_have_a_volume_is_told_and_can_be_forgotten(volumes: Volumes, stand_in: StandIn) -> None:
    held = {"id": "a1", "status": "reserved", "instance": "server-1", "volume_id": "v"}
    other = {"id": "a2", "status": "attached", "instance": None, "volume_id": "w"}
    stand_in.on("GET", "/volume/v3/attachments", {"attachments": [held, other]})
    stand_in.on("DELETE", "/volume/v3/attachments/a1", {"attachments": []})
    (hold,) = await volumes.holds("v")
    assert (hold.id, hold.server_id, hold.status) == ("a1", "server-1", "reserved")
    await volumes.drop_hold(hold.id)
    assert {seen.headers["OpenStack-API-Version"] for seen in stand_in.seen} == {"volume 3.27"}


async def test_a_hold_that_nova_stands_by_is_not_forgotten(volumes: Volumes, stand_in: StandIn) -> None:
    # Cinder's own words (exception.ConflictNovaUsingAttachment).
    words = "Detach volume from instance server-1 using the Compute API"
    stand_in.on("DELETE", "/volume/v3/attachments/a1", {"conflict": {"code": 409, "message": words}}, status=409)
    with pytest.raises(errors.Conflict):
        await volumes.drop_hold("a1")


async def test_limits_are_read_and_minus_one_is_none(volumes: Volumes, stand_in: StandIn) -> None:
    answer = recorded("volume-limits")
    answer["limits"]["absolute"]["maxTotalSnapshots"] = -1
    stand_in.on("GET", "/volume/v3/limits", answer)
    limits = await volumes.limits()
    assert (limits.volumes_max, limits.gigabytes_max, limits.snapshots_max) == (10, 1000, None)
