from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from js2spawner.cloud import errors
from js2spawner.cloud.caller import Caller
from js2spawner.cloud.compute import MICROVERSION, Compute, create_body, fixed_addresses, server_from_json
from js2spawner.cloud.records import Flavor, Limits, NewServer, VolumeAttachment

from .stand_in import ID, StandIn, recorded

SERVERS = "/compute/v2.1/servers"
NEW = NewServer(
    name="js2-alice",
    image_id="image-1",
    flavor_id="flavor-1",
    network_id="network-1",
    security_groups=("group-1",),
    metadata={"js2_attempt": "a1"},
    tags=("js2-hub-1",),
    user_data="#cloud-config\n{}",
)


@pytest.fixture
def compute(caller: Caller) -> Compute:
    return Compute(caller)


async def test_a_create_sends_what_was_asked_for_and_answers_with_the_id(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", SERVERS, recorded("create-accepted"), status=202)
    assert await compute.create_server(NEW) == ID
    sent = stand_in.seen[0].body["server"]
    assert base64.b64decode(sent.pop("user_data")) == b"#cloud-config\n{}"
    assert sent == {
        "name": "js2-alice",
        "imageRef": "image-1",
        "flavorRef": "flavor-1",
        "networks": [{"uuid": "network-1"}],
        "security_groups": [{"name": "group-1"}],
        "metadata": {"js2_attempt": "a1"},
        "tags": ["js2-hub-1"],
        "config_drive": False,
    }


async def test_every_call_names_the_one_microversion(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("GET", "/compute/v2.1/limits", recorded("limits-2.61"))
    await compute.limits()
    assert stand_in.seen[0].headers["OpenStack-API-Version"] == f"compute {MICROVERSION}"


def test_ports_win_over_the_network() -> None:
    new = replace(NEW, ports=("port-1", "port-2"))
    assert create_body(new)["server"]["networks"] == [{"port": "port-1"}, {"port": "port-2"}]


def test_without_network_and_ports_nova_finds_one() -> None:
    assert create_body(replace(NEW, network_id=None))["server"]["networks"] == "auto"


async def test_user_data_that_nova_would_refuse_is_refused_before_it_is_sent(
    compute: Compute, stand_in: StandIn
) -> None:
    longest = "x" * (65535 // 4 * 3)
    create_body(replace(NEW, user_data=longest))
    with pytest.raises(errors.BadRequest) as caught:
        await compute.create_server(replace(NEW, user_data=longest + "xyz"))
    assert "65535" in caught.value.detail
    assert stand_in.seen == []


async def test_a_create_whose_answer_cannot_be_read_may_have_worked(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", SERVERS, {"unexpected": True}, status=202)
    with pytest.raises(errors.BadAnswer) as caught:
        await compute.create_server(NEW)
    assert not caught.value.certain


async def test_a_recorded_server_is_read(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("GET", f"{SERVERS}/e977", recorded("server-2.61"))
    server = await compute.get_server("e977")
    assert server.id == ID
    assert (server.status, server.task_state, server.vm_state, server.power_state) == ("ACTIVE", None, "active", 1)
    assert server.addresses == ("10.77.0.12",)
    assert server.image_id == ID
    assert server.flavor_name == "m3.tiny"
    assert server.metadata == {"k": "v"}
    assert server.tags == {"hub-1", "js2"}
    assert server.created == datetime(2026, 11, 22, 16, 44, 37, tzinfo=UTC)
    assert server.launched == datetime(2026, 11, 22, 16, 44, 37, tzinfo=UTC)
    assert server.fault is None
    assert server.host_id
    assert not server.locked


def test_a_floating_address_is_not_an_address_of_the_server() -> None:
    server = recorded("server-2.61")["server"]
    for entries in server["addresses"].values():
        entries.append({**entries[0], "addr": "198.51.100.23", "OS-EXT-IPS:type": "floating"})
    assert server_from_json(server).addresses == ("10.77.0.12",)


def test_a_server_that_boots_from_a_volume_has_no_image() -> None:
    server = server_from_json(recorded("server-from-volume")["server"])
    assert server.image_id == ""
    assert server.volumes == (ID,)


def test_a_server_without_a_host_keeps_its_fault() -> None:
    server = server_from_json(recorded("server-failed")["server"])
    assert server.fault is not None
    assert (server.fault.code, server.fault.message) == (500, "No valid host was found.")
    assert server.host_id == ""


def test_only_ipv4_addresses_count() -> None:
    both = {"net": [{"version": 6, "addr": "fd00::1"}, {"version": 4, "addr": "10.0.0.9"}]}
    assert fixed_addresses(both) == ("10.0.0.9",)


async def test_servers_are_listed_by_tag_across_pages(compute: Compute, stand_in: StandIn) -> None:
    server = recorded("server-2.61")["server"]
    first = {"servers": [server], "servers_links": recorded("list-page")["servers_links"]}
    second = {"servers": [{**server, "id": "second"}]}
    stand_in.on("GET", f"{SERVERS}/detail", first, second)
    found = await compute.list_servers(tag="js2-hub-1")
    assert [server.id for server in found] == [server["id"], "second"]
    assert [seen.query["tags"] for seen in stand_in.seen] == ["js2-hub-1", "js2-hub-1"]
    assert stand_in.seen[1].query["marker"] == server["id"]


async def test_one_unreadable_server_spoils_the_list_instead_of_looking_gone(
    compute: Compute, stand_in: StandIn
) -> None:
    server = recorded("server-2.61")["server"]
    stand_in.on("GET", f"{SERVERS}/detail", {"servers": [server, {**server, "created": "yesterday"}]})
    with pytest.raises(errors.BadAnswer, match="server"):
        await compute.list_servers(tag="js2-hub-1")


async def test_a_server_that_changed_since_the_list_before_is_seen_as_it_is_now(
    compute: Compute, stand_in: StandIn
) -> None:
    server = recorded("server-2.61")["server"]
    stopped = {**server, "status": "SHUTOFF"}
    stand_in.on("GET", f"{SERVERS}/detail", {"servers": [server]}, {"servers": [server]}, {"servers": [stopped]})
    seen = [await compute.list_servers(tag="js2-hub-1") for _ in range(3)]
    assert [[server.status for server in servers] for servers in seen] == [["ACTIVE"], ["ACTIVE"], ["SHUTOFF"]]


async def test_a_server_that_is_not_there_is_gone(compute: Compute, stand_in: StandIn) -> None:
    gone = {"itemNotFound": {"code": 404, "message": "Instance x could not be found."}}
    stand_in.on("GET", f"{SERVERS}/x", gone, status=404)
    stand_in.on("DELETE", f"{SERVERS}/x", gone, status=404)
    with pytest.raises(errors.Gone):
        await compute.get_server("x")
    with pytest.raises(errors.Gone):
        await compute.delete_server("x")


async def test_a_delete_is_accepted_without_a_body(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("DELETE", f"{SERVERS}/x", "", status=204)
    await compute.delete_server("x")
    assert len(stand_in.seen) == 1


async def test_an_empty_id_never_reaches_the_cloud(compute: Compute, stand_in: StandIn) -> None:
    with pytest.raises(errors.BadRequest):
        await compute.delete_server("")
    assert stand_in.seen == []


async def test_metadata_is_added_to(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SERVERS}/x/metadata", {"metadata": {}})
    await compute.set_metadata("x", {"new": "1"})
    assert stand_in.seen[0].body == {"metadata": {"new": "1"}}


async def test_the_console_log_is_asked_for_by_lines(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SERVERS}/x/action", {"output": "FAKE CONSOLE OUTPUT\nLAST LINE"})
    assert await compute.console_log("x", lines=5) == "FAKE CONSOLE OUTPUT\nLAST LINE"
    assert stand_in.seen[0].body == {"os-getConsoleOutput": {"length": 5}}


async def test_an_action_goes_by_novas_own_name(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SERVERS}/x/action", "", status=202)
    await compute.act("x", "shelve")
    await compute.act("x", "reboot", {"type": "HARD"})
    assert [seen.body for seen in stand_in.seen] == [{"shelve": None}, {"reboot": {"type": "HARD"}}]


async def test_a_snapshot_answers_with_the_images_id(compute: Compute, stand_in: StandIn) -> None:
    stand_in.on("POST", f"{SERVERS}/x/action", {"image_id": "image-9"}, status=202)
    assert await compute.create_image("x", "snap", {"k": "v"}) == "image-9"


async def test_flavors_come_with_their_extra_specs(compute: Compute, stand_in: StandIn) -> None:
    flavors = recorded("flavors-detail-2.61")
    flavors["flavors"][0]["extra_specs"] = {"resources:VGPU": "1"}
    stand_in.on("GET", "/compute/v2.1/flavors/detail", flavors)
    first, *_ = await compute.flavors()
    shown = flavors["flavors"][0]
    assert first == Flavor(
        id=ID,
        name=shown["name"],
        vcpus=shown["vcpus"],
        ram_mb=shown["ram"],
        disk_gb=shown["disk"],
        extra_specs={"resources:VGPU": "1"},
    )


async def test_minus_one_means_no_limit(compute: Compute, stand_in: StandIn) -> None:
    limits = recorded("limits-2.61")
    used = {"totalInstancesUsed": 1, "totalCoresUsed": 2, "totalRAMUsed": 3}
    limits["limits"]["absolute"] |= {"maxTotalInstances": 25, "maxTotalCores": -1, "maxTotalRAMSize": -1, **used}
    stand_in.on("GET", "/compute/v2.1/limits", limits)
    assert await compute.limits() == Limits(1, 25, 2, None, 3, None)


async def test_volumes_are_attached_listed_and_detached(compute: Compute, stand_in: StandIn) -> None:
    where = f"{SERVERS}/d05e/os-volume_attachments"
    stand_in.on("POST", where, recorded("attach"))
    stand_in.on("GET", where, recorded("attachments-2.61"))
    stand_in.on("DELETE", f"{where}/13bb", "", status=202)
    attached = VolumeAttachment(ID, ID, "/dev/sdb")
    assert await compute.attach_volume("d05e", "13bb") == attached
    assert await compute.attachments("d05e") == [attached]
    await compute.detach_volume("d05e", "13bb")
    assert stand_in.seen[0].body == {"volumeAttachment": {"volumeId": "13bb"}}


def test_user_data_is_in_no_repr() -> None:
    assert "cloud-config" not in repr(NEW)


async def test_the_servers_of_an_image_are_those_whatever_the_service_makes_of_the_question(
    compute: Compute, stand_in: StandIn
) -> None:
    stand_in.on("GET", f"{SERVERS}/detail", {"servers": [recorded("server-2.61")["server"]]})
    image_id = recorded("server-2.61")["server"]["image"]["id"]
    assert [server.id for server in await compute.servers_of_image(image_id)] == [ID]
    assert await compute.servers_of_image("another") == []
    assert stand_in.seen[-1].query["image"] == "another"
