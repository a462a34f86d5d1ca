"""The test stand: one embedded cloud and two hubs on it, one with js2spawner and one with a spawner that does nothing.

The processes are the demo's own, supervised as there: whatever happens, none outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import jupyterhub

from js2spawner.demo.children import ChildPlan, Children, Patience
from js2spawner.demo.directory import this_machine, write_settings
from js2spawner.demo.plan import Files, Programs, plans
from js2spawner.demo.probes import http_probe
from js2spawner.demo.run import find_programs
from js2spawner.demo.settings import Asked, DemoSettings, settle

HERE = Path(__file__).resolve().parent
# CPUCLOCK_SCHED of include/linux/posix-timers.h: the clock that clock_getcpuclockid(3) gives for a process.
_CPU_CLOCK = 2
GLANCE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Stalls:
    """How long the event loop stood still at most, and at most by its own work, in seconds."""

    longest_s: float = 0.0
    longest_busy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Hub:
    """One hub under test. Every figure is taken from outside: CPU from the kernel, the rest over HTTP."""

    name: str
    pid: int
    url: str
    session: aiohttp.ClientSession

    def cpu_s(self) -> float:
        """CPU seconds of the hub's process, all threads, in nanosecond steps; children are not in it."""
        return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK)

    async def glance(self, *, stalls: bool = True) -> Mapping[str, Any]:
        async with self.session.get(f"{self.url}/hub/bench?stalls={'yes' if stalls else 'no'}") as answer:
            answer.raise_for_status()
            return dict(await answer.json())

    async def api(self, method: str, path: str, body: object = None) -> None:
        async with self.session.request(method, f"{self.url}/hub/api{path}", json=body) as answer:
            answer.raise_for_status()

    async def watch_start(self, user: str) -> None:
        """Read a start's events to their end, as an open progress page does."""
        async with self.session.get(f"{self.url}/hub/api/users/{user}/server/progress") as answer:
            async for _line in answer.content:
                pass

    async def until(self, *, ready: int, instances: int, patience_s: float, stalls_too: bool = True) -> Stalls:
        """Wait until so many servers are ready, none is pending, and the fleet knows of at most so many instances.

        Gives the event loop's longest stalls. Raises RuntimeError when it takes too long or fewer are left.
        """
        deadline = time.monotonic() + patience_s
        stalls = Stalls()
        while time.monotonic() < deadline:
            await asyncio.sleep(GLANCE_EVERY_S)
            seen = await self.glance(stalls=stalls_too)
            stalls = Stalls(
                max(stalls.longest_s, float(seen["longest_stall_s"])),
                max(stalls.longest_busy_s, float(seen["longest_busy_s"])),
            )
            if not seen["pending"] and seen["ready"] == ready and seen["instances"] <= instances:
                return stalls
            if not seen["pending"] and seen["ready"] < ready:
                raise RuntimeError(f"{self.name}: only {seen['ready']} of {ready} servers came up; see the hub's log.")
        raise RuntimeError(f"{self.name}: not done within {patience_s:.0f} s.")


@dataclass(frozen=True, slots=True)
class Stand:
    """What a benchmark works with; `noop` and `js2` differ in their spawner alone."""

    noop: Hub
    js2: Hub
    cloud_url: str
    session: aiohttp.ClientSession

    async def calls(self) -> Mapping[str, int]:
        """Requests the cloud has got so far, by operation."""
        async with self.session.get(f"{self.cloud_url}/devcloud/calls") as answer:
            answer.raise_for_status()
            return dict((await answer.json())["calls"])


@asynccontextmanager
async def standing(
    directory: Path, boot_s: float, *, room: int = -1, regions: int = 1, hubs_first: bool = False
) -> AsyncIterator[Stand]:
    """The stand, for as long as the block lasts. Raises ChildFailed or DemoError with a sentence.

    `room`: how many instances the cloud has room for; -1 for as many as are asked for. `hubs_first`: no instance takes
    a turn from a hub, as if they ran elsewhere (for root only).
    """
    programs = find_programs()
    children = Children(say=print, patience=Patience(restarts=0), held_files=())
    try:
        js2 = _settled(directory / "js2", boot_s, regions)
        noop = _settled(directory / "noop", boot_s)
        cloud, *js2_plans = plans(js2, Files(directory / "js2"), programs, os.environ)
        _, *noop_plans = plans(noop, Files(directory / "noop"), programs, os.environ)
        notebook = _notebook(this_machine().free_port(), programs, directory)
        url = notebook.environment["JUPYTERHUB_SERVICE_URL"]
        bench = {"JS2_BENCH_WAIT_S": f"{boot_s:g}", "JS2_BENCH_NOTEBOOK_URL": url}
        # The culler asks on its own clock, and would cost now this round, now that one.
        bench["JS2_CULL_EVERY_S"] = "86400"
        if hubs_first:
            bench["JS2_BENCH_FIRST"] = "yes"
        bench["JS2_CATALOG"] = str(HERE / ("catalog.bench.yaml" if regions == 1 else "catalog.regions.yaml"))
        # A hundred instances at once are more than an allocation has unless a ticket raised it.
        in_order = [replace(cloud, argv=(*cloud.argv, "--quota-instances", str(room))), notebook]
        in_order += _benched(js2_plans, {**bench, "JS2_BENCH_SPAWNER": "js2"})
        in_order += _benched(noop_plans, {**bench, "JS2_BENCH_SPAWNER": "noop"})
        for plan in in_order:
            await children.start(plan)
        async with _session(noop) as to_noop, _session(js2) as to_js2:
            yield Stand(
                noop=await _hub("noop", noop, to_noop),
                js2=await _hub("js2", js2, to_js2),
                cloud_url=f"http://127.0.0.1:{js2.devcloud_port}",
                session=to_js2,
            )
    finally:
        await children.stop()


def _settled(directory: Path, boot_s: float, regions: int = 1) -> DemoSettings:
    directory.mkdir(parents=True)
    machine = this_machine()
    settings = settle(None, Asked(port=machine.free_port(), boot_seconds=boot_s, regions=regions), machine)
    write_settings(Files(directory), settings)
    return settings


def _notebook(port: int, programs: Programs, directory: Path) -> ChildPlan:
    """The one notebook that the no-op hub gives to everybody."""
    url = f"http://127.0.0.1:{port}"
    return ChildPlan(
        name="notebook",
        argv=(programs.python, "-I", str(HERE / "light_notebook.py"), jupyterhub.__version__),
        environment={"JUPYTERHUB_SERVICE_URL": url},
        directory=directory,
        log=directory / "notebook.log",
        healthy=http_probe(url),
        healthy_within_s=20,
        stop_within_s=5,
    )


def _benched(proxy_and_hub: list[ChildPlan], environment: Mapping[str, str]) -> list[ChildPlan]:
    proxy, hub = proxy_and_hub
    argv = (*hub.argv[:-1], str(HERE / "bench_hub_config.py"))
    return [proxy, replace(hub, argv=argv, environment={**hub.environment, **environment})]


def _session(settings: DemoSettings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"token {settings.api_token}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=600),
    )


async def _hub(name: str, settings: DemoSettings, session: aiohttp.ClientSession) -> Hub:
    hub = Hub(name, 0, f"http://127.0.0.1:{settings.hub_port}", session)
    return replace(hub, pid=int((await hub.glance())["pid"]))
