"""The life of a volume: attached and detached together by Nova and Cinder, as one change to two records."""

from __future__ import annotations

from dataclasses import replace

from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.records import AttachedVolume, Server, Snapshot, Volume, VolumeAttachment

_SETTLED = {"creating": "available", "extending": "available", "detaching": "available"}


def volume_in(cloud: DevCloud, project_id: str, volume_id: str) -> Volume | None:
    volume = cloud.store.get(Volume, volume_id)
    return volume if volume and volume.project_id == project_id else None


def set_status(cloud: DevCloud, volume_id: str, status: str, *, only_from: str) -> None:
    """Move a volume on, unless something else has happened to it in the meantime."""
    volume = cloud.store.get(Volume, volume_id)
    if volume is not None and volume.status == only_from:
        cloud.store.put(replace(volume, status=status, updated=cloud.clock.now()))


def attach(cloud: DevCloud, server: Server, volume: Volume, *, with_server: bool, tag: str | None) -> AttachedVolume:
    """Begin to attach: reserved, attaching, in-use. Nova lists the attachment at once."""
    used = {known.device for known in server.volumes}
    device = next(f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz" if f"/dev/sd{letter}" not in used)
    attached = AttachedVolume(volume.id, device, new_id(), new_id(), with_server, tag)
    cloud.store.put(replace(server, volumes=(*server.volumes, attached), updated=cloud.clock.now()))
    cloud.store.put(replace(volume, status="reserved", updated=cloud.clock.now()))

    def attaching() -> None:
        set_status(cloud, volume.id, "attaching", only_from="reserved")
        cloud.life.later("attaching", in_use)

    def in_use() -> None:
        now_known = cloud.store.get(Volume, volume.id)
        if now_known is not None and now_known.status == "attaching":
            cloud.store.put(_held(cloud, now_known, server.id, attached))

    cloud.life.later("attaching", attaching)
    return attached


def detach(cloud: DevCloud, server: Server, volume: Volume) -> None:
    """Begin to detach: detaching, then available and no longer on the server."""
    cloud.store.put(replace(volume, status="detaching", updated=cloud.clock.now()))

    def done() -> None:
        _release(cloud, volume.id)
        holder = cloud.store.get(Server, server.id)
        if holder is not None:
            left = tuple(known for known in holder.volumes if known.volume_id != volume.id)
            cloud.store.put(replace(holder, volumes=left, updated=cloud.clock.now()))

    cloud.life.later("detaching", done)


def detach_all(cloud: DevCloud, server: Server) -> None:
    """What the end of a server does to its volumes, at once."""
    for attached in server.volumes:
        if attached.delete_on_termination:
            volume = cloud.store.get(Volume, attached.volume_id)
            if volume is not None:
                cloud.store.remove(volume)
                cloud.life.spawn(sweep(cloud))
        else:
            _release(cloud, attached.volume_id)


def attach_at_boot(cloud: DevCloud, server: Server) -> None:
    """The volumes a create asks for are in use as soon as the server is accepted."""
    for attached in server.volumes:
        volume = cloud.store.get(Volume, attached.volume_id)
        if volume is not None:
            cloud.store.put(_held(cloud, volume, server.id, attached))


def settle(cloud: DevCloud) -> None:
    """After a restart: what was on its way has arrived."""
    for volume in cloud.store.all(Volume):
        if volume.status == "deleting":
            cloud.store.remove(volume)
        elif volume.status in ("reserved", "attaching"):
            for server in cloud.servers(volume.project_id):
                for attached in server.volumes:
                    if attached.volume_id == volume.id:
                        cloud.store.put(_held(cloud, volume, server.id, attached))
        elif volume.status == "detaching":
            _release(cloud, volume.id)
            for server in cloud.servers(volume.project_id):
                left = tuple(known for known in server.volumes if known.volume_id != volume.id)
                if left != server.volumes:
                    cloud.store.put(replace(server, volumes=left))
        elif volume.status in _SETTLED:
            set_status(cloud, volume.id, _SETTLED[volume.status], only_from=volume.status)
    for snapshot in cloud.store.all(Snapshot):
        if snapshot.status == "creating":
            cloud.store.put(replace(snapshot, status="available"))
        elif snapshot.status == "deleting":
            cloud.store.remove(snapshot)


def _held(cloud: DevCloud, volume: Volume, server_id: str, attached: AttachedVolume) -> Volume:
    now = cloud.clock.now()
    held = VolumeAttachment(attached.attachment_id, server_id, attached.device, now)
    return replace(volume, status="in-use", attachments=(held,), updated=now)


def _release(cloud: DevCloud, volume_id: str) -> None:
    volume = cloud.store.get(Volume, volume_id)
    if volume is not None:
        cloud.store.put(replace(volume, status="available", attachments=(), updated=cloud.clock.now()))
