"""The first state of a cloud: people, projects, images and networks; and the flavors, which are read at every start."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from js2spawner.devcloud.cloud import DevCloud, new_id
from js2spawner.devcloud.neutron.groups import default_group
from js2spawner.devcloud.neutron.networks import auto_network, external_network
from js2spawner.devcloud.nova.machine_of import GPU_SPEC
from js2spawner.devcloud.records import Flavor, Image, Project, User
from js2spawner.devcloud.software import properties as software

DATA = Path(__file__).parent / "data"
MEMBER = ("member", "reader")
ADMIN = ("admin", "member", "reader")
PEOPLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("hub", "devcloud", MEMBER),
    ("other", "devcloud-other", MEMBER),
    ("admin", "admin", ADMIN),
)


def flavors() -> Mapping[str, Flavor]:
    """The flavors by name. Ids are made from names, so they are the same in every cloud and after a restart."""
    rows = yaml.safe_load((DATA / "flavors.yaml").read_text(encoding="utf-8"))
    return {row["name"]: _flavor(row) for row in rows}


def plant(cloud: DevCloud) -> None:
    """Give a cloud what is missing of its first state. Passwords are set by whoever writes clouds.yaml."""
    if not any(cloud.store.all(User)):
        for user_name, project_name, roles in PEOPLE:
            project = cloud.store.put(Project(uuid.uuid4().hex, project_name))
            cloud.store.put(User(uuid.uuid4().hex, user_name, project.id, roles, password=""))
    for project in cloud.store.all(Project):
        default_group(cloud, project.id)
        auto_network(cloud, project.id)
    admin_project = next(project for project in cloud.store.all(Project) if project.name == "admin")
    external_network(cloud, admin_project.id)
    if not any(cloud.store.all(Image)):
        for row in yaml.safe_load((DATA / "images.yaml").read_text(encoding="utf-8")):
            cloud.store.put(_image(cloud, row, admin_project.id))


def _flavor(row: Mapping[str, Any]) -> Flavor:
    return Flavor(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"flavor-{row['name']}")),
        name=row["name"],
        vcpus=row["vcpus"],
        ram_mb=row["ram_gb"] * 1024,
        disk_gb=row["disk_gb"],
        su_per_hour=row["su_per_hour"],
        capacity=row.get("capacity"),
        extra_specs=_gpu_specs(row.get("gpu")),
        hosts=tuple(row.get("hosts", ())),
    )


def _gpu_specs(gpu: Mapping[str, str] | None) -> dict[str, str]:
    """A vGPU shows as a placement resource, a whole GPU as a PCI alias, as on Jetstream2."""
    if gpu is None:
        return {}
    if "alias" in gpu:
        return {"pci_passthrough:alias": f"{gpu['alias']}:1", GPU_SPEC: gpu["name"]}
    return {f"resources:{gpu['resources']}": "1", GPU_SPEC: gpu["name"]}


def _image(cloud: DevCloud, row: Mapping[str, Any], owner: str) -> Image:
    now = cloud.clock.now()
    content = row["name"].encode()
    return Image(
        id=new_id(),
        name=row["name"],
        owner=owner,
        status="active",
        visibility="public",
        created=now,
        updated=now,
        size=row["size_mb"] * 2**20,
        checksum=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        hash_value=hashlib.sha512(content).hexdigest(),
        min_disk_gb=row["min_disk_gb"],
        disk_format="raw",
        container_format="bare",
        properties={
            "hw_disk_bus": "scsi",
            "hw_scsi_model": "virtio-scsi",
            "hw_qemu_guest_agent": "yes",
            **(software() if row.get("lists_software") else {}),
        },
    )
