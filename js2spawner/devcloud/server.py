"""A devcloud from start to end: one port, one directory, every service; nothing is left running when it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from random import Random

from aiohttp import web

from js2spawner.devcloud import cinder, cloudsyaml, control, gate, glance, keystone, neutron, nova, seed
from js2spawner.devcloud.addresses import parse_range, range_for
from js2spawner.devcloud.cinder.attaching import settle
from js2spawner.devcloud.clock import Clock, SystemClock
from js2spawner.devcloud.cloud import DEFAULT_QUOTAS, DevCloud, Settings
from js2spawner.devcloud.faults import Faults
from js2spawner.devcloud.hypervisor import Hypervisor, NoMachines
from js2spawner.devcloud.latency import Latencies
from js2spawner.devcloud.nova.life import Life
from js2spawner.devcloud.nova.machine_of import spec_at
from js2spawner.devcloud.records import Setup
from js2spawner.devcloud.script import Script
from js2spawner.devcloud.store import Store

log = logging.getLogger(__name__)

SERVICES = (keystone.SERVICE, nova.SERVICE, glance.SERVICE, neutron.SERVICE, cinder.SERVICE)
HOST = "127.0.0.1"
MAX_BODY_BYTES = 2**20
_GOODBYE_S = 2.0


class CannotStart(Exception):
    """Why a devcloud cannot start, in one sentence."""


def no_machines(directory: Path, metadata_url: str) -> Hypervisor:  # noqa: ARG001
    return NoMachines()


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a devcloud. Port 0 takes a free one; `machines` makes the hypervisor, given DIR and a metadata URL."""

    directory: Path
    port: int = 0
    boot_seconds: float = 8.0
    token_seconds: float = 3600.0
    quota_instances: int = DEFAULT_QUOTAS["compute.instances"]
    seed: int = 0
    addresses: str = ""
    script: Script = field(default_factory=Script)
    machines: Callable[[Path, str], Hypervisor] = no_machines
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Running:
    """A devcloud that answers. `clouds_yaml` is the file that opens it."""

    cloud: DevCloud
    url: str
    clouds_yaml: Path


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """Run a devcloud for as long as the block lasts. Raises CannotStart."""
    options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _listening(options.port) as listener, _sole_user(options.directory):
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        cloud = _cloud(options, url)
        runner = web.AppRunner(_application(cloud), access_log=None, shutdown_timeout=_GOODBYE_S)
        try:
            await cloud.hypervisor.start()
            cloud.life.resume()
            clouds_yaml = options.directory / "clouds.yaml"
            cloudsyaml.write(cloud, clouds_yaml)
            await cloud.store.flush()
            await runner.setup()
            await web.SockSite(runner, listener).start()
            yield Running(cloud, url, clouds_yaml)
        finally:
            await runner.cleanup()
            await cloud.life.close()
            await cloud.hypervisor.shutdown()
            cloud.store.close()


def _cloud(options: Options, url: str) -> DevCloud:
    store = Store(options.directory / "state.sqlite")
    store.load()
    chance = options.script.seed if options.script.seed is not None else options.seed
    quotas = {
        **DEFAULT_QUOTAS,
        "compute.instances": options.quota_instances,
        "network.port": max(DEFAULT_QUOTAS["network.port"], 2 * options.quota_instances),
    }
    cloud = DevCloud(
        settings=Settings(
            options.directory,
            url,
            _addresses(options, store),
            options.boot_seconds,
            options.token_seconds,
            quotas,
        ),
        store=store,
        clock=options.clock,
        random=Random(chance),  # noqa: S311
        faults=Faults(chance),
        latencies=options.script.latencies.over(Latencies()),
        hypervisor=options.machines(options.directory, f"{url}/metadata"),
        flavors=seed.flavors(),
        capacity=dict(options.script.capacity),
        cards=dict(options.script.cards),
    )
    cloud.life = Life(cloud)
    cloud.faults.replace(rule.made() for rule in options.script.faults)
    seed.plant(cloud)
    settle(cloud)
    return cloud


def _addresses(options: Options, store: Store) -> IPv4Network:
    """The range of the first start, since instances keep their addresses; a different one asked for is a mistake."""
    setup = store.get(Setup, "setup")
    asked = parse_range(options.addresses) if options.addresses else None
    if setup is None:
        chosen = asked or range_for(options.directory)
        store.put(Setup("setup", str(chosen)))
        return chosen
    kept = IPv4Network(setup.addresses)
    if asked not in (None, kept):
        raise CannotStart(f"{options.directory} was first started with --cidr {kept}; use that, or another directory.")
    return kept


def _application(cloud: DevCloud) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_routes(control.routes(cloud))
    for service in SERVICES:
        app.router.add_routes(gate.routes(cloud, service))
    app.add_subapp("/metadata", cloud.hypervisor.metadata_app(partial(spec_at, cloud)))
    return app


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1024)
        except OSError as problem:
            raise CannotStart(
                f"Port {port} on {HOST} cannot be used ({problem.strerror}); choose another."
            ) from problem
        listener.setblocking(False)
        yield listener


@contextmanager
def _sole_user(directory: Path) -> Iterator[None]:
    """Keep a second devcloud out of the directory for as long as this one runs."""
    handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise CannotStart(
                f"Another devcloud is running in {directory}; stop it or use another directory."
            ) from problem
        yield
    finally:
        os.close(handle)
