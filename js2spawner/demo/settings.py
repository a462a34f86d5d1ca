"""What one demo keeps from start to start, in DIR/demo.json: identity, secrets, ports. Pure.

Running instances know the handshake's address and their volumes know the hub's id, so neither may change
between two starts; the other internal ports move aside when something else has taken them meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace

DEFAULT_PORT = 8000
DEFAULT_USERS = ("alice", "bob")
DEFAULT_BOOT_SECONDS = 8.0
REGIONS = ("RegionOne", "RegionTwo")
"""Those the demo's catalog knows, by their names in the cloud."""

_USER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# JupyterHub refuses tokens of fewer than eight characters; the rest keeps a token usable in a header.
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{8,255}")


class DemoError(Exception):
    """Something about the demo that its user can put right; the text is the whole message."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says; None means not said."""

    port: int | None = None
    users: str | None = None
    api_token: str | None = field(default=None, repr=False)
    boot_seconds: float | None = None
    regions: int | None = None


@dataclass(frozen=True, slots=True)
class DemoSettings:
    hub_id: str
    port: int
    users: tuple[str, ...]
    boot_seconds: float
    devcloud_port: int
    hub_port: int
    proxy_api_port: int
    handshake_port: int
    password: str = field(repr=False)
    api_token: str = field(repr=False)
    proxy_token: str = field(repr=False)
    regions: int = len(REGIONS)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What settling needs from outside: which loopback ports are free, and where secrets and a hub id come from."""

    is_free: Callable[[int], bool]
    free_port: Callable[[], int]
    secret: Callable[[], str]
    hub_id: Callable[[], str]


def settle(kept: DemoSettings | None, asked: Asked, machine: Machine) -> DemoSettings:
    """What this start uses: what was asked, else what the last start kept, else the defaults.

    Raises DemoError when the public port, or a handshake port that running instances know, is taken.
    """
    settings = _with_asked(kept or _first(machine), asked)
    if not machine.is_free(settings.port):
        raise DemoError(
            f"Port {settings.port} of 127.0.0.1 is in use by another program; "
            "stop that one or choose another port with --port."
        )
    if kept and not machine.is_free(settings.handshake_port):
        raise DemoError(
            f"Port {settings.handshake_port} of 127.0.0.1 is in use by another program, and this demo's instances "
            "know their hub by it; stop that program, or start a new demo with another --dir."
        )
    return _with_free_ports(settings, machine)


def _first(machine: Machine) -> DemoSettings:
    return DemoSettings(
        hub_id=machine.hub_id(),
        port=DEFAULT_PORT,
        users=DEFAULT_USERS,
        boot_seconds=DEFAULT_BOOT_SECONDS,
        devcloud_port=0,
        hub_port=0,
        proxy_api_port=0,
        handshake_port=0,
        password=machine.secret(),
        api_token=machine.secret(),
        proxy_token=machine.secret(),
    )


def _with_asked(settings: DemoSettings, asked: Asked) -> DemoSettings:
    return replace(
        settings,
        port=settings.port if asked.port is None else asked.port,
        users=settings.users if asked.users is None else users_from(asked.users),
        api_token=settings.api_token if asked.api_token is None else _checked_token(asked.api_token),
        boot_seconds=settings.boot_seconds if asked.boot_seconds is None else asked.boot_seconds,
        regions=settings.regions if asked.regions is None else asked.regions,
    )


def _with_free_ports(settings: DemoSettings, machine: Machine) -> DemoSettings:
    taken = {settings.port}

    def kept_or_free(port: int, behind: int = 0) -> int:
        """`behind` is how many ports after it have to be free as well."""

        def taken_already(port: int) -> bool:
            wanted = range(port, port + 1 + behind)
            return port == 0 or not taken.isdisjoint(wanted) or not all(map(machine.is_free, wanted))

        while taken_already(port):
            port = machine.free_port()
        taken.update(range(port, port + 1 + behind))
        return port

    return replace(
        settings,
        handshake_port=kept_or_free(settings.handshake_port),
        hub_port=kept_or_free(settings.hub_port),
        proxy_api_port=kept_or_free(settings.proxy_api_port),
        # Its regions answer at the ports behind it.
        devcloud_port=kept_or_free(settings.devcloud_port, behind=settings.regions),
    )


def users_from(text: str) -> tuple[str, ...]:
    """The names in `alice,bob`, in order; the first is the admin. Raises DemoError for a name no hub would take."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise DemoError("--users names nobody; give names with commas between them, such as alice,bob.")
    for name in names:
        if not _USER.fullmatch(name):
            raise DemoError(
                f"--users: {name!r} cannot be a user name; use at most 32 of a-z, 0-9, - and _, starting with a letter."
            )
    return names


def _checked_token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise DemoError("--api-token: use 8 to 255 letters, digits or any of - _ . ~ for the token.")
    return token


def to_text(settings: DemoSettings) -> str:
    return json.dumps(asdict(settings), indent=2) + "\n"


def from_text(text: str, *, where: str) -> DemoSettings:
    """Read back what `to_text` wrote. Raises DemoError naming `where` when somebody changed it beyond use."""
    remedy = f"{where} cannot be read as this demo's settings; put it right, or start a new demo with another --dir."
    try:
        values = json.loads(text)
    except ValueError:
        raise DemoError(remedy) from None
    if not isinstance(values, dict) or {"regions", *values} != {each.name for each in fields(DemoSettings)}:
        raise DemoError(remedy)
    # Older demos kept no number of regions.
    values.setdefault("regions", len(REGIONS))
    ports = [values[name] for name in values if name == "port" or name.endswith("_port")]
    if not all(type(port) is int and 0 < port < 65536 for port in ports):
        raise DemoError(remedy)
    words = [values[name] for name in ("hub_id", "password", "api_token", "proxy_token")]
    if not all(isinstance(word, str) and word for word in words) or not isinstance(values["users"], list):
        raise DemoError(remedy)
    if values["regions"] not in range(1, len(REGIONS) + 1):
        raise DemoError(remedy)
    if not isinstance(values["boot_seconds"], int | float) or not all(
        isinstance(user, str) for user in values["users"]
    ):
        raise DemoError(remedy)
    return DemoSettings(**{**values, "users": users_from(",".join(values["users"]))})
