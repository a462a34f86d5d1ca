"""What the control API does to things behind everybody's back: a host's GPU breaks, a volume is stuck or lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from js2spawner.devcloud.cinder.attaching import noted
from js2spawner.devcloud.cinder.common import remove
from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.nova.view import host_id
from js2spawner.devcloud.records import Volume, VolumeAttachment
from js2spawner.devcloud.scheduler import all_hosts
from js2spawner.devcloud.script import CardsText, ScriptError, VolumeText, parse


async def show_hosts(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    """Every host: how its GPU is, and its servers, whose host ids differ from project to project."""
    servers = list(cloud.servers(None))
    return {
        "hosts": {
            host: {
                "card": cloud.cards.get(host, "sound"),
                "servers": [server.id for server in servers if server.host == host],
                "host_ids": sorted({host_id(server) for server in servers if server.host == host}),
            }
            for host in all_hosts(cloud.flavors.values())
        }
    }


async def set_hosts(cloud: DevCloud, request: web.Request, body: Any) -> object:
    """`{"gpu1": "silent"}`; instead of a host's name the host id that a server of it shows."""
    wanted = parse(CardsText, {"cards": body}, where="hosts").cards
    hosts = all_hosts(cloud.flavors.values())
    names = {host: host for host in hosts} | {host_id(server): server.host for server in cloud.servers(None)}
    unknown = wanted.keys() - names.keys()
    if unknown:
        raise ScriptError(f"hosts: there is no host {', '.join(sorted(unknown))}")
    for name, card in wanted.items():
        host = names[name] or ""
        cloud.cards[host] = card
        for server in cloud.servers(None):
            if server.host == host and cloud.hypervisor.running(server.id):
                await cloud.hypervisor.change_card(server.id, card)
    return await show_hosts(cloud, request, body)


async def change_volume(cloud: DevCloud, request: web.Request, body: Any) -> object:
    """Its status, and who Cinder believes to have it; neither Nova nor a machine is told."""
    volume, wanted = _volume(cloud, request), parse(VolumeText, body, where="volume")
    held = volume.attachments
    if wanted.attached_to is not None:
        now = cloud.clock.now()
        held = (VolumeAttachment(new_id(), wanted.attached_to, "/dev/sdb", now),) if wanted.attached_to else ()
    changed = noted(replace(volume, status=wanted.status or volume.status, attachments=held))
    cloud.store.put(changed)
    return {"id": changed.id, "status": changed.status, "attached_to": [each.server_id for each in held]}


async def lose_volume(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
    """As if it had never been, and what it held is gone."""
    volume = _volume(cloud, request)
    remove(cloud, Volume, volume.id)
    return {"id": volume.id, "status": "gone"}


def _volume(cloud: DevCloud, request: web.Request) -> Volume:
    volume = cloud.store.get(Volume, request.match_info["id"])
    if volume is None:
        raise ScriptError(f"there is no volume {request.match_info['id']}")
    return volume
