"""Who may mount a share: what access rules mean for the machines that run."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Network

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.neutron.ports import ports_of
from js2spawner.devcloud.records import Share, ShareRule

HOST = "127.0.0.1"


def path_of(share: Share) -> str:
    """What is mounted: `mount -t nfs HOST:/share/ID`. Machines cannot mount CephFS, which has its monitors there."""
    return f"{HOST}:6789:/volumes/{share.id}" if share.protocol == "CEPHFS" else f"{HOST}:/share/{share.id}"


def exports_of(cloud: DevCloud, server_id: str) -> dict[str, bool]:
    """The shares that a server's addresses may mount; True is read-only."""
    addresses = [IPv4Address(port.address) for port in ports_of(cloud, server_id) if port.address]
    found: dict[str, bool] = {}
    for share in cloud.store.all(Share):
        levels = {rule.level for rule in share.rules if rule.state == "active" and _admits(rule, addresses)}
        if levels and share.status not in ("deleting", "error"):
            found[share.id] = levels == {"ro"}
    return found


async def apply(cloud: DevCloud) -> None:
    """Tell every machine that runs what it may mount now."""
    running = [server.id for server in cloud.servers(None) if cloud.hypervisor.running(server.id)]
    await asyncio.gather(*(cloud.hypervisor.export(server_id, exports_of(cloud, server_id)) for server_id in running))


def _admits(rule: ShareRule, addresses: list[IPv4Address]) -> bool:
    try:
        network = IPv4Network(rule.to, strict=False)
    except ValueError:
        return False
    return rule.kind == "ip" and any(address in network for address in addresses)
