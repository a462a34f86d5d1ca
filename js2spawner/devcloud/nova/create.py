"""POST /servers: everything that is checked before a server is accepted, and the record it becomes.

The order and the texts of the refusals are those recorded from Nova 34. What it does not check (user_data that is not
base64), this accepts too.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.calls import Answer, Call
from js2spawner.devcloud.cinder.attaching import reserve, volume_in
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.neutron.groups import default_group, find_group
from js2spawner.devcloud.neutron.networks import auto_network, usable
from js2spawner.devcloud.nova.found import admin_only
from js2spawner.devcloud.nova.quota import check_room
from js2spawner.devcloud.nova.schema import check_create
from js2spawner.devcloud.nova.view import links
from js2spawner.devcloud.records import (
    AttachedVolume,
    Behaviour,
    Flavor,
    Image,
    Keypair,
    Network,
    Operation,
    Port,
    Server,
    Volume,
    WantedInterface,
)

ZONE = "nova"
_MOST_AT_ONCE = 100


async def create(call: Call) -> Answer:
    asked = call.member("server")
    check_create(asked, call.version.minor)
    if asked.get("host") or asked.get("hypervisor_hostname"):
        admin_only(call, "compute:servers:create:requested_destination")
    flavor = flavor_of(call.cloud, asked["flavorRef"])
    image_id, volumes = _boot_source(call, asked)
    _check_size(call.cloud, flavor, image_id)
    _check_key(call, asked.get("key_name"))
    if asked.get("availability_zone") not in (None, ZONE):
        raise Refusal(400, "The requested availability zone is not available")
    wanted = _wanted_interfaces(call, asked)
    names = _group_names(call, asked)
    count = _count(asked)
    check_room(call.cloud, call.project_id, flavor, count)
    _check_port_quota(call, wanted, count)
    _check_metadata_quota(call, asked.get("metadata") or {})
    plain = _record(call, asked, flavor, image_id)
    servers = []
    for number in range(count):
        name = plain.name if count == 1 else f"{plain.name}-{number + 1}"
        server = replace(
            plain,
            id=new_id(),
            number=_next_number(call.cloud),
            name=name,
            hostname=_hostname(str(asked.get("hostname") or name)),
            wanted=wanted,
            group_names=names,
            volumes=volumes,
        )
        operation = Operation(call.request_id, "create")
        servers.append(call.cloud.life.begin(server, operation, action="create", user_id=call.caller.user.id))
        for attached in volumes:
            reserve(call.cloud, attached.volume_id, server.id, attached)
    return _accepted(call, servers[0], asked)


def flavor_of(cloud: DevCloud, reference: object) -> Flavor:
    """The flavor a request means, by id. 400 when there is none."""
    text = str(reference).rsplit("/", 1)[-1]
    flavor = next((known for known in cloud.flavors.values() if known.id == text), None)
    if flavor is None:
        raise Refusal(400, f"Flavor {text} could not be found.")
    return flavor


def image_of(call: Call, reference: object) -> Image:
    """The image a request means, by id; somebody else's private one does not exist."""
    key = str(reference).rsplit("/", 1)[-1]
    image = call.cloud.store.get(Image, key)
    seen = image is not None and (image.visibility in ("public", "community") or image.owner == call.project_id)
    if image is None or not seen:
        raise Refusal(400, "Can not find requested image")
    if image.status != "active":
        raise Refusal(400, f"Image {key} is not active.")
    return image


def _record(call: Call, asked: dict[str, Any], flavor: Flavor, image_id: str) -> Server:
    now = call.cloud.clock.now()
    return Server(
        id="",
        number=0,
        project_id=call.project_id,
        user_id=call.caller.user.id,
        name=str(asked["name"]),
        hostname="",
        flavor=flavor,
        image_id=image_id,
        created=now,
        updated=now,
        reservation_id=f"r-{secrets.token_hex(4)}",
        description=asked.get("description"),
        key_name=asked.get("key_name"),
        user_data=asked.get("user_data"),
        metadata=dict(asked.get("metadata") or {}),
        tags=tuple(dict.fromkeys(asked.get("tags") or ())),
        zone=asked.get("availability_zone"),
        config_drive=str(asked.get("config_drive", "")).lower() in ("true", "1", "yes"),
        boot_volume=not asked.get("imageRef"),
        behaviour=call.behaviour or Behaviour(),
    )


def _accepted(call: Call, server: Server, asked: dict[str, Any]) -> Answer:
    location = f"{call.cloud.settings.url}/compute/v2.1/servers/{server.id}"
    if asked.get("return_reservation_id"):
        return Answer({"reservation_id": server.reservation_id}, 202)
    view = {
        "id": server.id,
        "links": links(call.cloud, server.id),
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [{"name": name} for name in server.group_names or ("default",)],
        "adminPass": asked.get("adminPass") or secrets.token_urlsafe(9),
    }
    return Answer({"server": view}, 202, {"Location": location})


def _boot_source(call: Call, asked: dict[str, Any]) -> tuple[str, tuple[AttachedVolume, ...]]:
    """The image a server starts from, and the volumes it gets: its boot volume (from an image) and further ones."""
    image_id = image_of(call, asked["imageRef"]).id if asked.get("imageRef") else ""
    volumes = []
    for number, device in enumerate(asked.get("block_device_mapping_v2") or ()):
        if device.get("source_type") == "image":
            image_id = image_of(call, device.get("uuid")).id
            if device.get("destination_type") != "volume":
                continue
            volume_id = _boot_volume(call, device).id
        else:
            volume_id = _existing_volume(call, device).id
        name = f"/dev/sd{'abcdefghijklmnopqrstuvwxyz'[number if not asked.get('imageRef') else number + 1]}"
        ends = bool(device.get("delete_on_termination"))
        volumes.append(AttachedVolume(volume_id, name, new_id(), new_id(), ends, device.get("tag")))
    if not image_id and not volumes and not asked.get("block_device_mapping_v2"):
        raise Refusal(400, "Missing imageRef attribute")
    if not image_id and not volumes:
        raise Refusal(400, "Block Device Mapping is Invalid: You specified more local devices than the limit allows")
    return image_id, tuple(volumes)


