"""The services' tables, made by their own migrations. Slow: some 500 tables, and each tool's imports."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.openstack.rig import infrastructure, services
from tests.openstack.rig.layout import ADMIN_PASSWORD, DATABASE_PASSWORD, DATABASES, REGION, Guests, Layout
from tests.openstack.rig.processes import RigError


def make_account(layout: Layout) -> None:
    """The one that all services use."""
    account = f"CREATE USER rig@localhost IDENTIFIED BY '{DATABASE_PASSWORD}'; GRANT ALL ON *.* TO rig@localhost;"
    infrastructure.sql(layout, account)


def make_databases(layout: Layout) -> None:
    infrastructure.sql(layout, "".join(f"CREATE DATABASE {name} CHARACTER SET utf8mb4;" for name in DATABASES))


def map_hosts(layout: Layout) -> None:
    """Tell Nova in which cell its hosts are, before they exist: by itself it would look for new ones once a minute,
    and its own tool takes longer to start than the hosts.
    """
    hosts = " UNION ".join(f"SELECT '{replace(layout, guests=guests).compute_host}' AS host" for guests in Guests)
    infrastructure.sql(
        layout,
        "USE nova_api; INSERT INTO host_mappings (created_at, cell_id, host) "
        f"SELECT now(), cell.id, new.host FROM cell_mappings cell, ({hosts}) new WHERE cell.name = 'cell1';",
    )


def migrate(layout: Layout) -> None:
    """From empty databases to what each service expects at its first start. Raises RigError."""
    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(lambda steps: [_run(layout, step) for step in steps], _steps(layout)))


def _steps(layout: Layout) -> tuple[Sequence[Sequence[str]], ...]:
    """Columns run side by side, a column's steps one after the other."""
    keystone = ["keystone-manage", "--config-file", str(layout.setting("keystone.conf"))]
    nova = ["nova-manage", "--config-file", str(layout.setting("nova.conf"))]
    neutron_files = [f"--config-file={layout.setting(name)}" for name in ("neutron.conf", "ml2_conf.ini")]
    bootstrap = ["bootstrap", "--bootstrap-password", ADMIN_PASSWORD, "--bootstrap-region-id", REGION]
    for interface in ("admin", "internal", "public"):
        bootstrap += [f"--bootstrap-{interface}-url", layout.keystone_url]
    return (
        (
            [*keystone, "db_sync"],
            [*keystone, *bootstrap],
            ["placement-manage", "--config-file", str(layout.setting("placement.conf")), "db", "sync"],
            ["glance-manage", "--config-file", str(layout.setting("glance-api.conf")), "db_sync"],
            ["cinder-manage", "--config-file", str(layout.setting("cinder.conf")), "db", "sync"],
        ),
        (
            [*nova, "api_db", "sync"],
            [*nova, "cell_v2", "map_cell0", "--database_connection", layout.database_url("nova_cell0")],
            [*nova, "cell_v2", "create_cell", "--name=cell1"],
            [*nova, "db", "sync"],
        ),
        (["neutron-db-manage", *neutron_files, "upgrade", "heads"],),
    )


def _run(layout: Layout, step: Sequence[str]) -> None:
    command = [str(layout.program(step[0])), *step[1:]]
    done = subprocess.run(
        command, env=services.environment(layout), capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode != 0:
        raise RigError(f"{' '.join(step[:4])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
