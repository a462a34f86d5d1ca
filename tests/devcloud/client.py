"""A devcloud for one test, which may look inside: its people, its clock, its machines and its servers' history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from js2spawner.devcloud.clock import SystemClock
from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.hypervisor import NoMachines
from js2spawner.devcloud.latency import PHASES
from js2spawner.devcloud.nova.status import status_of
from js2spawner.devcloud.records import Server
from js2spawner.devcloud.script import LatenciesText, Script
from js2spawner.devcloud.server import SERVICES, Options, Running, running
from tests.contract.client import Client, auth_of

DEFAULTS = {"flavor": "m3.tiny", "image": "Featured-Ubuntu24", "network": "auto_allocated_network"}
QUICK = Script(latencies=LatenciesText(calls={"default": 0}, phases=dict.fromkeys(PHASES, 0.01), spread=0))


class MovableClock(SystemClock):
    """The real time plus what a test adds to it; nobody waits for that part."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass(slots=True)
class Scene:
    """A running devcloud and the people of its clouds.yaml, signed in."""

    running: Running
    hub: Client
    other: Client
    admin: Client
    nobody: Client
    clock: MovableClock
    history: dict[str, list[str]] = field(default_factory=dict)

    @property
    def cloud(self) -> DevCloud:
        return self.running.cloud

    @property
    def machines(self) -> NoMachines:
        assert isinstance(self.cloud.hypervisor, NoMachines)
        return self.cloud.hypervisor

    @property
    def clouds(self) -> Mapping[str, Any]:
        content: dict[str, Any] = yaml.safe_load(self.running.clouds_yaml.read_text())
        return content["clouds"]


@asynccontextmanager
async def devcloud(directory: Path, **options: Any) -> AsyncIterator[Scene]:
    """A devcloud without machines whose phases take hundredths of a second."""
    clock = MovableClock()
    wanted = replace(Options(directory, script=QUICK, clock=clock), **options)
    async with running(wanted) as up, aiohttp.ClientSession() as http:
        roots = {name: f"{up.url}/{name}" for name in ("devcloud", *(service.name for service in SERVICES))}
        nobody = Client(http, roots, defaults=DEFAULTS)
        people = {}
        for name, entry in yaml.safe_load(up.clouds_yaml.read_text())["clouds"].items():
            people[name] = replace(nobody)
            assert (await people[name].sign_in(auth_of(entry))).status == 201
        scene = Scene(up, people["devcloud"], people["devcloud-other"], people["devcloud-admin"], nobody, clock)
        _watch(scene)
        yield scene


def _watch(scene: Scene) -> None:
    """Note every state a server's record goes through, so that no test has to be quick enough to see one."""
    store = scene.cloud.store
    put = store.put

    def noting(record: Any) -> Any:
        if isinstance(record, Server):
            state = f"{status_of(record.vm_state, record.task_state)}/{record.task_state}"
            shown = state + ("" if record.interfaces else " no address")
            states = scene.history.setdefault(record.id, [])
            if not states or states[-1] != shown:
                states.append(shown)
        return put(record)

    store.put = noting  # type: ignore[method-assign]
