"""The two clouds of the contract, opened: their people, what has other names in each, and how states are watched."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import aiohttp
import yaml

from js2spawner.devcloud.clock import SystemClock
from js2spawner.devcloud.latency import PHASES, Latencies
from js2spawner.devcloud.nova.view import server_view
from js2spawner.devcloud.records import Server
from js2spawner.devcloud.script import LatenciesText, Script
from js2spawner.devcloud.server import Options, Running, running
from tests.contract.client import Client, Ledger, auth_of, server_path
from tests.openstack.place import REMEDY, place

DEVCLOUD, OPENSTACK = "devcloud", "openstack"
GONE = "404"
_OURS = "contract-"
_SERVICES = {"volumev3": "volume", "block-storage": "volume", "sharev2": "share", "shared-file-system": "share"}
_PHASE_S = 0.02
_HELD_S = 86_400.0
_POLL_EVERY_S = 0.01
_BRIEF_S = 0.6


@dataclass(frozen=True, slots=True)
class Names:
    """Ids of what every cloud has under names of its own.

    `flavor` is the smallest and `bigger_flavor` the next one; no hypervisor has room for `nowhere_flavor`, and no quota
    forbids it. `network` belongs to the member, `external_network` gives floating addresses.
    """

    image: str
    flavor: str
    bigger_flavor: str
    nowhere_flavor: str
    network: str
    external_network: str


class Shown(NamedTuple):
    """A state a server showed. `brief` are those that a poll just caught and may miss the next time."""

    state: str
    brief: bool = False


class Watcher(Protocol):
    """Notes the states a server shows."""

    def __call__(self, server_id: str, *, from_birth: bool) -> Any:
        """An async context manager that gives the growing list of states."""


@dataclass(slots=True, kw_only=True)
class Cloud:
    """A cloud and its people, signed in.

    `member` is what a hub has, an application credential of an unprivileged member; `user` is the same member by
    password; `other` belongs to another project; `nobody` has no token. `entries` are their names in `clouds_yaml`.
    `words` are the names that recorded answers replace.
    """

    name: str
    clouds_yaml: Path
    entries: Mapping[str, str]
    member: Client
    user: Client
    other: Client
    admin: Client
    nobody: Client
    names: Names
    words: Mapping[str, str]
    ledger: Ledger
    watcher: Watcher
    slowing: Callable[[tuple[str, ...]], Any]

    def entry(self, person: str) -> Mapping[str, Any]:
        """A person's entry in clouds.yaml."""
        content: dict[str, Any] = yaml.safe_load(self.clouds_yaml.read_text())
        entry: Mapping[str, Any] = content["clouds"][self.entries[person]]
        return entry

    @asynccontextmanager
    async def watching(self, server_id: str, *, from_birth: bool = False) -> AsyncIterator[list[Shown]]:
        """The states a server shows while the block runs; `from_birth` for one that was asked for just now."""
        async with self.watcher(server_id, from_birth=from_birth) as states:
            yield states

    @contextmanager
    def slow(self, *phases: str) -> Iterator[None]:
        """Time to act while something is under way: devcloud stays in these phases; real services are slow enough."""
        with self.slowing(phases):
            yield


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Cloud]:
    """The cloud that JS2_CONTRACT_CLOUD names, devcloud unless it says openstack."""
    match chosen():
        case "openstack":
            opening = _openstack()
        case _:
            opening = _devcloud(directory)
    async with opening as cloud:
        yield cloud
        await cloud.ledger.close()


def chosen() -> str:
    name = os.environ.get("JS2_CONTRACT_CLOUD", DEVCLOUD)
    if name not in (DEVCLOUD, OPENSTACK):
        raise ValueError(f"JS2_CONTRACT_CLOUD is {name}; give {DEVCLOUD} or {OPENSTACK}")
    return name


@asynccontextmanager
async def _devcloud(directory: Path) -> AsyncIterator[Cloud]:
    phases = dict.fromkeys(PHASES, _PHASE_S)
    script = Script(latencies=LatenciesText(calls={"default": 0}, phases=phases, spread=0), capacity={"m3.3xl": 0})
    entries = {"member": "devcloud", **{person: f"devcloud-{person}" for person in ("user", "other", "admin")}}
    clock = _HoldingClock()
    options = Options(directory, script=script, quota_instances=100, clock=clock)
    async with running(options) as up, aiohttp.ClientSession() as http:
        watcher = _from_history(_noting(up))
        yield await _signed_in(DEVCLOUD, up.clouds_yaml, entries, http, watcher, _slowing(up, clock), nowhere="m3.3xl")


