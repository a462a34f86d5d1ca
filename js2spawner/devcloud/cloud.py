"""The embedded cloud as one object: its memory, clock, chance and machines. The services are functions over it."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal, NamedTuple

from js2spawner.devcloud.clock import Clock
from js2spawner.devcloud.faults import Faults
from js2spawner.devcloud.hypervisor import Hypervisor
from js2spawner.devcloud.latency import Latencies
from js2spawner.devcloud.records import Flavor, Quota, Server
from js2spawner.devcloud.store import Store

if TYPE_CHECKING:
    from js2spawner.devcloud.nova.life import Life

Outage = Literal["", "hang", "fail", "refuse"]
DEFAULT_QUOTAS: Mapping[str, int] = {
    # Instances and volumes are what Jetstream2 gives an allocation unless a ticket raised them.
    "compute.instances": 25,
    "compute.cores": -1,
    "compute.ram": -1,
    "compute.key_pairs": 100,
    "compute.metadata_items": 128,
    "compute.server_groups": 10,
    "compute.server_group_members": 10,
    "network.floatingip": 10,
    "network.network": 100,
    "network.subnet": 100,
    "network.port": 2000,
    "network.router": 10,
    "network.security_group": 100,
    "network.security_group_rule": 1000,
    "volume.volumes": 10,
    "volume.gigabytes": 1000,
    "volume.snapshots": 10,
    "share.shares": 50,
    "share.gigabytes": 1000,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator chooses. `boot_seconds` is how long the pretended boot lasts after ACTIVE.

    `url` is where the services of this region are, `keystone_url` where the one Keystone of all regions is.
    """

    directory: Path
    url: str
    addresses: IPv4Network
    boot_seconds: float = 8.0
    token_seconds: float = 3600.0
    quotas: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_QUOTAS))
    region: str = "RegionOne"
    keystone_url: str = ""

    @property
    def identity_url(self) -> str:
        return self.keystone_url or self.url


class Place(NamedTuple):
    """Where a region is: its services, and its instances."""

    url: str
    addresses: IPv4Network


@dataclass(slots=True)
class DevCloud:
    """Everything the services share.

    `capacity` overrides what flavors say of themselves, `cards` says how the GPUs of hosts are that are not sound,
    `calls` counts calls by operation, answered or not, and `rendered` is the JSON of servers as last shown. `life`
    moves servers from state to state; it needs the cloud itself and is set right after it is made. `regions` are all
    regions by name, once they are there, and `out` is how this one does not work at present, if it does not.
    """

    settings: Settings
    store: Store
    clock: Clock
    random: Random
    faults: Faults
    latencies: Latencies
    hypervisor: Hypervisor
    flavors: Mapping[str, Flavor]
    capacity: dict[str, int | None] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    rendered: dict[tuple[str, int, bool], tuple[Server, bytes]] = field(default_factory=dict)
    regions: dict[str, Place] = field(default_factory=dict)
    out: Outage = ""
    life: Life = field(init=False)

    def limit(self, project_id: str, resource: str) -> int:
        """A project's quota, such as `compute.instances`; -1 is unlimited."""
        quota = self.store.get(Quota, project_id)
        own = quota.limits.get(resource) if quota else None
        return self.settings.quotas.get(resource, -1) if own is None else own

    def set_limits(self, project_id: str, limits: Mapping[str, int]) -> None:
        quota = self.store.get(Quota, project_id) or Quota(project_id, {})
        self.store.put(replace(quota, limits={**quota.limits, **limits}))

    def over(self, project_id: str, resource: str, wanted: int) -> bool:
        """Whether a project may not have `wanted` of a resource in all."""
        limit = self.limit(project_id, resource)
        return limit >= 0 and wanted > limit

    def servers(self, project_id: str | None) -> Iterable[Server]:
        """The servers that exist, of one project or (None) of all."""
        return [
            server
            for server in self.store.all(Server)
            if server.vm_state != "deleted" and (project_id is None or server.project_id == project_id)
        ]


def new_id() -> str:
    return str(uuid.uuid4())
