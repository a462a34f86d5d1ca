"""What the first process of a machine is told when it is powered on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One power-on. Paths are the host's; it goes through a pipe, never argv.

    `private` asks for namespaces of its own. `trees` are shown read-only at their own paths, `hidden` is never visible
    even if it lies below a tree. Of the volumes that are attached at power-on, `disks` are (id, descriptor of the open
    block device) pairs and `folders` are (id, host path) ones; `exports` are shared folders that the machine may mount:
    (id, host path, whether read-only). `stand_ins` is the folder of the programs that are shown in place of the host's.
    `guest` is the argument vector of the guest program, started with `environment` after a boot of `boot_seconds`,
    unless `guest_dead`.
    """

    server_id: str
    hostname: str
    directory: str
    private: bool
    trees: tuple[str, ...]
    hidden: str
    guest: tuple[str, ...]
    environment: Mapping[str, str]
    boot_seconds: float
    guest_dead: bool
    disks: tuple[tuple[str, int], ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    exports: tuple[tuple[str, str, bool], ...] = ()
    stand_ins: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        fields = json.loads(text)
        for name in ("trees", "guest"):
            fields[name] = tuple(fields[name])
        for name in ("disks", "folders", "exports"):
            fields[name] = tuple(tuple(entry) for entry in fields[name])
        return cls(**fields)