@asynccontextmanager
async def _openstack() -> AsyncIterator[Cloud]:
    where = place()
    assert where.runs, REMEDY
    entries = {"member": where.member, "user": where.user, "other": where.other, "admin": where.admin}
    async with aiohttp.ClientSession() as http:
        admin = await _person(http, where.entry(where.admin), Ledger())
        nowhere = await _made_nowhere(admin)
        try:
            cloud = await _signed_in(
                OPENSTACK, where.clouds_yaml, entries, http, lambda *_, **__: None, _as_it_is, nowhere=nowhere
            )
            cloud.watcher = _polling(cloud.member)
            yield cloud
        finally:
            await admin.ledger.close()


async def _signed_in(
    name: str,
    clouds_yaml: Path,
    entries: Mapping[str, str],
    http: aiohttp.ClientSession,
    watcher: Any,
    slowing: Any,
    *,
    nowhere: str,
) -> Cloud:
    content = yaml.safe_load(clouds_yaml.read_text())["clouds"]
    ledger = Ledger()
    people = {person: await _person(http, content[entry], ledger) for person, entry in entries.items()}
    member = people["member"]
    words, names = await _look_around(member, nowhere)
    for person in people.values():
        person.defaults = {"flavor": words["<flavor>"], "image": words["<image>"], "network": words["<network>"]}
    return Cloud(
        name=name,
        clouds_yaml=clouds_yaml,
        entries=entries,
        **people,
        nobody=Client(http, member.roots, ledger),
        names=names,
        words=words,
        ledger=ledger,
        watcher=watcher,
        slowing=slowing,
    )


async def _person(http: aiohttp.ClientSession, entry: Mapping[str, Any], ledger: Ledger) -> Client:
    """Somebody who knows of the services what the catalogue says."""
    client = Client(http, {"identity": _root(entry["auth"]["auth_url"])}, ledger)
    seen = await client.sign_in(auth_of(entry))
    assert seen.status == 201, seen
    client.roots = {**client.roots, **_roots(seen.body["token"]["catalog"])}
    return client


def _roots(catalog: list[Any]) -> dict[str, str]:
    return {
        _SERVICES.get(service["type"], service["type"]): _root(endpoint["url"])
        for service in catalog
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public" and service["type"] != "identity"
    }


def _root(url: str) -> str:
    """An endpoint without its version and what is behind that."""
    return re.sub(r"/v\d+(\.\d+)?(/.*)?$", "", url.rstrip("/"))


async def _look_around(member: Client, nowhere: str) -> tuple[dict[str, str], Names]:
    """The things every cloud has, by whatever name: the smallest flavors, an image that fits, the member's network."""
    flavors = (await member.get("/compute/v2.1/flavors/detail"))["flavors"]
    last = next(flavor for flavor in flavors if flavor["name"] == nowhere)
    usual = [flavor for flavor in flavors if flavor != last and not flavor["name"].startswith(_OURS)]
    small, bigger = sorted(usual, key=lambda flavor: (flavor["vcpus"], flavor["ram"]))[:2]
    images = (await member.get("/image/v2/images?visibility=public&status=active&sort=name:asc"))["images"]
    image = next(image for image in images if image["min_disk"] <= small["disk"])
    networks = (await member.get("/network/v2.0/networks"))["networks"]
    network = next(known for known in networks if known["project_id"] == member.project_id)
    external = next(known for known in networks if known["router:external"])
    words = {
        "<image>": image["name"],
        "<flavor>": small["name"],
        "<bigger flavor>": bigger["name"],
        "<nowhere flavor>": nowhere,
        "<network>": network["name"],
    }
    ids = (image["id"], small["id"], bigger["id"], last["id"], network["id"], external["id"])
    return words, Names(*ids)


