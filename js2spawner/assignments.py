"""What an instance is told to become: the user's account, the notebook's command and environment, its certificates."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from js2spawner.fleet.names import unix_name
from js2spawner.fleet.regions import NOTEBOOK_PORT
from js2spawner.handshake.messages import Assignment, Certificates
from js2spawner.instance import Record


def assignment_for(spawner: Any, record: Record) -> Assignment:
    """The assignment of an attempt, from what JupyterHub has prepared on the spawner.

    The environment is the whole of `get_env()`: the single-user server refuses to start with less. Values of None mean
    "unset" to JupyterHub and are left out.
    """
    environment = {key: str(value) for key, value in spawner.get_env().items() if value is not None}
    return Assignment(
        id=secrets.token_hex(8),
        user_name=unix_name(record.owner.user),
        uid=spawner.home_uid,
        sudo=record.plan.sudo,
        argv=(*spawner.cmd, *spawner.get_args()),
        env=environment,
        address=record.address,
        port=NOTEBOOK_PORT,
        certificates=_certificates(spawner) if spawner.internal_ssl else None,
        gpu=record.plan.gpu,
    )


def _certificates(spawner: Any) -> Certificates:
    """The key pair JupyterHub made for this server. Small files; written a moment ago by this process."""
    paths = spawner.cert_paths
    return Certificates(
        key=Path(paths["keyfile"]).read_text(),
        certificate=Path(paths["certfile"]).read_text(),
        authority=Path(paths["cafile"]).read_text(),
    )