def _boot_volume(call: Call, device: dict[str, Any]) -> Volume:
    now = call.cloud.clock.now()
    size = int(device.get("volume_size") or 1)
    user_id = call.caller.user.id
    volume = Volume(new_id(), call.project_id, user_id, "", "", size, "in-use", ZONE, now, now, bootable=True)
    return call.cloud.store.put(volume)


def _existing_volume(call: Call, device: dict[str, Any]) -> Volume:
    key = str(device.get("uuid") or device.get("volume_id"))
    volume = volume_in(call.cloud, call.project_id, key)
    if volume is None:
        raise Refusal(400, f"Block Device Mapping is Invalid: failed to get volume {key}.")
    if volume.status != "available":
        text = f"Volume {key} status must be available or downloading to reserve, but the current status is"
        raise Refusal(
            400,
            f"Invalid volume: Invalid input received: Invalid volume: {text} {volume.status}. (HTTP 400) "
            f"(Request-ID: {call.request_id})",
        )
    return volume


def _check_size(cloud: DevCloud, flavor: Flavor, image_id: str) -> None:
    image = cloud.store.get(Image, image_id)
    if image is None:
        return
    if flavor.ram_mb < image.min_ram_mb:
        raise Refusal(400, "Flavor's memory is too small for requested image.")
    if flavor.disk_gb < image.min_disk_gb:
        wanted, has = image.min_disk_gb * 2**30, flavor.disk_gb * 2**30
        text = f"Flavor's disk is too small for requested image. Flavor disk is {has} bytes, image is {wanted} bytes."
        raise Refusal(400, text)


def _check_key(call: Call, name: object) -> None:
    if name is not None and call.cloud.store.get(Keypair, f"{call.caller.user.id}/{name}") is None:
        raise Refusal(400, "Invalid key_name provided.")


def _wanted_interfaces(call: Call, asked: dict[str, Any]) -> tuple[WantedInterface, ...]:
    networks = asked.get("networks", "auto")
    if networks == "none":
        return ()
    if networks == "auto" or not networks:
        return (WantedInterface(_only_network(call).id),)
    return tuple(_wanted(call, each) for each in networks)


def _only_network(call: Call) -> Network:
    """`auto` takes the project's only network, or gets it one."""
    auto = auto_network(call.cloud, call.project_id)
    own = [known for known in call.cloud.store.all(Network) if known.project_id == call.project_id]
    if len([known for known in own if not known.external]) > 1 and not call.at_least(37):
        raise Refusal(409, "Multiple possible networks found, use a Network ID to be more specific.")
    return auto


def _wanted(call: Call, asked: dict[str, Any]) -> WantedInterface:
    if asked.get("port"):
        port = call.cloud.store.get(Port, str(asked["port"]))
        if port is None or port.project_id != call.project_id:
            raise Refusal(400, f"Port id {asked['port']} could not be found.")
        if port.device_id:
            raise Refusal(409, f"Port {port.id} is still in use.")
        return WantedInterface(port.network_id, port.id)
    key = str(asked.get("uuid"))
    if usable(call.cloud, call.project_id, key) is None:
        raise Refusal(400, f"Network {key} could not be found.")
    return WantedInterface(key, "", str(asked.get("fixed_ip") or ""))


def _group_names(call: Call, asked: dict[str, Any]) -> tuple[str, ...]:
    names = []
    for each in asked.get("security_groups") or ():
        name = str(each.get("name"))
        group = find_group(call.cloud, call.project_id, name)
        if group is None and name != "default":
            raise Refusal(400, f"Unable to find security_group with name or id '{name}'")
        names.append((group or default_group(call.cloud, call.project_id)).name)
    return tuple(names) or (default_group(call.cloud, call.project_id).name,)


def _count(asked: dict[str, Any]) -> int:
    least, most = int(asked.get("min_count") or 1), int(asked.get("max_count") or asked.get("min_count") or 1)
    if not 1 <= least <= most <= _MOST_AT_ONCE:
        raise Refusal(400, "min_count must be <= max_count")
    return most


def _check_port_quota(call: Call, wanted: tuple[WantedInterface, ...], count: int) -> None:
    new = sum(1 for each in wanted if not each.port_id) * count
    held = sum(1 for port in call.cloud.store.all(Port) if port.project_id == call.project_id)
    # Ports of servers that have not reached networking yet are promised already.
    promised = sum(
        sum(1 for each in server.wanted if not each.port_id)
        for server in call.cloud.servers(call.project_id)
        if server.operation and server.operation.plan == "create" and server.operation.step < 3
    )
    if call.cloud.over(call.project_id, "network.port", held + promised + new):
        raise Refusal(403, "Maximum number of ports exceeded")


def _check_metadata_quota(call: Call, metadata: dict[str, str]) -> None:
    limit = call.cloud.limit(call.project_id, "compute.metadata_items")
    if limit >= 0 and len(metadata) > limit:
        raise Refusal(403, f"Maximum number of metadata items exceeds {limit}")


def _next_number(cloud: DevCloud) -> int:
    return 1 + max((server.number for server in cloud.store.all(Server)), default=0)


def _hostname(name: str) -> str:
    label = re.sub(r"[^a-z0-9-]+", "-", name.lower().replace("_", "-")).strip("-")
    return label[:63] or "server"
