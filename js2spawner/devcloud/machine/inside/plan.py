"""What the first process of a machine is told when it is powered on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One power-on. Paths are the host's; it goes through a pipe, never argv.

    `private` asks for namespaces of its own. `trees` are shown read-only at their own paths, `volumes` are
    (host path, path inside) pairs, `hidden` is never visible even if it lies below a tree. `guest` is the argument
    vector of the guest program, started with `environment` after a boot of `boot_seconds`, unless `guest_dead`.
    """

    server_id: str
    hostname: str
    directory: str
    private: bool
    trees: tuple[str, ...]
    volumes: tuple[tuple[str, str], ...]
    hidden: str
    guest: tuple[str, ...]
    environment: Mapping[str, str]
    boot_seconds: float
    guest_dead: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        fields = json.loads(text)
        for name in ("trees", "guest"):
            fields[name] = tuple(fields[name])
        fields["volumes"] = tuple((host, inside) for host, inside in fields["volumes"])
        return cls(**fields)
