"""One region of a devcloud: memory, machines and services of its own, at a port of its own unless it is the only one.

Keystone is one for all of them, and so are the people in it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from js2spawner.devcloud import cinder, control, gate, glance, manila, neutron, nova
from js2spawner.devcloud.cloud import DevCloud, Outage, Place
from js2spawner.devcloud.nova.machine_of import spec_at
from js2spawner.devcloud.script import OutageText, ScriptError, parse

SERVICES = (nova.SERVICE, glance.SERVICE, neutron.SERVICE, cinder.SERVICE, manila.SERVICE)
HOST = "127.0.0.1"
MAX_BODY_BYTES = 2**20
_GOODBYE_S = 2.0


def folder_of(directory: Path, name: str, *, first: bool) -> Path:
    """Where a region keeps its files: the first one where a devcloud of one region does."""
    return directory if first else directory / "regions" / name


@dataclass(slots=True)
class Region:
    """A region that answers at `port`. Without a port it has none of its own: its routes are in another application."""

    cloud: DevCloud
    port: int
    runner: web.AppRunner | None = None
    site: web.SockSite | None = None

    async def open(self) -> None:
        """Go on where its servers stood, and answer."""
        await self.cloud.hypervisor.start()
        self.cloud.life.resume()
        await self.cloud.store.flush()
        if self.port:
            app = web.Application(client_max_size=MAX_BODY_BYTES)
            add_services(app, self.cloud)
            self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GOODBYE_S)
            await self.runner.setup()
            await self.set_out(self.cloud.out)

    async def close(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
        await self.cloud.life.close()
        await self.cloud.hypervisor.shutdown()
        self.cloud.store.close()

    async def set_out(self, out: Outage) -> None:
        """How it does not work from now on, or that it does. Raises ScriptError."""
        if out == "refuse" and not self.port:
            raise ScriptError("out: the only region has no port of its own to close; use hang or fail")
        self.cloud.out = out
        if out == "refuse" and self.site is not None:
            await self.site.stop()
            self.site = None
        elif out != "refuse" and self.site is None and self.runner is not None:
            self.site = web.SockSite(self.runner, listening(self.port))
            await self.site.start()


def add_services(app: web.Application, cloud: DevCloud) -> None:
    """What a region answers, but for Keystone."""
    for service in SERVICES:
        app.router.add_routes(gate.routes(cloud, service))
    app.add_subapp("/metadata", cloud.hypervisor.metadata_app(partial(spec_at, cloud)))


def control_routes(regions: Mapping[str, Region]) -> list[web.RouteDef]:
    """All that may be told each region, and in which order it is."""
    first = next(iter(regions.values())).cloud

    async def show(cloud: DevCloud, request: web.Request, body: Any) -> object:  # noqa: ARG001
        return {"regions": {name: _view(region) for name, region in regions.items()}}

    async def set_out(cloud: DevCloud, request: web.Request, body: Any) -> object:
        name = request.match_info["name"]
        if name not in regions:
            raise ScriptError(f"there is no region {name}")
        await regions[name].set_out(parse(OutageText, body, where="out").out)
        return await show(cloud, request, body)

    own = [
        web.get("/devcloud/regions", control.guarded(first, show)),
        web.put("/devcloud/regions/{name}", control.guarded(first, set_out)),
    ]
    named = [
        route for name, region in regions.items() for route in control.routes(region.cloud, f"/devcloud/regions/{name}")
    ]
    return [*own, *control.routes(first, "/devcloud"), *named]


def _view(region: Region) -> dict[str, str]:
    settings = region.cloud.settings
    return {"url": settings.url, "addresses": str(settings.addresses), "out": region.cloud.out}


def places(regions: Mapping[str, Region]) -> dict[str, Place]:
    return {name: Place(region.cloud.settings.url, region.cloud.settings.addresses) for name, region in regions.items()}


def listening(port: int) -> socket.socket:
    """Raises OSError when the port is somebody else's."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def free_port(wanted: tuple[int, ...], taken: Callable[[int], bool]) -> int:
    """The first of these that nobody has, or any other one."""
    for port in (*wanted, 0):
        if taken(port):
            continue
        try:
            with closing(listening(port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    raise AssertionError("port 0 is always free")
