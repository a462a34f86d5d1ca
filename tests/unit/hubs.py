"""A real JupyterHub application (its database, users, spawners) over a cloud in memory: no proxy, no browser.

The guest is played by the test: it feeds the fleet what a handshake would report.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jupyterhub import orm, roles
from jupyterhub.app import JupyterHub
from jupyterhub.user import User
from traitlets.config import Config

from js2spawner.cloud.records import Flavor, Image, Limits
from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.fleet.fleet import Fleet
from js2spawner.instance import Booting, Building, Owner, Record, Running
from js2spawner.sightings import Hello, Listening, Progressed, Taken
from js2spawner.spawner import Js2Spawner
from tests.unit.fleet.stand_ins import DEADLINE_S, Cloud, eventually, until
from tests.unit.saves.glance import Copying, Images

CATALOG = """
regions:
  IU: {cloud: js2}
profiles:
  standard: {idle_minutes: 60, longest_hours: 12, retries: 1}
  kept: {idle_minutes: 30, longest_hours: 12, saves: {most: 1}}
  shelf: {idle_minutes: 60, longest_hours: 12, retries: 1, idle: [shelve, delete, keep]}
images:
  minimal: {title: Minimal, description: JupyterLab., image: js2-minimal, profile: standard}
  lasting: {title: Lasting, description: To be saved., image: js2-minimal, profile: kept}
  shelved: {title: Shelved, description: Comes back., image: js2-minimal, profile: shelf}
  gpu: {title: GPU, description: CUDA., image: js2-minimal, gpu: required, profile: standard}
flavors:
  m3.small: {title: Small, vcpus: 2, memory_gb: 6, disk_gb: 20, su_per_hour: 2}
  g3.large:
    {title: A100, vcpus: 16, memory_gb: 60, disk_gb: 60, su_per_hour: 32, gpu: {kind: A100 slice, memory_gb: 20}}
defaults: {image: minimal, flavor: m3.small}
"""


ALICE = Owner("alice", "")


class CloudInMemory(Copying):
    """Its images are there from the beginning, and what is saved joins them."""

    def __init__(self) -> None:
        super().__init__(Images())
        made = datetime(2026, 11, 1, tzinfo=UTC)
        self.images.kept["i1"] = Image("i1", "js2-minimal", "active", "public", 1, 0, 0, made, "", {})

    async def flavors(self) -> list[Flavor]:
        return [Flavor("f1", "m3.small", 2, 6144, 20, {}), Flavor("f2", "g3.large", 16, 61440, 60, {})]

    async def limits(self) -> Limits:
        return Limits(0, None, 0, None, 0, None)


class FleetInMemory(Js2Fleet):
    compute: CloudInMemory

    def cloud_of(self, region: object) -> Any:
        del region

        async def network() -> SimpleNamespace:
            return SimpleNamespace(id="network-1")

        async def group(name: str, description: str, rules: object) -> SimpleNamespace:
            return SimpleNamespace(id=name)

        return Cloud(
            compute=self.compute,
            images=self.compute.images,
            network=SimpleNamespace(get_me_a_network=network, ensure_group=group),
        )


@dataclass
class Hub:
    """A hub process: its application and its fleet."""

    app: JupyterHub
    settings: FleetInMemory

    @property
    def compute(self) -> CloudInMemory:
        return self.settings.compute

    @property
    def fleet(self) -> Fleet:
        assert self.settings.fleet is not None
        return self.settings.fleet

    def user(self, name: str = "alice") -> User:
        """The user of that name, made on first use."""
        found = orm.User.find(self.app.db, name)
        if found is None:
            found = orm.User(name=name)
            self.app.db.add(found)
            self.app.db.commit()
            roles.assign_default_roles(self.app.db, entity=found)
        return self.app.users[found]

    async def attempt(self, owner: Owner = ALICE, number: int = 1) -> Record:
        """The owner's attempt of that number, once it exists."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                fleet = self.settings.fleet
                record = fleet.current(owner) if fleet else None
                if record is not None and record.number == number:
                    return record
                await asyncio.sleep(0.01)

    async def start(self, **options: str) -> asyncio.Task[Any]:
        """Ask for alice's server, as a request to JupyterHub would."""
        return asyncio.create_task(self.user().spawn("", options=options))

    async def until_ready(self) -> None:
        await eventually(lambda: bool(self.user().spawner.ready))

    async def until_nothing_is_left(self) -> None:
        """No server in the cloud, no attempt that is not over."""
        await eventually(lambda: not self.compute.servers and not self.fleet.live())

    async def boot(self, record: Record) -> None:
        """Play the cloud and the guest up to the greeting."""
        await until(self.fleet, record.attempt_id, lambda r: isinstance(r.state, Building))
        found = self.fleet.get(record.attempt_id)
        assert found is not None
        self.compute.boot(found.server_id)
        await until(self.fleet, record.attempt_id, lambda r: isinstance(r.state, Booting))
        self.fleet.feed(record.attempt_id, Hello("channel"))

    async def bring_up(self, record: Record) -> None:
        """Play the cloud and the guest up to a listening notebook."""
        await self.boot(record)
        await until(self.fleet, record.attempt_id, lambda r: bool(r.api_token))
        for sighting in (Taken(), Progressed("notebook"), Listening()):
            self.fleet.feed(record.attempt_id, sighting)
        await until(self.fleet, record.attempt_id, lambda r: isinstance(r.state, Running))


