"""What importing a server ahead of time saves: from the assignment to the first HTTP 200, in turns with a cold start.

The real jupyterhub-singleuser with the JupyterLab of this environment, started by the guest's own code, and a stand-in
for the hub's API. `python bench/bench_preload.py [--rounds N]`; the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupyterhub
from aiohttp import web

from js2spawner.guest import launch, processes, standby
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import Assignment
from js2spawner.guest.rundir import RunDir

ADDRESS = "127.0.0.1"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.002


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds to HTTP 200 at api, CPU seconds used in them, and what standing by had cost before."""

    wall_s: float
    cpu_s: float
    standby_cpu_s: float
    memory_mb: float
    private_mb: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind (default: %(default)s)")
    parser.add_argument("--program", default="jupyterhub-singleuser", choices=launch.LAB_PROGRAMS[:2])
    options = parser.parse_args()
    if os.geteuid() == 0:
        # A server never runs as root: to this process and its children root is an ordinary account, files included.
        ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000", sys.executable, *sys.argv]
        return subprocess.run(ordinary, check=False).returncode
    figures = asyncio.run(_measure(options.rounds, options.program))
    _print(figures, options)
    return 0


async def _measure(rounds: int, program: str) -> Mapping[str, list[Start]]:
    figures: dict[str, list[Start]] = {"cold": [], "preloaded": []}
    async with _hub() as hub_url:
        for number in range(rounds):
            for kind, told in figures.items():
                told.append(await _start(kind == "preloaded", program, hub_url))
                print(f"round {number + 1}, {kind}: {told[-1].wall_s:.3f} s", flush=True)
    return figures


async def _start(preloaded: bool, program: str, hub_url: str) -> Start:
    with tempfile.TemporaryDirectory(prefix="js2-preload-") as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        os.environ["HOME"] = str(home)
        waiting = None
        if preloaded:
            waiting = standby.begin(launch.search_path(os.environ), time.monotonic)
            assert waiting is not None, "no jupyterhub-singleuser beside this Python"
            await _ready(waiting.child.pid)
        run = RunDir(folder / "run")
        given = _assignment(program, hub_url)
        owner = Account("bench", os.geteuid(), os.getegid(), (), str(home), "/bin/sh", switch=False)
        stood_by_s = _cpu_s(waiting.child.pid) if waiting else 0.0
        # No node, as in an image: where there is one, a cold start asks it for half a second.
        variables = launch.environment(given, owner, run, {"PATH": standby.NOWHERE})
        began = time.perf_counter()
        server = launch.start(launch.arguments(given, run), variables, owner, run.log / "server.log", waiting)
        try:
            await _answers(server, given)
            wall_s = time.perf_counter() - began
            if waiting is not None and (answer := waiting.answer()) != standby.BECAME:
                raise SystemExit(f"The process that stood by did not become the server: {answer}.")
            if server.poll() is not None or not wall_s < PATIENCE_S:
                raise SystemExit(
                    f"The server did not come up; it said:\n{(run.log / 'server.log').read_text()[-2000:]}"
                )
            memory_mb, private_mb = _memory_mb(server.pid)
            return Start(wall_s, _cpu_s(server.pid) - stood_by_s, stood_by_s, memory_mb, private_mb)
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()


def _assignment(program: str, hub_url: str) -> Assignment:
    port = _free_port()
    return Assignment(
        id="bench",
        user_name="bench",
        uid=1000,
        sudo=False,
        argv=(program,),
        env=_hubs_variables(hub_url, port),
        address=ADDRESS,
        port=port,
        certificates=None,
        gpu=False,
    )


def _hubs_variables(hub_url: str, port: int) -> dict[str, str]:
    """What JupyterHub's Spawner.get_env() gives."""
    return {
        "JUPYTERHUB_API_TOKEN": "t" * 32,
        "JPY_API_TOKEN": "t" * 32,
        "JUPYTERHUB_ADMIN_ACCESS": "1",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-bench",
        "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/bench/oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=bench/", "access:servers!user=bench"]',
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=bench/", "access:servers!user=bench"]',
        "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": "[]",
        "JUPYTERHUB_USER": "bench",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_API_URL": f"{hub_url}/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": f"{hub_url}/hub/api/users/bench/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_PUBLIC_URL": "",
        "JUPYTERHUB_PUBLIC_HUB_URL": "",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/bench/",
        "JUPYTERHUB_SERVICE_URL": f"http://{ADDRESS}:{port}",
        "LANG": "C.UTF-8",
    }


@asynccontextmanager
async def _hub() -> AsyncIterator[str]:
    """As much of a hub's API as a server asks for before it listens."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"version": jupyterhub.__version__}, headers=_VERSION)

    application = web.Application()
    application.router.add_route("*", "/hub/api{tail:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, 0).start()
    try:
        yield f"http://{ADDRESS}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


_VERSION = {"X-JupyterHub-Version": jupyterhub.__version__}


async def _answers(server: subprocess.Popen[bytes], given: Assignment) -> None:
    """Wait until the server answers 200 at api, has ended, or has taken too long."""
    deadline = time.monotonic() + PATIENCE_S
    path = given.env["JUPYTERHUB_SERVICE_PREFIX"] + "api"
    while time.monotonic() < deadline and server.poll() is None:
        try:
            reader, writer = await asyncio.open_connection(given.address, given.port)
        except OSError:
            await asyncio.sleep(LOOK_EVERY_S)
            continue
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {given.address}\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        if line.split()[1:2] == [b"200"]:
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def _ready(pid: int) -> None:
    """Wait until a process has imported all and waits for its order."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = processes.read(pid)
        if seen is not None and seen.name == standby.READY:
            return
        await asyncio.sleep(0.05)
    raise SystemExit("The process that stands by does not get ready.")


def _cpu_s(pid: int) -> float:
    seen = processes.read(pid)
    return seen.ticks / TICKS_PER_S if seen else 0.0


def _memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process, all of it and what it shares with nobody."""
    told = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    private_kb = int(told["Private_Clean:"]) + int(told["Private_Dirty:"])
    return int(told["Rss:"]) / 1024, private_kb / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def _three(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _print(figures: Mapping[str, list[Start]], options: argparse.Namespace) -> None:
    told: dict[str, Any] = {"bench": "preload", "program": options.program, "rounds": options.rounds}
    for kind, starts in figures.items():
        told[kind] = {
            name: {key: round(value, 3) for key, value in _three([getattr(one, name) for one in starts]).items()}
            for name in ("wall_s", "cpu_s", "standby_cpu_s", "memory_mb", "private_mb")
        }
        shown = told[kind]["wall_s"]
        print(f"{kind}: {shown['min']:.3f} / {shown['median']:.3f} / {shown['max']:.3f} s (min / median / max)")
    told["ratio"] = round(told["cold"]["wall_s"]["median"] / told["preloaded"]["wall_s"]["median"], 1)
    told["load1"] = round(os.getloadavg()[0], 1)
    print(json.dumps(told))


if __name__ == "__main__":
    sys.exit(main())
