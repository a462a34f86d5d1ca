"""What a booting system takes from its user-data, as cloud-init would: of all its settings the hostname."""

from __future__ import annotations

import re

import yaml

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import metadata

_HEADER = b"#cloud-config"
_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def own_hostname(spec: MachineSpec) -> str:
    """The machine's own name for itself: that of its user-data where it has one, else the one Nova tells it."""
    if not spec.user_data.startswith(_HEADER):
        return metadata.hostname(spec)
    try:
        told = yaml.safe_load(spec.user_data)
    except yaml.YAMLError:
        # A system boots whatever its user-data holds.
        return metadata.hostname(spec)
    wanted = told.get("hostname") if isinstance(told, dict) else None
    return wanted if isinstance(wanted, str) and _HOSTNAME.fullmatch(wanted) else metadata.hostname(spec)