@asynccontextmanager
async def hub_process(
    directory: Path, compute: CloudInMemory, *, database: str = "", **spawner: object
) -> AsyncIterator[Hub]:
    """One life of a hub. A second one in the same directory with the same cloud is the hub after a crash.

    `database`: one for JupyterHub and for the fleet, in place of SQLite files of their own.
    """
    FleetInMemory.clear_instance()
    catalog = directory / "catalog.yaml"
    catalog.write_text(CATALOG)
    config = Config()
    config.JupyterHub.db_url = database or f"sqlite:///{directory / 'jupyterhub.sqlite'}"
    if database:
        config.Js2Fleet.database_url = database
    config.JupyterHub.cookie_secret_file = str(directory / "cookie")
    config.JupyterHub.spawner_class = Js2Spawner
    config.JupyterHub.allow_named_servers = True
    config.JupyterHub.authenticator_class = "dummy"
    config.JupyterHub.log_level = "WARN"
    config.JupyterHub.template_paths = [str(Path(__file__).parents[2] / "js2spawner" / "templates")]
    config.ConfigurableHTTPProxy.auth_token = "x" * 32
    config.Js2Fleet.state_dir = str(directory / "state")
    config.Js2Fleet.catalog_file = str(catalog)
    config.Js2Fleet.handshake_port = _free_port()
    config.Js2Fleet.list_interval_s = 0.01
    config.Js2Fleet.quiet_list_interval_s = 0.05
    config.Js2Spawner.http_timeout = 2
    config.Js2Spawner.reach_timeout_s = 1.0
    config.Js2Spawner.restart_patience_s = 1.0
    for name, value in spawner.items():
        config.Js2Spawner[name] = value
    settings = FleetInMemory.instance(config=config)
    settings.compute = compute
    JupyterHub.clear_instance()
    app = JupyterHub.instance(config=config)
    (directory / "jupyterhub_config.py").touch()
    await app.initialize(["--config", str(directory / "jupyterhub_config.py")])
    hub = Hub(app, settings)
    await settings.ready()
    try:
        yield hub
    finally:
        await settings.close()
        gc.unfreeze()
        app.db.close()
        JupyterHub.clear_instance()
        FleetInMemory.clear_instance()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def notebook_at(address: str, port: int = 8888) -> AsyncIterator[None]:
    """Something that answers HTTP where a notebook would."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-JupyterHub-Version: 6.1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, address, port)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
