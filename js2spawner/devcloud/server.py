"""A devcloud from start to end: one port, one directory, every service; nothing is left running when it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from random import Random
from typing import Protocol

from aiohttp import web

from js2spawner.devcloud import cloudsyaml, gate, keystone, regions, seed
from js2spawner.devcloud.addresses import parse_range, range_beside, range_for
from js2spawner.devcloud.cinder.attaching import settle
from js2spawner.devcloud.clock import Clock, SystemClock
from js2spawner.devcloud.cloud import DEFAULT_QUOTAS, DevCloud, Settings
from js2spawner.devcloud.faults import Faults
from js2spawner.devcloud.hypervisor import Hypervisor, NoMachines
from js2spawner.devcloud.latency import Latencies
from js2spawner.devcloud.manila.shares import settle as settle_shares
from js2spawner.devcloud.nova.life import Life
from js2spawner.devcloud.records import Setup
from js2spawner.devcloud.regions import HOST, MAX_BODY_BYTES, Region
from js2spawner.devcloud.script import RegionText, Script
from js2spawner.devcloud.store import Store

log = logging.getLogger(__name__)

SERVICES = (keystone.SERVICE, *regions.SERVICES)
_GOODBYE_S = 2.0


class CannotStart(Exception):
    """Why a devcloud cannot start, in one sentence."""


class MakesMachines(Protocol):
    """Makes a region's hypervisor. `directory` is the region's; nothing of `hidden` is ever shown to a machine."""

    def __call__(self, directory: Path, metadata_url: str, *, hidden: Path) -> Hypervisor: ...


def no_machines(directory: Path, metadata_url: str, *, hidden: Path) -> Hypervisor:  # noqa: ARG001
    return NoMachines()


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a devcloud. Port 0 takes a free one; `machines` makes a region's hypervisor."""

    directory: Path
    port: int = 0
    boot_seconds: float = 8.0
    token_seconds: float = 3600.0
    quota_instances: int = DEFAULT_QUOTAS["compute.instances"]
    seed: int = 0
    addresses: str = ""
    script: Script = field(default_factory=Script)
    machines: MakesMachines = no_machines
    clock: Clock = field(default_factory=SystemClock)
    regions: tuple[str, ...] = ("RegionOne",)


@dataclass(frozen=True, slots=True)
class Running:
    """A devcloud that answers. `cloud` is its first region, `clouds_yaml` the file that opens it."""

    cloud: DevCloud
    url: str
    clouds_yaml: Path
    regions: Mapping[str, Region]


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """Run a devcloud for as long as the block lasts. Raises CannotStart."""
    options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check(options)
    async with AsyncExitStack() as ends:
        listener = ends.enter_context(_listening(options.port))
        ends.enter_context(_sole_user(options.directory))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        made: dict[str, Region] = {}
        for name in options.regions:
            made[name] = _region(options, name, url, made)
            ends.push_async_callback(made[name].close)
        for region in made.values():
            region.cloud.regions = regions.places(made)
            await region.open()
        first = made[options.regions[0]].cloud
        clouds_yaml = options.directory / "clouds.yaml"
        cloudsyaml.write(first, clouds_yaml)
        await first.store.flush()
        runner = web.AppRunner(_application(made), access_log=None, shutdown_timeout=_GOODBYE_S)
        ends.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield Running(first, url, clouds_yaml, made)


def _check(options: Options) -> None:
    unknown = options.script.regions.keys() - set(options.regions)
    if unknown:
        raise CannotStart(f"The fault script speaks of a region {min(unknown)}, which this devcloud does not have.")


def _application(made: Mapping[str, Region]) -> web.Application:
    """Keystone and the control API, and the services of a region that is the only one."""
    first = next(iter(made.values()))
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_routes(regions.control_routes(made))
    app.router.add_routes(gate.routes(first.cloud, keystone.SERVICE))
    if not first.port:
        regions.add_services(app, first.cloud)
    return app


def _region(options: Options, name: str, keystone_url: str, before: Mapping[str, Region]) -> Region:
    folder = regions.folder_of(options.directory, name, first=not before)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    people = next((region.cloud.store for region in before.values()), None)
    store = Store(folder / "state.sqlite", people)
    store.load()
    setup = _setup(options, folder, store, before)
    url = f"http://{HOST}:{setup.port}" if setup.port else keystone_url
    own = options.script.regions.get(name, RegionText())
    chance = options.script.seed if options.script.seed is not None else options.seed
    settings = Settings(
        folder,
        url,
        IPv4Network(setup.addresses),
        options.boot_seconds,
        options.token_seconds,
        _quotas(options),
        name,
        keystone_url,
    )
    cloud = DevCloud(
        settings=settings,
        store=store,
        clock=options.clock,
        random=Random(f"{chance}:{name}" if before else chance),  # noqa: S311
        faults=Faults(chance),
        latencies=own.latencies.over(options.script.latencies.over(Latencies())),
        hypervisor=options.machines(folder, f"{url}/metadata", hidden=options.directory),
        flavors=seed.flavors(),
        capacity={**options.script.capacity, **own.capacity},
        cards={**options.script.cards, **own.cards},
        out=own.out,
    )
    cloud.life = Life(cloud)
    cloud.faults.replace(rule.made() for rule in (*options.script.faults, *own.faults))
    seed.plant(cloud)
    settle(cloud)
    settle_shares(cloud)
    return Region(cloud, setup.port)


def _quotas(options: Options) -> dict[str, int]:
    ports = max(DEFAULT_QUOTAS["network.port"], 2 * options.quota_instances)
    return {**DEFAULT_QUOTAS, "compute.instances": options.quota_instances, "network.port": ports}


def _setup(options: Options, folder: Path, store: Store, before: Mapping[str, Region]) -> Setup:
    """What a region keeps from its first start on: its instances know where they are, and where it is."""
    kept = store.get(Setup, "setup")
    addresses = IPv4Network(kept.addresses) if kept else _addresses(options, folder, before)
    asked = parse_range(options.addresses) if options.addresses and not before else None
    if asked not in (None, addresses):
        raise CannotStart(
            f"{options.directory} was first started with --cidr {addresses}; use that, or another directory."
        )
    port = 0
    if len(options.regions) > 1:
        wanted = (kept.port if kept else 0, options.port + 1 + len(before) if options.port else 0)
        others = {region.port for region in before.values()}
        port = regions.free_port(tuple(filter(None, wanted)), others.__contains__)
    return store.put(Setup("setup", str(addresses), port))


def _addresses(options: Options, folder: Path, before: Mapping[str, Region]) -> IPv4Network:
    """Nobody else's: an address is all that an instance and its security group are known by on this machine."""
    taken = [region.cloud.settings.addresses for region in before.values()]
    asked = parse_range(options.addresses) if options.addresses else range_for(folder)
    return range_beside(taken, asked) if taken else asked


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        listener = regions.listening(port)
    except OSError as problem:
        raise CannotStart(f"Port {port} on {HOST} cannot be used ({problem.strerror}); choose another.") from problem
    with listener:
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
