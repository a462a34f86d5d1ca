"""The life of a volume at a server: attached and detached together by Nova, Cinder and the machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.records import AttachedVolume, Behaviour, Server, Snapshot, Volume, VolumeAttachment

log = logging.getLogger(__name__)

_SETTLED = {"creating": "available", "extending": "available", "detaching": "available", "uploading": "available"}
OFFLOADED = "shelved_offloaded"


def volume_in(cloud: DevCloud, project_id: str, volume_id: str) -> Volume | None:
    volume = cloud.store.get(Volume, volume_id)
    return volume if volume and volume.project_id == project_id else None


_OF_STATUS = {"reserved": "reserved", "attaching": "attaching", "in-use": "attached", "detaching": "attached"}


def set_status(cloud: DevCloud, volume_id: str, status: str, *, only_from: str) -> bool:
    """Move a volume on, with Cinder's note of who has it, unless something else has happened to it in the meantime."""
    volume = cloud.store.get(Volume, volume_id)
    if volume is None or volume.status != only_from:
        return False
    cloud.store.put(noted(replace(volume, status=status, updated=cloud.clock.now())))
    return True


def noted(volume: Volume) -> Volume:
    """A volume whose attachments say what its status says."""
    status = _OF_STATUS.get(volume.status)
    if status is None:
        return volume
    return replace(volume, attachments=tuple(replace(held, status=status) for held in volume.attachments))


