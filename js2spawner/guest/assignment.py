"""What the hub tells a guest to become, checked before anything is done about it.

The hub is trusted with the instance, but a mistake there must not make a root process write to odd places: names,
ids, sizes and addresses are held to narrow shapes here too.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = r"[a-z_][a-z0-9_-]{0,31}"
# Below 1000 are the system's own accounts (Debian policy 9.2.2); 65534 is nobody.
LEAST_UID, MOST_UID = 1000, 2**31 - 1
NOBODY = 65534
MOST_ARGUMENTS = 64
MOST_VARIABLES = 512
MOST_DATA = 16
# NFS: host:/path. CephFS: monitors with commas, then :/path. It goes to mount as an argument.
EXPORT = r"[A-Za-z0-9\[][A-Za-z0-9.,:\[\]-]{0,500}:/[A-Za-z0-9_./=+@-]{0,500}"
FOLDER = r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,99}"


class BadAssignment(Exception):
    """The hub's assignment cannot be carried out as it stands; the message says which part and why."""


@dataclass(frozen=True)
class Certificates:
    """The server's end of JupyterHub's internal_ssl: PEM texts."""

    key: str = field(repr=False)
    certificate: str
    authority: str


@dataclass(frozen=True)
class SeedWish:
    """What the home is to hold besides what is there: a git repository or an archive, below `into`."""

    kind: str
    url: str
    branch: str
    into: str


@dataclass(frozen=True)
class Source:
    """Where files come from: a disk by its serial, or a share by its export. With a key it is CephFS."""

    kind: str
    serial: str
    export: str
    access: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class HomeWish:
    """The user's home. `may_format`: nobody has made a file system on the disk yet."""

    source: Source
    may_format: bool
    seed: SeedWish | None


@dataclass(frozen=True)
class DataWish:
    """Files to be read at /data/`name`."""

    name: str
    source: Source


@dataclass(frozen=True)
class Assignment:
    """Whose server to run, and how. `env` holds the server's JupyterHub token."""

    id: str
    user_name: str
    uid: int
    sudo: bool
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    address: str
    port: int
    certificates: Certificates | None
    gpu: bool
    home: HomeWish | None = None
    data: tuple[DataWish, ...] = ()


def from_json(told: Mapping[str, Any]) -> Assignment:
    """Check and take apart the hub's answer (docs/handshake.md, "GET /v1/assignment"). Raises BadAssignment."""
    user = _mapping(told, "user")
    server = _mapping(told, "server")
    uid = _integer(user, "uid", LEAST_UID, MOST_UID)
    if uid == NOBODY:
        raise BadAssignment("uid 65534 is nobody's")
    return Assignment(
        id=_word(told, "id", r"[A-Za-z0-9_-]{1,64}"),
        user_name=_word(user, "name", NAME),
        uid=uid,
        sudo=_flag(user, "sudo"),
        argv=_argv(server),
        env=_environment(server),
        address=_address(server),
        port=_integer(server, "port", 1024, 65535),
        certificates=_certificates(server),
        gpu=_flag(told, "gpu"),
        home=_home(told),
        data=_data(told),
    )


def lease_from_json(told: Any) -> Mapping[str, Any]:
    """The public part of a report's answer: the lease as given, or nothing at all when any of it looks odd."""
    if not isinstance(told, dict):
        return {}
    page = told.get("hub_page")
    ends_at = told.get("ends_at")
    # A path on the hub itself and nowhere else: the page offers it as a link.
    if not isinstance(page, str) or not re.fullmatch(r"/(?!/)[A-Za-z0-9%@._~:/?=&+-]{0,500}", page):
        return {}
    if not isinstance(ends_at, str) or not re.fullmatch(r"\d{4}-\d\d-\d\dT[0-9:.]{5,15}(Z|[+-]\d\d:\d\d)", ends_at):
        return {}
    if told.get("why") not in ("idle", "age") or not isinstance(told.get("warn"), bool):
        return {}
    lease = {"ends_at": ends_at, "why": told["why"], "warn": told["warn"], "hub_page": page}
    # What becomes of the instance and whether the home stays; hubs of before there were homes do not say.
    if told.get("then") in ("delete", "shelve") and isinstance(told.get("home"), bool):
        price = told.get("su_per_hour")
        known = isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price < 1e6
        lease.update(then=told["then"], home=told["home"], su_per_hour=price if known else None)
    return lease


