"""What the embedded cloud remembers: frozen records, each stored as one JSON row under its class and `id`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Setup:
    """What a cloud was first started with and keeps: where its instances' addresses come from. `id` is "setup".

    `port` is that of a region that has one of its own.
    """

    id: str
    addresses: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A user is at home in one project with the same roles always. `password` is the SHA-256 of a random one."""

    id: str
    name: str
    project_id: str
    roles: tuple[str, ...]
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AppCredential:
    id: str
    name: str
    user_id: str
    project_id: str
    roles: tuple[str, ...]
    secret: str = field(repr=False)
    description: str = ""
    unrestricted: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """`id` is the SHA-256 of what the client holds, so the state file alone opens nothing."""

    id: str
    user_id: str
    project_id: str
    method: str
    app_credential_id: str
    audit_id: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Flavor:
    """`capacity` is how many instances of it fit at once (None: any number), spread over `hosts` where it names some;
    `su_per_hour` is what an hour costs."""

    id: str
    name: str
    vcpus: int
    ram_mb: int
    disk_gb: int
    su_per_hour: float
    capacity: int | None = None
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A Glance image. `has_data` says whether bytes were uploaded; the images of the first start have none."""

    id: str
    name: str
    owner: str
    status: str
    visibility: str
    created: datetime
    updated: datetime
    size: int | None = None
    hash_value: str | None = None
    checksum: str | None = None
    has_data: bool = False
    min_disk_gb: int = 0
    min_ram_mb: int = 0
    disk_format: str | None = None
    container_format: str | None = None
    protected: bool = False
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    members: tuple[ImageMember, ...] = ()


@dataclass(frozen=True, slots=True)
class SpentImage:
    """The id of an image that was deleted: Glance keeps its row, so that no other image ever has it."""

    id: str


@dataclass(frozen=True, slots=True)
class ImageMember:
    """A project that a shared image is offered to. Its lists show the image once it has accepted it."""

    project_id: str
    status: str
    created: datetime
    updated: datetime


@dataclass(frozen=True, slots=True)
class Keypair:
    """`id` is `user_id/name`."""

    id: str
    user_id: str
    name: str
    type: str
    public_key: str
    fingerprint: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    project_id: str
    name: str
    external: bool
    created: datetime
    description: str = ""
    shared: bool = False
    tags: tuple[str, ...] = ()
    auto_allocated: bool = False


@dataclass(frozen=True, slots=True)
class Subnet:
    id: str
    network_id: str
    project_id: str
    name: str
    cidr: str
    created: datetime
    description: str = ""
    tags: tuple[str, ...] = ()
    dhcp: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """One fixed address. `group_ids` are its security groups; `with_instance`: made by Nova, to die with its server."""

    id: str
    project_id: str
    network_id: str
    subnet_id: str
    address: str
    mac: str
    group_ids: tuple[str, ...]
    created: datetime
    updated: datetime
    name: str = ""
    description: str = ""
    device_id: str = ""
    device_owner: str = ""
    status: str = "DOWN"
    with_instance: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRule:
    id: str
    direction: str
    ethertype: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    created: datetime
    description: str | None = None


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """`revision` counts its changes."""

    id: str
    project_id: str
    name: str
    description: str
    created: datetime
    updated: datetime
    rules: tuple[GroupRule, ...] = ()
    tags: tuple[str, ...] = ()
    revision: int = 1


@dataclass(frozen=True, slots=True)
class FloatingIp:
    id: str
    project_id: str
    network_id: str
    address: str
    created: datetime
    updated: datetime
    port_id: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeAttachment:
    """Cinder's side of an attachment. `status` is reserved, attaching or attached; at a server on no host there is
    neither a device nor an instant."""

    id: str
    server_id: str
    device: str
    attached_at: datetime | None
    status: str = "attached"


@dataclass(frozen=True, slots=True)
class Volume:
    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size_gb: int
    status: str
    zone: str
    created: datetime
    updated: datetime
    bootable: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    attachments: tuple[VolumeAttachment, ...] = ()

    @property
    def attached(self) -> bool:
        """Whether a server has it, and is not only about to."""
        return any(held.status == "attached" for held in self.attachments)


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    project_id: str
    volume_id: str
    name: str | None
    description: str | None
    size_gb: int
    status: str
    created: datetime
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShareRule:
    """Who may mount a share: `to` is an address or a network (`kind` ip), or a user of CephX, who has a `key`.

    `level` is rw or ro. A rule counts while its `state` is active.
    """

    id: str
    kind: str
    to: str
    level: str
    state: str
    created: datetime
    updated: datetime | None = None
    key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size_gb: int
    protocol: str
    status: str
    created: datetime
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[ShareRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Quota:
    """A project's quotas by `service.resource`, such as `compute.instances`; -1 is unlimited. `id` is the project's."""

    id: str
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Interface:
    """What Nova's information cache knows of one port."""

    port_id: str
    network_id: str
    network_name: str
    subnet_id: str
    address: str
    mac: str
    floating: str | None = None


@dataclass(frozen=True, slots=True)
class WantedInterface:
    """What a create asks for: an existing port, or a new one on a network."""

    network_id: str
    port_id: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class AttachedVolume:
    """Nova's side of an attachment (a block device mapping)."""

    volume_id: str
    device: str
    attachment_id: str
    mapping_id: str
    delete_on_termination: bool = False
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class ServerFault:
    code: int
    message: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Operation:
    """What is being done to a server, as a place in a plan: `step` is the next one to do. `id` is the request's."""

    id: str
    plan: str
    step: int = 0
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the fault script bends one server.

    `stuck` is a phase that never ends. `error` is the fault of a server that goes to ERROR, in phase `error_phase`.
    `addresses` is "early" or "late": they show while BUILD, or only some seconds after ACTIVE.
    """

    stuck: str = ""
    error: str = ""
    error_phase: str = "spawning"
    guest_dead: bool = False
    boot_seconds: float | None = None
    addresses: str = ""


@dataclass(frozen=True, slots=True)
class ActionEntry:
    """A line of the instance action log."""

    action: str
    request_id: str
    user_id: str
    start: datetime
    updated: datetime
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """One instance. The status shown is a function of `vm_state` and `task_state`."""

    id: str
    number: int
    project_id: str
    user_id: str
    name: str
    hostname: str
    flavor: Flavor
    image_id: str
    created: datetime
    updated: datetime
    reservation_id: str
    vm_state: str = "building"
    task_state: str | None = "scheduling"
    power_state: int = 0
    description: str | None = None
    key_name: str | None = None
    user_data: str | None = field(default=None, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    zone: str | None = None
    config_drive: bool = False
    host: str | None = None
    launched: datetime | None = None
    terminated: datetime | None = None
    locked_by: str = ""
    locked_reason: str | None = None
    group_names: tuple[str, ...] = ()
    wanted: tuple[WantedInterface, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    volumes: tuple[AttachedVolume, ...] = ()
    boot_volume: bool = False
    fault: ServerFault | None = None
    operation: Operation | None = None
    behaviour: Behaviour = Behaviour()
    shelved_image_id: str = ""
    old_flavor: Flavor | None = None
    actions: tuple[ActionEntry, ...] = ()
