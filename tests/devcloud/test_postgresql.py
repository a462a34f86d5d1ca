"""JupyterHub's database and the hub's own table in one real PostgreSQL, as an operator of a large hub has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.fleet.store import Store, Timing
from tests.unit.hubs import CloudInMemory, hub_process, notebook_at
from tests.unit.lives import T0, building, running

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
# PostgreSQL refuses to run as root, and as an account without a name; Debian's package brings this one.
_ACCOUNT = "postgres"

pytestmark = pytest.mark.skipif(not _PROGRAMS, reason="PostgreSQL is not installed (Debian: postgresql)")


def _run(*command: str | Path) -> None:
    drop: dict[str, Any] = {"user": _ACCOUNT, "group": _ACCOUNT, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL, cwd="/", **drop)


@pytest.fixture
def database(free_port: Callable[[], int]) -> Iterator[str]:
    """The URL of an empty database of a server that ends with the test."""
    programs = _PROGRAMS[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="js2-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, _ACCOUNT, _ACCOUNT)
    data, port = folder / "data", free_port()
    options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -p {port}"
    try:
        _run(programs / "initdb", "-A", "trust", "-U", "js2", "-D", data)
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://js2@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


async def test_attempts_and_timings_live_in_postgresql(database: str) -> None:
    store = Store(database, "hub-1", clock=lambda: T0)
    await store.open()
    store.put(building())
    store.put(running())
    store.put_timings([Timing("minimal", "m3.small", "boot", 2.0, T0)])
    await store.saved()
    await store.close()
    again = Store(database, "hub-1", clock=lambda: T0)
    assert await again.open() == ([running()], [Timing("minimal", "m3.small", "boot", 2.0, T0)])
    await again.close()


async def test_a_hub_with_everything_in_one_postgresql_starts_stops_and_is_found_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", "127.99.0.11")
    compute = CloudInMemory()
    async with notebook_at("127.99.0.11"):
        async with hub_process(tmp_path, compute, database=database) as hub:
            start = await hub.start()
            await hub.bring_up(await hub.attempt())
            await start
        async with hub_process(tmp_path, compute, database=database) as hub:
            await hub.until_ready()
            await hub.user().stop()
            await hub.until_nothing_is_left()
