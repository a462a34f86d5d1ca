"""The key pair of one server for JupyterHub's `internal_ssl`, made when its address is known.

JupyterHub makes it before the start, and one for each user. An instance has no address by then, while hub and proxy
check the name; and named servers of one user would overwrite each other's. So ours is made at the hand-over, for one
attempt, and does not stay on the hub.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from certipy import Certipy

from js2spawner.handshake.messages import Certificates

# certipy keeps its store in one file that it reads and writes as a whole.
_STORE = threading.Lock()


@dataclass(frozen=True, slots=True)
class CertificateMaker:
    """JupyterHub's own certificate store, and the bundle of authorities that a server is to trust."""

    store: Path
    trusted: Path
    authority: str = "notebooks-ca"

    def make(self, name: str, address: str) -> Certificates:
        """A pair for the server at `address`. Takes some 100 ms of CPU (a 2048-bit RSA key): call it in a thread."""
        with _STORE:
            certipy = Certipy(store_dir=str(self.store))
            files = certipy.create_signed_pair(name, self.authority, alt_names=[f"IP:{address}"], overwrite=True)[
                "files"
            ]
            made = Certificates(
                key=Path(files["key"]).read_text(),
                certificate=Path(files["cert"]).read_text(),
                authority=self.trusted.read_text(),
            )
            certipy.store.remove_files(name, delete_dir=True)
        return made
