"""From a server's record to the machine it is, and what is asked of the hypervisor for it."""

from __future__ import annotations

import base64
import binascii
import logging

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.manila.exports import exports_of
from js2spawner.devcloud.neutron.groups import ingress
from js2spawner.devcloud.neutron.ports import ports_of
from js2spawner.devcloud.records import Flavor, Keypair, Port, Server

log = logging.getLogger(__name__)

GPU_SPEC = "devcloud:gpu"


def spec_of(cloud: DevCloud, server: Server) -> MachineSpec:
    """What a server's machine is made from."""
    ports = ports_of(cloud, server.id)
    key = cloud.store.get(Keypair, f"{server.user_id}/{server.key_name}") if server.key_name else None
    bent = server.behaviour.boot_seconds
    return MachineSpec(
        server_id=server.id,
        name=server.name,
        address=ports[0].address if ports else "",
        mac=ports[0].mac if ports else "",
        project_id=server.project_id,
        image_id=server.shelved_image_id or server.image_id,
        flavor_name=server.flavor.name,
        vcpus=server.flavor.vcpus,
        ram_mb=server.flavor.ram_mb,
        user_data=_decoded(server.user_data),
        metadata=server.metadata,
        key=key.public_key if key else None,
        config_drive=server.config_drive,
        volumes=tuple(volume.volume_id for volume in server.volumes),
        boot_seconds=cloud.settings.boot_seconds if bent is None else bent,
        guest_dead=server.behaviour.guest_dead,
        gpu=gpu_of(server.flavor),
        card=cloud.cards.get(server.host or "", "sound"),
    )


def gpu_of(flavor: Flavor) -> str | None:
    return flavor.extra_specs.get(GPU_SPEC)


def spec_at(cloud: DevCloud, address: str) -> MachineSpec | None:
    """The instance that has this address, for the metadata service."""
    for port in cloud.store.all(Port):
        if port.address == address and port.device_id:
            server = cloud.store.get(Server, port.device_id)
            if server is not None:
                return spec_of(cloud, server)
    return None


async def power_on(cloud: DevCloud, server: Server) -> None:
    await enforce(cloud, server.id)
    await cloud.hypervisor.export(server.id, exports_of(cloud, server.id))
    await cloud.hypervisor.boot(spec_of(cloud, server))


async def bring_up_to_date(cloud: DevCloud, server: Server) -> None:
    """What a machine that ran on without us has missed."""
    await enforce(cloud, server.id)
    for attached in server.volumes:
        try:
            await cloud.hypervisor.attach(server.id, attached.volume_id)
        except Exception:
            log.exception("instance %s: volume %s cannot be attached again", server.id, attached.volume_id)
    await cloud.hypervisor.export(server.id, exports_of(cloud, server.id))


async def enforce(cloud: DevCloud, server_id: str) -> None:
    """Tell the hypervisor what the server's security groups let in now."""
    group_ids = tuple(group_id for port in ports_of(cloud, server_id) for group_id in port.group_ids)
    await cloud.hypervisor.enforce(server_id, ingress(cloud, group_ids))


async def power_off(cloud: DevCloud, server: Server) -> None:
    await cloud.hypervisor.power_off(server.id)


async def reboot(cloud: DevCloud, server: Server) -> None:
    hard = server.operation is not None and server.operation.arguments.get("type") == "HARD"
    if cloud.hypervisor.running(server.id):
        await cloud.hypervisor.reboot(server.id, hard=hard)
    else:
        await power_on(cloud, server)


async def destroy(cloud: DevCloud, server: Server) -> None:
    await cloud.hypervisor.destroy(server.id)


async def rebuild(cloud: DevCloud, server: Server) -> None:
    await cloud.hypervisor.destroy(server.id)
    await power_on(cloud, server)


async def change_size(cloud: DevCloud, server: Server) -> None:
    await cloud.hypervisor.power_off(server.id)
    await power_on(cloud, server)


async def snapshot(cloud: DevCloud, server: Server) -> None:
    if server.operation is not None:
        await cloud.hypervisor.snapshot(server.id, server.operation.arguments["image_id"])


def _decoded(user_data: str | None) -> bytes:
    """Nova accepts what is not base64 and hands the guest what is left of it; so does this."""
    try:
        return base64.b64decode(user_data or "")
    except binascii.Error:
        return b""
