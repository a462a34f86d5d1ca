"""What this instance is told at boot: its own id and how to reach its hub.

Read from the metadata service or a config drive; both hold `openstack/latest/meta_data.json` and `user_data`
(Nova, "Metadata service" and "Config drive"). The text of user-data is `#cloud-config` and one JSON object.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .channel import is_unconnected

LIMIT_BYTES = 128 * 1024
TIMEOUT_S = 5.0


class NoSeed(Exception):
    """Nothing usable could be read yet; the message says where and what is wrong.

    `soon`: it is only that this machine has no network yet, so that asking often costs nobody anything.
    """

    def __init__(self, why: str, *, soon: bool = False) -> None:
        super().__init__(why)
        self.soon = soon


@dataclass(frozen=True)
class Seed:
    """The hub's address, the authority its certificate must come from, and this attempt's one-time ticket."""

    instance_id: str
    hub_host: str
    hub_port: int
    authority: str
    attempt: str
    ticket: str = field(repr=False)


def from_metadata_service(url: str, source_address: str) -> Seed:
    """Ask the metadata service below `url`, from `source_address` when there are several. Raises NoSeed."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise NoSeed(f"{url} is not an http:// address of a metadata service")
    source = (source_address, 0) if source_address else None

    def read(name: str) -> bytes:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S, source_address=source
        )
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/openstack/latest/{name}")
            response = connection.getresponse()
            body = response.read(LIMIT_BYTES + 1)
        except (OSError, http.client.HTTPException) as problem:
            why = f"the metadata service does not answer ({type(problem).__name__})"
            raise NoSeed(why, soon=is_unconnected(problem)) from problem
        finally:
            connection.close()
        if response.status != 200:
            raise NoSeed(f"the metadata service answered {response.status} for {name}")
        return body

    return assemble(read)


def from_config_drive(folder: Path) -> Seed:
    """Read a config drive mounted (or written) at `folder`. Raises NoSeed."""

    def read(name: str) -> bytes:
        try:
            with (folder / "openstack" / "latest" / name).open("rb") as stream:
                return stream.read(LIMIT_BYTES + 1)
        except OSError as problem:
            raise NoSeed(f"the config drive has no readable {name}") from problem

    return assemble(read)


def assemble(read: Callable[[str], bytes]) -> Seed:
    """Put the seed together from `meta_data.json` and `user_data`, which `read` fetches by name. Raises NoSeed."""
    instance_id = _word(_object(read("meta_data.json"), "meta_data.json"), "uuid", r"[A-Za-z0-9-]{1,64}")
    told = _object(read("user_data"), "user_data").get("js2")
    if not isinstance(told, dict) or told.get("v") != 1:
        raise NoSeed("user-data holds no js2 object of version 1")
    hub = urlsplit(_word(told, "hub", r"https://[A-Za-z0-9.:\[\]-]{1,255}/?"))
    return Seed(
        instance_id=instance_id,
        hub_host=hub.hostname or "",
        hub_port=_port(hub.netloc),
        authority=_word(told, "ca", r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s-]{1,16384}"),
        attempt=_word(told, "attempt", r"[A-Za-z0-9_-]{1,64}"),
        ticket=_word(told, "ticket", r"[A-Za-z0-9_-]{43}"),
    )


def _object(raw: bytes, name: str) -> dict[str, Any]:
    if len(raw) > LIMIT_BYTES:
        raise NoSeed(f"{name} is larger than {LIMIT_BYTES // 1024} KiB")
    # Comments may stand above the object, since cloud-init wants its own first line.
    lines = raw.decode("utf-8", errors="replace").splitlines()
    body = "\n".join(line for line in lines if not line.startswith("#"))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise NoSeed(f"{name} is not JSON") from problem
    if not isinstance(value, dict):
        raise NoSeed(f"{name} is not a JSON object")
    return value


def _word(told: dict[str, Any], name: str, pattern: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise NoSeed(f"{name!r} is missing or malformed")
    return value


def _port(place: str) -> int:
    port: int | None
    try:
        port = urlsplit(f"//{place}").port
    except ValueError as problem:
        raise NoSeed("the hub's address has an impossible port") from problem
    return port or 443
