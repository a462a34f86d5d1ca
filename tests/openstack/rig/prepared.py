"""A dump of databases that are migrated and seeded, so that a start does not repeat a minute's work.

It holds what is the same for every rig of these versions: tables, the catalogue, people, flavors, networks; no secret
but the rig's own published passwords, which Keystone keeps as hashes. Where it was made is written as a placeholder,
and ports are those of the first rig.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

from tests.openstack.rig import infrastructure, layout
from tests.openstack.rig.layout import DATABASES, HOST, Layout, Which

HERE = Path(__file__).parent
DUMP = HERE / "prepared.sql.gz"
# What a dump is made from: after a change of any of these it is stale.
_MADE_FROM = ("constraints.txt", "schemas.py", "seed.py", "flavors.yaml")
_RUN = "@RUN@"


def is_current() -> bool:
    """Whether the dump was made from the files beside it."""
    if not DUMP.exists():
        return False
    with gzip.open(DUMP, "rt") as dump:
        return dump.readline() == _title()


def save(rig: Layout) -> None:
    """Write the dump of a rig's databases, the same bytes for the same rows."""
    plain = ["--skip-comments", "--skip-dump-date", "--hex-blob", "--order-by-primary"]
    command = [*infrastructure.client(rig, "mariadb-dump"), *plain, "--databases", *DATABASES]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    content = _title() + moved(dump, rig, replace(rig, which=Which.FIRST)).replace(str(rig.run), _RUN)
    DUMP.write_bytes(gzip.compress(content.encode(), mtime=0))


def load(rig: Layout) -> None:
    """Fill a fresh server with the dump."""
    dump = gzip.decompress(DUMP.read_bytes()).decode().replace(_RUN, str(rig.run))
    infrastructure.sql(rig, moved(dump, replace(rig, which=Which.FIRST), rig))


def moved(dump: str, old: Layout, new: Layout) -> str:
    """The same rows with every port of the one rig become the other's."""
    for name, port in old.ports.items():
        dump = dump.replace(f"{HOST}:{port}", f"{HOST}:{new.ports[name]}")
    return dump


def _title() -> str:
    words = {**vars(layout), **vars(layout.Port)}
    made_from = hashlib.sha256(repr(sorted((name, words[name]) for name in words if name.isupper())).encode())
    for name in _MADE_FROM:
        made_from.update((HERE / name).read_bytes())
    return f"-- Written by `make openstack-prepare`; made from {made_from.hexdigest()}\n"
