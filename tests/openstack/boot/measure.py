"""How long starts on machines that truly boot take, by stage: `python -m tests.openstack.boot.measure --starts 3`.

The last line is one JSON object. Stages are the hub's own: create (until ACTIVE), boot (until the hello), assign (until
the account is made), notebook (until the server answers), and the total.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import click

from js2spawner.library.boot.emulator import accelerator
from tests.browser.whole import until
from tests.openstack.boot import cloud as clouds
from tests.openstack.boot import images
from tests.openstack.boot.cloud import IMAGE, BootingCloud
from tests.openstack.boot.hub import HubAtTheRouter, Site
from tests.openstack.boot.room import Room
from tests.openstack.rig.seed import NETWORK

GONE_WITHIN_S = 600
USER = "alice"


def starts(hub: HubAtTheRouter, count: int) -> list[Mapping[str, float]]:
    """The stages of so many starts, one after the other, each on an instance of its own."""
    hub.rest("POST", f"/users/{USER}").raise_for_status()
    return [_start(hub) for _ in range(count)]


def _start(hub: HubAtTheRouter) -> Mapping[str, float]:
    before = len(_timings(hub))
    hub.rest("POST", f"/users/{USER}/server", {"image": "lab", "flavor": "m3.quad"}).raise_for_status()
    hub.await_start(USER)
    stages = dict(_timings(hub)[before:])
    hub.rest("DELETE", f"/users/{USER}/server").raise_for_status()
    until(lambda: not hub.instances(USER) and not hub.server_model(USER), "the instance is gone", GONE_WITHIN_S)
    return {stage: round(seconds, 1) for stage, seconds in stages.items()}


def _timings(hub: HubAtTheRouter) -> list[tuple[str, float]]:
    with sqlite3.connect(hub.files.hub / "js2.sqlite") as table:
        return list(table.execute("SELECT stage, seconds FROM js2_timing ORDER BY id"))


def measured(cloud: BootingCloud, folder: Path, count: int) -> Mapping[str, object]:
    site = Site(cloud.people, NETWORK, IMAGE, cloud.router)
    with HubAtTheRouter(folder, site, USER) as hub:
        seen = starts(hub, count)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "accelerator": accelerator(),
        "load": [round(each, 1) for each in os.getloadavg()],
        "starts": seen,
    }


@click.command()
@click.option("--starts", "count", default=1, show_default=True, help="how many, one after the other")
def main(count: int) -> None:
    """Measure starts in a cloud of its own."""
    clouds.install(click.echo)
    image = images.minimal(click.echo)
    with tempfile.TemporaryDirectory(prefix="js2-boot-") as name, Room() as room, room.network():
        since = time.monotonic()
        cloud = clouds.start(room, Path(name), image)
        click.echo(f"cloud: {time.monotonic() - since:.0f} s")
        click.echo(json.dumps(measured(cloud, Path(name) / "hub", count)))


if __name__ == "__main__":
    main()
