"""Where this hub lives: the environment, read once into one record. docs/operators.md explains every setting."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

SignIn = Literal["cilogon", "local", "codes"]

PROJECT = Path(__file__).resolve().parent.parent
_HERE = PROJECT / "hub_config"


class SettingsError(ValueError):
    """The environment or a file it names has mistakes. The message has one line for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each environment setting; None means it was not given. Secrets stay in the files named here."""

    state_dir: Path
    hub_id: str | None
    catalog: Path
    clouds_yaml: Path | None
    image_keys: Path | None
    database_url: str | None
    bind_url: str
    hub_bind_url: str
    hub_connect_url: str | None
    proxy_api_url: str
    handshake_host: str
    handshake_port: int
    handshake_url: str | None
    sign_in: SignIn
    users: tuple[str, ...]
    password_file: Path | None
    class_codes: Path | None
    cilogon_file: Path
    cilogon_client_id: str | None
    cilogon_client_secret_file: Path | None
    named_servers: int
    cull_every_s: int
    idle_minutes: float | None
    api_token_file: Path | None
    metrics_token_file: Path | None


# What each way of signing in cannot do without, and why.
_NEEDED: dict[SignIn, dict[str, str]] = {
    "local": {
        "JS2_USERS": "local sign-in admits the people named there, the first as admin",
        "JS2_PASSWORD_FILE": "local sign-in asks for the password in that file",
    },
    "codes": {"JS2_CLASS_CODES": "class codes stand in that file"},
    "cilogon": {
        "JS2_CILOGON_CLIENT_ID": "CILogon knows this hub by it",
        "JS2_CILOGON_CLIENT_SECRET_FILE": "CILogon believes this hub by it",
    },
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings, or SettingsError with every mistake at once."""
    read = _Reader(environment)
    usual: SignIn = "cilogon"
    sign_in = read.get("JS2_SIGN_IN", _sign_in, usual)
    # JupyterHub reads this one itself; without it the hub would talk to its proxy in vain.
    read.need({"CONFIGPROXY_AUTH_TOKEN": "the hub and its proxy share it", **_NEEDED[sign_in]})
    handshake_host, handshake_port = read.get("JS2_HANDSHAKE_BIND", _host_and_port, ("127.0.0.1", 8710))
    settings = Settings(
        state_dir=read.get("JS2_STATE_DIR", _path, Path("js2-state").resolve()),
        hub_id=read.maybe("JS2_HUB_ID", _uuid),
        catalog=read.get("JS2_CATALOG", _path, _HERE / "catalog.yaml"),
        clouds_yaml=read.maybe("JS2_CLOUDS_YAML", _path),
        image_keys=read.maybe("JS2_IMAGE_KEYS", _path),
        database_url=read.maybe("JS2_DATABASE_URL", _database),
        bind_url=read.get("JS2_BIND_URL", _url, "http://127.0.0.1:8000"),
        hub_bind_url=read.get("JS2_HUB_BIND_URL", _url, "http://127.0.0.1:8081"),
        hub_connect_url=read.maybe("JS2_HUB_CONNECT_URL", _url),
        proxy_api_url=read.get("JS2_PROXY_API_URL", _url, "http://127.0.0.1:8001"),
        handshake_host=handshake_host,
        handshake_port=handshake_port,
        handshake_url=read.maybe("JS2_HANDSHAKE_URL", _https_url),
        sign_in=sign_in,
        users=read.get("JS2_USERS", _names, ()),
        password_file=read.maybe("JS2_PASSWORD_FILE", _path),
        class_codes=read.maybe("JS2_CLASS_CODES", _path),
        cilogon_file=read.get("JS2_CILOGON_FILE", _path, _HERE / "cilogon.yaml"),
        cilogon_client_id=read.maybe("JS2_CILOGON_CLIENT_ID", str),
        cilogon_client_secret_file=read.maybe("JS2_CILOGON_CLIENT_SECRET_FILE", _path),
        named_servers=read.get("JS2_NAMED_SERVERS", _whole, 2),
        cull_every_s=read.get("JS2_CULL_EVERY_S", _positive_whole, 60),
        idle_minutes=read.maybe("JS2_IDLE_MINUTES", _positive),
        api_token_file=read.maybe("JS2_API_TOKEN_FILE", _path),
        metrics_token_file=read.maybe("JS2_METRICS_TOKEN_FILE", _path),
    )
    if read.mistakes:
        raise SettingsError("\n".join(read.mistakes))
    return settings


def read_secret(path: Path | None, setting: str) -> str:
    """The one secret in a file, without the line end. Raises SettingsError when others may read it or it is empty."""
    if path is None:
        raise SettingsError(f"{setting} is not set; give it the path of the file.")
    try:
        with path.open(encoding="utf-8") as file:
            if path.stat().st_mode & 0o077:
                raise SettingsError(f"{setting}: others may read {path}; make it yours alone: chmod 600 {path}")
            secret = file.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{setting}: {path} cannot be read: {reason}.") from error
    if not secret:
        raise SettingsError(f"{setting}: {path} is empty.")
    return secret


class _Reader:
    """Takes settings out of the environment and collects the mistakes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.mistakes: list[str] = []

    def get(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The setting, or its default where it is unset or empty."""
        value = self.maybe(name, parse)
        return default if value is None else value

    def maybe(self, name: str, parse: Callable[[str], T]) -> T | None:
        given = self._environment.get(name, "").strip()
        if not given:
            return None
        try:
            return parse(given)
        except ValueError as error:
            self.mistakes.append(f"{name}: {error}")
            return None

    def need(self, reasons: Mapping[str, str]) -> None:
        for name, reason in reasons.items():
            if not self._environment.get(name, "").strip():
                self.mistakes.append(f"{name} is not set, and it is needed: {reason}.")


def _path(text: str) -> Path:
    return Path(text).expanduser().resolve()


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError("it must be a UUID; leave it out and the hub makes one and keeps it.") from None


def _url(text: str) -> str:
    """An http or https address with a host and a port that is one."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"“{text}” is no address like https://hub.example.org or http://127.0.0.1:8081.")
    return text.rstrip("/")


def _https_url(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError(f"“{text}” must begin with https://, since instances check the hub's certificate.")
    return _url(text)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"“{text}” must be an address and a port, like 10.0.0.5:8710.")
    return host.strip("[]"), int(port)


def _database(text: str) -> str:
    """SQLAlchemy reads `postgresql://` as a driver this project does not install; psycopg 3 is meant."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.split("+")[0] not in ("postgresql", "postgres", "sqlite"):
        # Never the text itself: it may hold a password.
        raise ValueError("it must be a postgresql:// or sqlite:// address.")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else text


def _sign_in(text: str) -> SignIn:
    match text:
        case "cilogon" | "local" | "codes":
            return text
    raise ValueError(f"“{text}” must be cilogon, local or codes.")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"“{text}” must be a whole number, 0 or more.")
    return int(text)


def _positive_whole(text: str) -> int:
    if _whole(text) < 1:
        raise ValueError("it must be 1 or more.")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"“{text}” must be a number greater than 0.")
    return number
