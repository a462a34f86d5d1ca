"""What a start takes when the first of its regions is away, beside starts in a healthy cloud, in one run.

One embedded cloud with two regions, one hub. In each round the first region is healthy, then answers every call with
503, refuses connections, and takes connections without ever answering. Each time one start is asked for in the moment
of the outage, which the hub cannot know of, and one more once it knows. Measured is the time from the request to the
launch of the attempt that came up (the decision), and to the notebook.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from stand import GLANCE_EVERY_S, Hub, Stand, standing

from js2spawner.demo.children import ChildFailed
from js2spawner.demo.settings import DemoError

# The first region, as the cloud and as the catalog call it, and the other one in the catalog.
IN_CLOUD, FIRST, SECOND = "RegionOne", "here", "there"
OUTAGES = ("fail", "refuse", "hang")
OPTIONS = {"image": "minimal", "flavor": "m3.tiny"}
PATIENCE_S = 400.0
USER = "traveller"


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds from the request; `tries` are the launches, the last of which came up in `region`."""

    decided_s: float
    ready_s: float
    tries: int
    region: str

    def __str__(self) -> str:
        told = f"decided after {self.decided_s:.1f} s, notebook after {self.ready_s:.1f} s"
        return f"{told}, launch {self.tries}, {self.region}"


async def measure(stand: Stand, rounds: int) -> Mapping[str, Sequence[Taken]]:
    """All rounds, by what was asked of the hub in which situation."""
    hub = stand.js2
    await hub.api("POST", "/users", {"usernames": [USER]})
    # The first start signs in to both regions and learns what they have: not what every start takes.
    await timed(hub)
    measured: dict[str, list[Taken]] = defaultdict(list)
    for _ in range(rounds):
        await note(measured, "healthy", hub)
        for outage in OUTAGES:
            await put_out(stand, outage)
            await note(measured, f"{outage}, unnoticed", hub)
            await until_down(hub, wanted=True)
            await note(measured, f"{outage}, known", hub)
            await put_out(stand, "")
            await until_down(hub, wanted=False)
    return measured


async def note(measured: dict[str, list[Taken]], situation: str, hub: Hub) -> None:
    taken = await timed(hub)
    expected = FIRST if situation == "healthy" else SECOND
    if taken.region != expected:
        raise RuntimeError(f"{situation}: the server came up in {taken.region}, not in {expected}.")
    measured[situation].append(taken)
    print(f"{situation:>18}: {taken}", flush=True)


async def timed(hub: Hub) -> Taken:
    """One start, and its stop. What is left in the region that is out goes once that is back."""
    asked_at, began = time.time(), time.monotonic()
    await hub.api("POST", f"/users/{USER}/server", OPTIONS)
    launches: list[float] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in events(hub):
            told = event.get("js2") or {}
            if told.get("kind") == "plan":
                launches.append(datetime.fromisoformat(told["started_at"]).timestamp() - asked_at)
            if event.get("failed"):
                raise RuntimeError(f"A start failed: {event.get('message')}")
            if event.get("ready"):
                break
    ready_s = time.monotonic() - began
    region = str((await hub.glance(stalls=False))["running_in"][-1])
    await hub.api("DELETE", f"/users/{USER}/server")
    async with asyncio.timeout(PATIENCE_S):
        while (seen := await hub.glance(stalls=False))["pending"] or seen["ready"]:
            await asyncio.sleep(GLANCE_EVERY_S)
    return Taken(launches[-1], ready_s, len(launches), region)


async def events(hub: Hub) -> Any:
    """What a start tells, from its beginning."""
    async with hub.session.get(f"{hub.url}/hub/api/users/{USER}/server/progress") as answer:
        answer.raise_for_status()
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


async def put_out(stand: Stand, outage: str) -> None:
    async with stand.session.put(f"{stand.cloud_url}/devcloud/regions/{IN_CLOUD}", json={"out": outage}) as answer:
        answer.raise_for_status()


async def until_down(hub: Hub, *, wanted: bool) -> None:
    """Wait until the hub knows that the first region is down, or is not."""
    async with asyncio.timeout(PATIENCE_S):
        while (FIRST in (await hub.glance(stalls=False))["down"]) is not wanted:
            await asyncio.sleep(GLANCE_EVERY_S)


def figures(measured: Mapping[str, Sequence[Taken]]) -> dict[str, object]:
    return {
        situation: {
            "decided_s": spread([each.decided_s for each in taken]),
            "ready_s": spread([each.ready_s for each in taken]),
            "tries": sorted({each.tries for each in taken}),
        }
        for situation, taken in measured.items()
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "n": len(values),
        "min": round(min(values), 2),
        "median": round(median(values), 2),
        "max": round(max(values), 2),
    }


def main() -> None:
    options = _parser().parse_args()
    try:
        measured = asyncio.run(_run(options.rounds, options.boot_seconds, options.dir))
    except (ChildFailed, DemoError, RuntimeError) as problem:
        sys.exit(f"bench_failover: {problem}")
    result = {
        "benchmark": "failover",
        "command": " ".join(["bench/bench_failover.py", *sys.argv[1:]]),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "boot_s": options.boot_seconds,
        "situations": figures(measured),
    }
    print(json.dumps(result))


async def _run(rounds: int, boot_s: float, directory: Path | None) -> Mapping[str, Sequence[Taken]]:
    with tempfile.TemporaryDirectory(prefix="js2-bench-", dir=directory) as made:
        async with standing(Path(made), boot_s, regions=2) as stand:
            return await measure(stand, rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often each situation is played (default: %(default)s)")
    add("--boot-seconds", type=float, default=5.0, help="how long an instance boots (default: %(default)s)")
    add("--dir", type=Path, help="where the stand's directory is made (default: the system's for temporary files)")
    return parser


if __name__ == "__main__":
    main()
