"""What anybody's script does with openstacksdk, unmodified, and what it saw, printed as JSON.

Run as a program of its own: the cloud comes from OS_CLIENT_CONFIG_FILE and OS_CLOUD, the names of what is there from
IMAGE, FLAVOR, NETWORK and EXTERNAL. All it makes is called PREFIX-something and is gone at the end.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import openstack
from openstack import exceptions

PATIENCE_S = 240
NOWHERE = "11111111-1111-1111-1111-111111111111"
USER_DATA = base64.b64encode(b"#cloud-config\n").decode()
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ordinary"

Saw = Callable[[str, object], None]


def network_work(cloud: Any, saw: Saw, undo: ExitStack, prefix: str) -> Any:
    """A security group and what its rules become; ports, tags; returns the group."""
    group = cloud.network.create_security_group(name=f"{prefix}-group", description="ordinary")
    undo.callback(cloud.network.delete_security_group, group)
    saw("group rules at first", sorted((rule["direction"], rule["ethertype"]) for rule in group.security_group_rules))
    rule = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp", "port_range_min": 22}
    made = cloud.network.create_security_group_rule(**rule, port_range_max=22, remote_ip_prefix="192.0.2.1/32")
    saw("rule", shown(made))
    with refused(saw, "the same rule again"):
        cloud.network.create_security_group_rule(**rule, port_range_max=22, remote_ip_prefix="192.0.2.1/32")
    saw("group found by name", cloud.network.find_security_group(f"{prefix}-group").id == group.id)
    network = cloud.network.find_network(os.environ["NETWORK"])
    port = cloud.network.create_port(
        network_id=network.id, name=f"{prefix}-port", security_group_ids=[group.id], description="ordinary"
    )
    undo.callback(cloud.network.delete_port, port)
    saw("port", shown(port))
    with refused(saw, "a group in use"):
        cloud.network.delete_security_group(group, ignore_missing=False)
    cloud.network.set_tags(port, [f"{prefix}-tag"])
    saw("port found by tag", [each.id for each in cloud.network.ports(tags=f"{prefix}-tag")] == [port.id])
    return group


def compute_work(cloud: Any, saw: Saw, undo: ExitStack, prefix: str, group: Any) -> None:
    """The life of a server, with a volume for a while."""
    cloud.compute.create_keypair(name=f"{prefix}-key", public_key=KEY)
    undo.callback(cloud.compute.delete_keypair, f"{prefix}-key")
    server = cloud.compute.create_server(
        name=f"{prefix}-server",
        image_id=cloud.image.find_image(os.environ["IMAGE"]).id,
        flavor_id=cloud.compute.find_flavor(os.environ["FLAVOR"]).id,
        networks=[{"uuid": cloud.network.find_network(os.environ["NETWORK"]).id}],
        security_groups=[{"name": group.name}],
        key_name=f"{prefix}-key",
        user_data=USER_DATA,
        metadata={"owner": "alice"},
    )
    undo.callback(cloud.delete_server, server.id, wait=True, timeout=PATIENCE_S)
    saw("server accepted", server.status)
    server = cloud.compute.wait_for_server(server, interval=1, wait=PATIENCE_S)
    saw("server", shown(server))
    saw("addresses", addresses(server))
    saw("port of the server", [shown(port) for port in cloud.network.ports(device_id=server.id)])
    cloud.compute.add_tag_to_server(server, f"{prefix}-hub")
    saw("tags", list(cloud.compute.get_server(server.id).fetch_tags(cloud.compute).tags))
    saw("found by tag", [each.name for each in cloud.compute.servers(tags=f"{prefix}-hub")])
    cloud.compute.set_server_metadata(server, desk="3")
    saw("metadata", dict(cloud.compute.get_server(server.id).metadata))
    volume_work(cloud, saw, undo, prefix, server)
    saw("actions", [action.action for action in cloud.compute.server_actions(server)])
    cloud.compute.delete_server(server)
    gone(lambda: cloud.compute.find_server(server.id))
    with refused(saw, "a server that is gone"):
        cloud.compute.get_server(server.id)
    saw("ports left", [port.id for port in cloud.network.ports(device_id=server.id)])


def floating_work(cloud: Any, saw: Saw, undo: ExitStack) -> None:
    external = cloud.network.find_network(os.environ["EXTERNAL"])
    floating = cloud.network.create_ip(floating_network_id=external.id)
    undo.callback(cloud.network.delete_ip, floating)
    saw("floating address", shown(cloud.network.get_ip(floating.id)))
    cloud.network.delete_ip(floating)


def volume_work(cloud: Any, saw: Saw, undo: ExitStack, prefix: str, server: Any) -> None:
    volume = cloud.block_storage.create_volume(size=1, name=f"{prefix}-volume", metadata={"user": "alice"})
    undo.callback(cloud.block_storage.delete_volume, volume)
    volume = cloud.block_storage.wait_for_status(volume, "available", interval=1, wait=PATIENCE_S)
    saw("volume", shown(volume))
    cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    volume = cloud.block_storage.wait_for_status(volume, "in-use", interval=1, wait=PATIENCE_S)
    saw("attached to the server", [each["server_id"] == server.id for each in volume.attachments])
    with refused(saw, "delete of a volume in use"):
        cloud.block_storage.delete_volume(volume, ignore_missing=False)
    cloud.compute.delete_volume_attachment(server, volume.id)
    volume = cloud.block_storage.wait_for_status(volume, "available", interval=1, wait=PATIENCE_S)
    cloud.block_storage.delete_volume(volume)
    cloud.block_storage.wait_for_delete(volume, interval=1, wait=PATIENCE_S)


def image_work(cloud: Any, saw: Saw, undo: ExitStack, prefix: str) -> None:
    image = cloud.image.create_image(
        name=f"{prefix}-image",
        data=b"bytes of a disk",
        disk_format="raw",
        container_format="bare",
        properties={"hw_disk_bus": "scsi"},
        wait=True,
        timeout=PATIENCE_S,
    )
    undo.callback(cloud.image.delete_image, image)
    saw("image", plain(shown(cloud.image.get_image(image.id))))
    saw("image's bytes", cloud.image.download_image(image).content.decode())
    saw("image found by name", cloud.image.find_image(f"{prefix}-image").id == image.id)


def refusals(cloud: Any, saw: Saw) -> None:
    with refused(saw, "an unknown server"):
        cloud.compute.get_server(NOWHERE)
    with refused(saw, "an unknown network"):
        cloud.network.get_network(NOWHERE)
    with refused(saw, "an unknown volume"):
        cloud.block_storage.get_volume(NOWHERE)
    with refused(saw, "an unknown image"):
        cloud.image.get_image(NOWHERE)
    with refused(saw, "a flavor of one's own"):
        cloud.compute.create_flavor(name="own", ram=1, vcpus=1, disk=1)


@contextmanager
def refused(saw: Saw, what: str) -> Iterator[None]:
    """Note which error of the library's own comes, and its words."""
    try:
        yield
    except exceptions.HttpException as error:
        saw(what, {"error": type(error).__name__, "status": error.status_code, "details": error.details})
    else:
        saw(what, "no error")


