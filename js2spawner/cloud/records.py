"""What OpenStack told us, as small frozen records: the only shapes that leave `cloud/`.

Field names are OpenStack's own. Every record is built by a `from_json` in the module that makes the
call; nothing here performs I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why Nova put a server into ERROR. A member of a project sees no more than this (no `details`)."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Server:
    """One Nova server. `addresses` are fixed IPv4 addresses, empty until (nearly) ACTIVE.

    `host_id` is Nova's hash of hypervisor and project: empty means that no hypervisor ever took the server.
    """

    id: str
    name: str
    status: str
    task_state: str | None
    vm_state: str
    power_state: int
    addresses: tuple[str, ...]
    image_id: str
    flavor_name: str
    metadata: Mapping[str, str]
    tags: frozenset[str]
    created: datetime
    launched: datetime | None
    volumes: tuple[str, ...]
    locked: bool
    fault: Fault | None = None
    host_id: str = ""
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewServer:
    """A create request. `user_data` is plain text (we encode it); `ports` win over `network_id`."""

    name: str
    image_id: str
    flavor_id: str
    network_id: str | None
    ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    user_data: str = field(default="", repr=False)
    key_name: str | None = None
    config_drive: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """One Glance image. `checksum` is Glance's `os_hash_value` when present, else `checksum`.

    `owner` is a project's id. `os_hash_algo` and `os_hash_value` are Glance's own hash of the data (usually sha512),
    empty until there are data; nobody but Glance can set them.
    """

    id: str
    name: str
    status: str
    visibility: str
    size_bytes: int
    min_disk_gb: int
    min_ram_mb: int
    created: datetime
    checksum: str
    properties: Mapping[str, str]
    owner: str = ""
    disk_format: str = ""
    os_hash_algo: str = ""
    os_hash_value: str = ""
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to make; its data come after. `id` is chosen by who asks, so that a lost answer can be looked up."""

    id: str
    name: str
    disk_format: str
    visibility: str = "private"
    min_disk_gb: int = 0
    min_ram_mb: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flavor:
    """One Nova flavor with its extra specs (a vGPU or PCI passthrough shows there)."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    extra_specs: Mapping[str, str]
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the project uses and may use. A maximum of None means unlimited (Nova's -1)."""

    instances_used: int
    instances_max: int | None
    cores_used: int
    cores_max: int | None
    ram_mb_used: int
    ram_mb_max: int | None


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """The same of Cinder; gigabytes are those of volumes and snapshots."""

    volumes_used: int
    volumes_max: int | None
    gigabytes_used: int
    gigabytes_max: int | None
    snapshots_used: int
    snapshots_max: int | None


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    external: bool


@dataclass(frozen=True, slots=True)
class Port:
    """One Neutron port; `addresses` are its fixed IPv4 addresses."""

    id: str
    name: str
    status: str
    network_id: str
    device_id: str
    addresses: tuple[str, ...]
    security_group_ids: tuple[str, ...]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class SecurityGroupRule:
    """One rule; None means any. `remote_ip_prefix` is a CIDR."""

    id: str
    direction: str
    ethertype: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None = None


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    id: str
    name: str
    description: str
    rules: tuple[SecurityGroupRule, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """One Cinder volume; `attached_to` are server ids (only once it is attached, not while it is being). `snapshot_id`:
    what it was made from."""

    id: str
    name: str
    status: str
    size_gb: int
    metadata: Mapping[str, str]
    attached_to: tuple[str, ...]
    created: datetime
    snapshot_id: str = ""


@dataclass(frozen=True, slots=True)
class VolumeSnapshot:
    """One Cinder snapshot of a volume."""

    id: str
    volume_id: str
    name: str
    status: str
    size_gb: int
    metadata: Mapping[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class VolumeHold:
    """Cinder's own note (an "attachment") that a server has a volume, or is about to: `status` is reserved, attaching,
    attached, detaching, … A server id that is empty was never told."""

    id: str
    volume_id: str
    server_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Share:
    """One Manila share. `protocol` is NFS, CEPHFS, …"""

    id: str
    name: str
    status: str
    size_gb: int
    protocol: str
    metadata: Mapping[str, str]
    created: datetime


@dataclass(frozen=True, slots=True)
class ShareAccess:
    """Who may mount a share: `kind` "ip" or "cephx", `to` an address or a CephX user, `level` rw or ro.

    `key` is the CephX user's, empty until the rule is active. `metadata` is what somebody said of the rule.
    """

    id: str
    kind: str
    to: str
    level: str
    state: str
    key: str = field(default="", repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    volume_id: str
    server_id: str
    device: str | None