async def _made_nowhere(admin: Client) -> str:
    """The name of a flavor with a disk that no hypervisor has.

    Disks have no quota, so that nothing but the scheduler says no. Several suites may run on one cloud.
    """
    name = f"{_OURS}nowhere-{secrets.token_hex(4)}"
    flavor = {"name": name, "vcpus": 1, "ram": 64, "disk": 1_000_000}
    seen = await admin.call("POST", "/compute/v2.1/flavors", {"flavor": flavor})
    assert seen.status == 200, seen
    return name


def state_of(view: Mapping[str, Any]) -> str:
    """A server's state in one line: status, task_state, vm_state and whether it has addresses."""
    task, vm_state = view["OS-EXT-STS:task_state"], view["OS-EXT-STS:vm_state"]
    return f"{view['status']}/{task}/{vm_state}" + ("" if view["addresses"] else " no address")


def _noting(up: Running) -> dict[str, list[str]]:
    """Note every state that devcloud could show of a server, so that nobody has to ask quickly enough to see one."""
    histories: dict[str, list[str]] = {}
    store = up.cloud.store
    put, remove = store.put, store.remove

    def note(record: Any, *, gone: bool) -> None:
        states = histories.setdefault(record.id, [])
        shown = GONE if gone else state_of(server_view(up.cloud, record, 96, admin=False))
        if not states or states[-1] != shown:
            states.append(shown)

    def noting_put(record: Any) -> Any:
        if isinstance(record, Server):
            note(record, gone=record.terminated is not None and record.operation is None)
        return put(record)

    def noting_remove(record: Any) -> Any:
        if isinstance(record, Server):
            note(record, gone=True)
        return remove(record)

    store.put, store.remove = noting_put, noting_remove  # type: ignore[method-assign]
    return histories


def _from_history(histories: Mapping[str, list[str]]) -> Watcher:
    @asynccontextmanager
    async def watching(server_id: str, *, from_birth: bool) -> AsyncIterator[list[Shown]]:
        known = histories[server_id]
        start = 0 if from_birth else len(known) - 1
        states: list[Shown] = []
        try:
            yield states
        finally:
            states += map(Shown, known[start:])

    return watching


def _polling(member: Client) -> Watcher:
    @asynccontextmanager
    async def watching(server_id: str, *, from_birth: bool) -> AsyncIterator[list[Shown]]:
        sightings: list[tuple[str, float]] = []
        states: list[Shown] = []
        looking = asyncio.create_task(_poll(member, server_id, sightings))
        try:
            yield states
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await _look(member, server_id, sightings)
            states += _shown(sightings)

    return watching


async def _poll(member: Client, server_id: str, sightings: list[tuple[str, float]]) -> None:
    while not sightings or sightings[-1][0] != GONE:
        await _look(member, server_id, sightings)
        await asyncio.sleep(_POLL_EVERY_S)


async def _look(member: Client, server_id: str, sightings: list[tuple[str, float]]) -> None:
    """Note the state, if it is a new one, with the moment it was asked for. One question at a time: answers to several
    may overtake each other."""
    asked = time.monotonic()
    seen = await member.call("GET", server_path(server_id))
    shown = GONE if seen.status == 404 else state_of(seen.body["server"])
    if not sightings or sightings[-1][0] != shown:
        sightings.append((shown, asked))


def _shown(sightings: Sequence[tuple[str, float]]) -> Iterator[Shown]:
    """The last state stays; each one before it lasted until the next one was seen."""
    for (state, since), (_, until) in pairwise(sightings):
        yield Shown(state, brief=until - since < _BRIEF_S)
    yield Shown(sightings[-1][0])


class _HoldingClock(SystemClock):
    """The real time, but for phases that are held: those end when they are let go, however slow this machine is."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds >= _HELD_S:
            await self.let_go.wait()
        else:
            await super().sleep(seconds)


def _slowing(up: Running, clock: _HoldingClock) -> Callable[[tuple[str, ...]], Any]:
    @contextmanager
    def slowing(phases: tuple[str, ...]) -> Iterator[None]:
        before = up.cloud.latencies
        up.cloud.latencies = Latencies(before.calls, {**before.phases, **dict.fromkeys(phases, _HELD_S)}, before.spread)
        try:
            yield
        finally:
            up.cloud.latencies = before
            clock.let_go.set()
            clock.let_go = asyncio.Event()

    return slowing


@contextmanager
def _as_it_is(phases: tuple[str, ...]) -> Iterator[None]:
    yield