def shown(resource: Any) -> dict[str, Any]:
    """A resource as the library understood it, without the parts that are about the library itself."""
    return {key: value for key, value in resource.to_dict().items() if key not in ("location", "links")}


def plain(image: dict[str, Any]) -> dict[str, Any]:
    """An image without what only Glances with several stores say."""
    return {**image, "properties": {key: value for key, value in image["properties"].items() if key != "stores"}}


def gone(find: Callable[[], Any]) -> None:
    """Wait until nothing is found; a server shows DELETED for a moment before that."""
    deadline = time.monotonic() + PATIENCE_S
    while find() is not None:
        assert time.monotonic() < deadline, "it never went away"
        time.sleep(0.2)


def addresses(server: Any) -> list[str]:
    return [each["OS-EXT-IPS:type"] for held in server.addresses.values() for each in held]


def main() -> None:
    seen: dict[str, object] = {}
    prefix = os.environ["PREFIX"]
    with openstack.connect() as cloud, ExitStack() as undo:
        saw = seen.__setitem__
        refusals(cloud, saw)
        image_work(cloud, saw, undo, prefix)
        floating_work(cloud, saw, undo)
        group = network_work(cloud, saw, undo, prefix)
        compute_work(cloud, saw, undo, prefix, group)
    json.dump(seen, sys.stdout, default=str)


if __name__ == "__main__":
    main()
