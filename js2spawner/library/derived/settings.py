"""How a derived image is built: where its instance reaches us, on what it runs, how patient we are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from js2spawner.library.scratch.tools import CannotBuild

AUTO_NETWORK = "auto_allocated_network"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds each phase may last; none is without an end. `silence_s` is how long an instance may say nothing."""

    create_s: float = 600.0
    look_up_s: float = 60.0
    boot_s: float = 900.0
    files_s: float = 300.0
    packages_s: float = 3600.0
    environment_s: float = 3600.0
    command_s: float = 1800.0
    smoke_s: float = 1800.0
    clean_s: float = 900.0
    silence_s: float = 300.0
    stop_s: float = 300.0
    save_s: float = 3600.0
    delete_s: float = 300.0
    all_s: float = 4 * 3600.0
    look_every_s: float = 2.0

    @property
    def whole(self) -> timedelta:
        """When everything of a build must be gone, counted from its beginning."""
        return timedelta(seconds=self.all_s + 3 * self.delete_s)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator says of a build.

    We listen on `bind_address`:`port` (0: any free port) for the one instance, which reaches us at `url`
    (`https://ADDRESS:PORT`; empty: just there). `flavor` empty: the definition's smallest.
    """

    bind_address: str = "127.0.0.1"
    port: int = 0
    url: str = ""
    network: str = AUTO_NETWORK
    flavor: str = ""
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def of(cls, bind: str, url: str, network: str, flavor: str) -> Settings:
        """From the options of the command line. Raises CannotBuild."""
        found = re.fullmatch(r"(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?::(?P<port>\d{1,5}))?", bind)
        if not found or int(found["port"] or 0) > 65535:
            raise CannotBuild(f"--handshake-bind {bind}: it must be an IPv4 address of this machine, or ADDRESS:PORT.")
        if url and not re.fullmatch(r"https://[A-Za-z0-9.-]+:\d{1,5}/?", url):
            raise CannotBuild(
                f"--handshake-url {url}: it must be https://ADDRESS:PORT, as instances reach this machine."
            )
        return cls(found["address"], int(found["port"] or 0), url.rstrip("/"), network or AUTO_NETWORK, flavor)

    @property
    def host(self) -> str:
        """The address that the certificate is for."""
        return urlsplit(self.url).hostname or self.bind_address if self.url else self.bind_address