def attach(
    cloud: DevCloud, server: Server, volume: Volume, plain: AttachedVolume, behaviour: Behaviour
) -> AttachedVolume:
    """Begin to attach: reserved, attaching, in-use. Nova lists the attachment at once.

    At a server that is offloaded it is in use at once, on no host.
    """
    used = {known.device for known in server.volumes}
    device = next(f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz" if f"/dev/sd{letter}" not in used)
    attached = replace(plain, device="" if server.vm_state == OFFLOADED else device)
    cloud.store.put(replace(server, volumes=(*server.volumes, attached), updated=cloud.clock.now()))
    reserve(cloud, volume.id, server.id, attached)
    if server.vm_state == OFFLOADED:
        hold(cloud, server.id, attached)
    else:
        cloud.life.spawn(_attach(cloud, server.id, attached, behaviour))
    return attached


async def _attach(cloud: DevCloud, server_id: str, attached: AttachedVolume, behaviour: Behaviour) -> None:
    volume_id = attached.volume_id

    async def bring() -> None:
        if _holds(cloud, server_id, volume_id):
            await cloud.hypervisor.attach(server_id, volume_id)

    if not await cloud.life.passed("reserving", behaviour):
        return
    set_status(cloud, volume_id, "attaching", only_from="reserved")
    if not await cloud.life.passed("attaching", behaviour):
        return
    if not await _worked(bring, "attaching", behaviour, volume_id):
        _drop(cloud, server_id, volume_id)
        release(cloud, volume_id)
    elif _holds(cloud, server_id, volume_id):
        hold(cloud, server_id, attached)
    else:
        await _worked(lambda: cloud.hypervisor.detach(server_id, volume_id), "", Behaviour(), volume_id)
    await cloud.store.flush()


def detach(cloud: DevCloud, server: Server, volume: Volume, behaviour: Behaviour) -> None:
    """Begin to detach: detaching, then available and no longer on the server."""
    set_status(cloud, volume.id, "detaching", only_from="in-use")
    cloud.life.spawn(_detach(cloud, server.id, volume.id, behaviour))


async def _detach(cloud: DevCloud, server_id: str, volume_id: str, behaviour: Behaviour) -> None:
    if not await cloud.life.passed("detaching", behaviour):
        return
    took = lambda: cloud.hypervisor.detach(server_id, volume_id)  # noqa: E731, a name for one call
    if await _worked(took, "detaching", behaviour, volume_id):
        release(cloud, volume_id)
        _drop(cloud, server_id, volume_id)
    else:
        set_status(cloud, volume_id, "in-use", only_from="detaching")
    await cloud.store.flush()


async def _worked(
    do: Callable[[], Coroutine[Any, Any, None]], phase: str, behaviour: Behaviour, volume_id: str
) -> bool:
    """Whether a machine did as it was asked; a fault script may say that it did not."""
    if behaviour.error and behaviour.error_phase == phase:
        log.info("volume %s: %s fails as scripted", volume_id, phase)
        return False
    try:
        await do()
    except Exception:
        log.exception("volume %s: %s failed", volume_id, phase or "letting go")
        return False
    return True


def detach_all(cloud: DevCloud, server: Server) -> None:
    """What the end of a server does to its volumes, at once."""
    for attached in server.volumes:
        if attached.delete_on_termination:
            volume = cloud.store.get(Volume, attached.volume_id)
            if volume is not None:
                cloud.store.remove(volume)
                cloud.life.spawn(sweep(cloud))
        else:
            release(cloud, attached.volume_id)


def let_go(cloud: DevCloud, server: Server, volume_id: str) -> None:
    """At once: a volume of a server that is on no host."""
    release(cloud, volume_id)
    _drop(cloud, server.id, volume_id)


def reserve_all(cloud: DevCloud, server: Server) -> Server:
    """A server that leaves its host keeps its volumes for itself, but none of them is in use."""
    kept = tuple(replace(attached, attachment_id=new_id()) for attached in server.volumes)
    for attached in kept:
        reserve(cloud, attached.volume_id, server.id, attached)
    return replace(server, volumes=kept)


def hold_all(cloud: DevCloud, server: Server) -> None:
    """What a server that comes to a host has of volumes is in use from then on."""
    for attached in server.volumes:
        hold(cloud, server.id, attached)


def settle(cloud: DevCloud) -> None:
    """After a restart: what was on its way has arrived."""
    for volume in cloud.store.all(Volume):
        if volume.status == "deleting":
            cloud.store.remove(volume)
        elif volume.status in ("reserved", "attaching"):
            for server in cloud.servers(volume.project_id):
                for attached in server.volumes:
                    if attached.volume_id == volume.id and server.vm_state != OFFLOADED:
                        hold(cloud, server.id, attached)
        elif volume.status == "detaching":
            release(cloud, volume.id)
            for server in cloud.servers(volume.project_id):
                _drop(cloud, server.id, volume.id)
        elif volume.status in _SETTLED:
            settled = "in-use" if volume.attached else _SETTLED[volume.status]
            set_status(cloud, volume.id, settled, only_from=volume.status)
    for snapshot in cloud.store.all(Snapshot):
        if snapshot.status == "creating":
            # Nobody knows how much of it was copied.
            cloud.store.put(replace(snapshot, status="error"))
        elif snapshot.status == "deleting":
            cloud.store.remove(snapshot)


def reserve(cloud: DevCloud, volume_id: str, server_id: str, attached: AttachedVolume) -> None:
    volume = cloud.store.get(Volume, volume_id)
    if volume is not None:
        held = VolumeAttachment(attached.attachment_id, server_id, attached.device, None, "reserved")
        cloud.store.put(replace(volume, status="reserved", attachments=(held,), updated=cloud.clock.now()))


def hold(cloud: DevCloud, server_id: str, attached: AttachedVolume) -> None:
    volume = cloud.store.get(Volume, attached.volume_id)
    if volume is not None and volume.status in ("reserved", "attaching", "in-use"):
        now = cloud.clock.now()
        held = VolumeAttachment(attached.attachment_id, server_id, attached.device, now if attached.device else None)
        cloud.store.put(replace(volume, status="in-use", attachments=(held,), updated=now))


def release(cloud: DevCloud, volume_id: str) -> None:
    volume = cloud.store.get(Volume, volume_id)
    if volume is not None:
        cloud.store.put(replace(volume, status="available", attachments=(), updated=cloud.clock.now()))


def _holds(cloud: DevCloud, server_id: str, volume_id: str) -> bool:
    server = cloud.store.get(Server, server_id)
    return server is not None and server.vm_state != "deleted" and _is_on(server, volume_id)


def _is_on(server: Server, volume_id: str) -> bool:
    return any(known.volume_id == volume_id for known in server.volumes)


def _drop(cloud: DevCloud, server_id: str, volume_id: str) -> None:
    server = cloud.store.get(Server, server_id)
    if server is not None and _is_on(server, volume_id):
        left = tuple(known for known in server.volumes if known.volume_id != volume_id)
        cloud.store.put(replace(server, volumes=left, updated=cloud.clock.now()))