def leave_from_json(answer: Mapping[str, Any]) -> float | None:
    """Within how many seconds a report's answer wants this instance to leave; None when it does not."""
    told = answer.get("leave")
    if answer.get("order") != "leave" or not isinstance(told, dict):
        return None
    within_s = told.get("within_s")
    if isinstance(within_s, bool) or not isinstance(within_s, (int, float)) or within_s != within_s:
        return None
    return float(within_s)


def _mapping(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    if not isinstance(value, dict):
        raise BadAssignment(f"{name!r} is missing")
    return value


def _word(told: Mapping[str, Any], name: str, pattern: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise BadAssignment(f"{name!r} is missing or malformed")
    return value


def _flag(told: Mapping[str, Any], name: str) -> bool:
    value = told.get(name)
    if not isinstance(value, bool):
        raise BadAssignment(f"{name!r} is neither true nor false")
    return value


def _integer(told: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadAssignment(f"{name!r} is not a whole number from {least} to {most}")
    return value


def _argv(server: Mapping[str, Any]) -> tuple[str, ...]:
    value = server.get("argv")
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_ARGUMENTS:
        raise BadAssignment(f"'argv' is not a list of 1 to {MOST_ARGUMENTS} words")
    for word in value:
        if not isinstance(word, str) or not word or "\0" in word:
            raise BadAssignment("'argv' holds something other than words")
        if not _has_bytes(word):
            raise BadAssignment("'argv' holds half a character")
    return tuple(value)


def _environment(server: Mapping[str, Any]) -> Mapping[str, str]:
    value = _mapping(server, "env")
    if len(value) > MOST_VARIABLES:
        raise BadAssignment(f"'env' holds more than {MOST_VARIABLES} variables")
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
            raise BadAssignment("'env' holds a name that no shell would take")
        if not isinstance(text, str) or "\0" in text:
            raise BadAssignment(f"'env' holds no text for {name}")
        if not _has_bytes(text):
            raise BadAssignment(f"'env' holds half a character for {name}")
    return dict(value)


def _has_bytes(text: str) -> bool:
    """Whether a process can be given it: JSON can name half of a surrogate pair, for which UTF-8 has no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _home(told: Mapping[str, Any]) -> HomeWish | None:
    """Missing with hubs of before there were homes."""
    if told.get("home") is None:
        return None
    home = _mapping(told, "home")
    seed = None
    if home.get("seed") is not None:
        wish = _mapping(home, "seed")
        seed = SeedWish(
            kind=_word(wish, "kind", r"git|archive"),
            url=_word(wish, "url", r"https://[^\s\"'<>\x00-\x20\x7f]{1,500}"),
            branch=_word(wish, "branch", r"|[A-Za-z0-9][A-Za-z0-9._/-]{0,99}"),
            into=_word(wish, "into", rf"\.|{FOLDER}(/{FOLDER}){{0,7}}"),
        )
    return HomeWish(_source(home), _flag(home, "may_format"), seed)


def _data(told: Mapping[str, Any]) -> tuple[DataWish, ...]:
    value = told.get("data", [])
    if not isinstance(value, list) or len(value) > MOST_DATA or not all(isinstance(each, dict) for each in value):
        raise BadAssignment(f"'data' is not a list of at most {MOST_DATA} objects")
    return tuple(DataWish(_word(each, "name", r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), _source(each)) for each in value)


def _source(told: Mapping[str, Any]) -> Source:
    kind = _word(told, "kind", r"volume|share")
    return Source(
        kind=kind,
        serial=_word(told, "serial", r"[A-Za-z0-9-]{20,64}" if kind == "volume" else r""),
        export=_word(told, "export", EXPORT if kind == "share" else r""),
        access=_word(told, "access", r"[A-Za-z0-9._-]{0,64}"),
        key=_word(told, "key", r"[A-Za-z0-9+/=]{0,256}"),
    )


def _address(server: Mapping[str, Any]) -> str:
    value = server.get("address")
    try:
        return str(ipaddress.IPv4Address(value if isinstance(value, str) else ""))
    except ValueError as problem:
        raise BadAssignment("'address' is not an IPv4 address") from problem


def _certificates(server: Mapping[str, Any]) -> Certificates | None:
    if server.get("certificates") is None:
        return None
    told = _mapping(server, "certificates")
    pem = r"[A-Za-z0-9+/=\s-]{1,32768}"
    return Certificates(
        key=_word(told, "key", pem),
        certificate=_word(told, "certificate", pem),
        authority=_word(told, "authority", pem),
    )
