"""What an instance is told to become: the user's account, the notebook's command and environment, its certificates."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from pathlib import Path
from typing import Any

from js2spawner.certificates import CertificateMaker
from js2spawner.fleet.names import unix_name
from js2spawner.fleet.regions import NOTEBOOK_PORT
from js2spawner.handshake.messages import Assignment, Certificates
from js2spawner.instance import Record


async def assignment_for(spawner: Any, record: Record) -> Assignment:
    """The assignment of an attempt, from what JupyterHub has prepared on the spawner.

    The environment is the whole of `get_env()`: the single-user server refuses to start with less. Values of None mean
    "unset" to JupyterHub and are left out. Raises HomeFailed when the home cannot be had.
    """
    homes = spawner.hub_fleet.homes
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
        certificates=await _certificates(spawner, record) if spawner.internal_ssl else None,
        gpu=record.plan.gpu,
        home=await homes.mount_of(record) if homes else None,
        data=await homes.data_of(record) if homes else (),
    )


async def _certificates(spawner: Any, record: Record) -> Certificates:
    maker = CertificateMaker(
        Path(spawner.internal_certs_location), Path(spawner.internal_trust_bundles["notebooks-ca"])
    )
    name = f"server-{hashlib.sha256(str(record.owner).encode()).hexdigest()[:16]}"
    return await asyncio.to_thread(maker.make, name, record.address)
