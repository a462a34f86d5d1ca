"""What a start costs the hub and the cloud, beside a spawner that does nothing, in one run on one machine.

Two hubs that differ in their spawner alone get the same requests, in turn. Each round starts so many servers, waits
until all are ready, stops them, and waits until all are gone. A hub's CPU is that of its process, less what it uses
while idle over the same time. Durations are not compared: a noisy machine changes those more than a ratio of two CPUs.
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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stand import GLANCE_EVERY_S, Hub, Stalls, Stand, standing

from js2spawner.demo.children import ChildFailed
from js2spawner.demo.settings import DemoError

IDLE_S = 20.0
PATIENCE_S = 400.0
# What is asked for on everybody's behalf; all else is a start's or a stop's own.
SHARED = ("compute.servers.list",)


@dataclass(frozen=True, slots=True)
class Part:
    """One half of a round, all starts or all stops."""

    cpu_s: float
    wall_s: float
    stalls: Stalls
    calls: Counter[str]


@dataclass(frozen=True, slots=True)
class Round:
    """So many servers started and stopped on one hub; `idle_rate` is CPU seconds a second before the round."""

    users: int
    idle_rate: float
    starts: Part
    stops: Part

    def ms_per(self, part: Part) -> float:
        """Milliseconds of hub CPU for each server, over what an idle hub uses."""
        return 1000 * (part.cpu_s - self.idle_rate * part.wall_s) / self.users

    def __str__(self) -> str:
        return (
            f"{self.ms_per(self.starts):.1f} ms a start (all ready after {self.starts.wall_s:.0f} s, "
            f"stall {1000 * self.starts.stalls.longest_s:.0f} ms, by own work "
            f"{1000 * self.starts.stalls.longest_busy_s:.0f} ms), {self.ms_per(self.stops):.1f} ms a stop, "
            f"idle {100 * self.idle_rate:.1f} %; {told(self.starts.calls)}; then {told(self.stops.calls)}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: (users, rounds) in order, at how many requests a second.

    `watched`: each start has a progress page open. `together`: both hubs play at once, under the same load.
    """

    sizes: Sequence[tuple[int, int]]
    boot_s: float
    requests_per_s: float
    watched: bool
    together: bool


async def measure(stand: Stand, plan: Plan) -> dict[int, dict[str, list[Round]]]:
    """All rounds by size and hub. The hubs take turns, so that noise hits both, or play at the same time."""
    hubs = (stand.noop, stand.js2)
    most = max(users for users, _ in plan.sizes)
    for hub in hubs:
        await hub.api("POST", "/users", {"usernames": [name(number) for number in range(most)]})
        # The first start signs in and learns images, flavors and network: not what every start costs.
        cold = await play(stand, hub, 1, 0.0, plan)
        print(f"{hub.name:>5}: first start of all: {1000 * cold.starts.cpu_s:.0f} ms; {told(cold.starts.calls)}")
    turns = [hubs] if plan.together else [(hub,) for hub in hubs]
    measured: dict[int, dict[str, list[Round]]] = {}
    for users, rounds in plan.sizes:
        measured[users] = {hub.name: [] for hub in hubs}
        for _ in range(rounds):
            idle = await idle_rates(hubs, stalls=users > 1)
            for turn in turns:
                played = await asyncio.gather(*(play(stand, hub, users, idle[hub.name], plan) for hub in turn))
                for hub, one in zip(turn, played, strict=True):
                    measured[users][hub.name].append(one)
                    print(f"{hub.name:>5} × {users}: {one}", flush=True)
    return measured


async def idle_rates(hubs: Sequence[Hub], *, stalls: bool) -> Mapping[str, float]:
    """CPU seconds a second of each hub while nothing is asked of it but the glances of a round."""
    await asyncio.gather(*(hub.glance(stalls=stalls) for hub in hubs))
    before, began = {hub.name: hub.cpu_s() for hub in hubs}, time.monotonic()
    while time.monotonic() - began < IDLE_S:
        await asyncio.gather(*(hub.glance(stalls=stalls) for hub in hubs))
        await asyncio.sleep(GLANCE_EVERY_S)
    wall_s = time.monotonic() - began
    return {hub.name: (hub.cpu_s() - before[hub.name]) / wall_s for hub in hubs}


async def play(stand: Stand, hub: Hub, users: int, idle_rate: float, plan: Plan) -> Round:
    """One round on one hub."""
    starts = await part(stand, hub, "POST", users, plan)
    stops = await part(stand, hub, "DELETE", users, plan)
    return Round(users, idle_rate, starts, stops)


async def part(stand: Stand, hub: Hub, method: str, users: int, plan: Plan) -> Part:
    """Ask for all starts (POST) or stops (DELETE) at the plan's pace, and wait for the last of them."""
    # One start alone freezes nobody, and watching for it would cost as much as the start.
    watch_stalls = users > 1
    await hub.glance(stalls=watch_stalls)
    calls, cpu_s, began = await stand.calls(), hub.cpu_s(), time.monotonic()
    readers: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as requests:
        for number in range(users):
            requests.create_task(hub.api(method, f"/users/{name(number)}/server"))
            if plan.watched and method == "POST":
                readers.append(asyncio.create_task(hub.watch_start(name(number))))
            await asyncio.sleep(1 / plan.requests_per_s)
    there = users if method == "POST" else 0
    stalls = await hub.until(ready=there, instances=there, patience_s=PATIENCE_S, stalls_too=watch_stalls)
    await asyncio.gather(*readers)
    cpu_s, wall_s = hub.cpu_s() - cpu_s, time.monotonic() - began
    return Part(cpu_s, wall_s, stalls, Counter(await stand.calls()) - Counter(calls))


def name(number: int) -> str:
    return f"user{number:03d}"


def told(calls: Counter[str]) -> str:
    return ", ".join(f"{operation} {count}" for operation, count in calls.most_common()) or "no cloud calls"


def own(calls: Counter[str]) -> int:
    """Calls beyond the shared list."""
    return sum(count for operation, count in calls.items() if operation not in SHARED)


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    return {
        "n": len(values),
        "min": round(min(values), digits),
        "median": round(median(values), digits),
        "max": round(max(values), digits),
    }


def figures(measured: Mapping[int, Mapping[str, Sequence[Round]]]) -> dict[str, object]:
    """The JSON form of what was measured, by number of users."""
    return {str(users): _figures_of(hubs) for users, hubs in measured.items()}


def _figures_of(hubs: Mapping[str, Sequence[Round]]) -> dict[str, object]:
    js2, noop = hubs["js2"], hubs["noop"]
    costs = {
        hub: {
            "start_cpu_ms": spread([each.ms_per(each.starts) for each in rounds]),
            "stop_cpu_ms": spread([each.ms_per(each.stops) for each in rounds]),
            "all_ready_s": spread([each.starts.wall_s for each in rounds]),
            "longest_stall_ms": spread([1000 * each.starts.stalls.longest_s for each in rounds]),
            "longest_stall_by_own_work_ms": spread([1000 * each.starts.stalls.longest_busy_s for each in rounds]),
            "idle_cpu_percent": spread([100 * each.idle_rate for each in rounds]),
        }
        for hub, rounds in hubs.items()
    }
    return {
        **costs,
        "start_cpu_ratio": _ratio([r.ms_per(r.starts) for r in js2], [r.ms_per(r.starts) for r in noop]),
        "stop_cpu_ratio": _ratio([r.ms_per(r.stops) for r in js2], [r.ms_per(r.stops) for r in noop]),
        "own_calls_per_start": spread([own(each.starts.calls) / each.users for each in js2]),
        "own_calls_per_stop": spread([own(each.stops.calls) / each.users for each in js2]),
        "shared_lists_per_round": spread([each.starts.calls["compute.servers.list"] for each in js2]),
    }


def _ratio(ours: Sequence[float], noops: Sequence[float]) -> float:
    return round(median(ours) / median(noops), 2)


def main() -> None:
    options = _parser().parse_args()
    plan = Plan(options.sizes, options.boot_seconds, options.requests_per_second, options.watched, options.together)
    try:
        measured = asyncio.run(_run(plan, options.dir))
    except (ChildFailed, DemoError, RuntimeError) as problem:
        sys.exit(f"bench_starts: {problem}")
    result = {
        "benchmark": "starts",
        "command": " ".join(["bench/bench_starts.py", *sys.argv[1:]]),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "boot_s": plan.boot_s,
        "requests_per_s": plan.requests_per_s,
        "watched": plan.watched,
        "together": plan.together,
        "users": figures(measured),
    }
    print(json.dumps(result))


async def _run(plan: Plan, directory: Path | None) -> dict[int, dict[str, list[Round]]]:
    with tempfile.TemporaryDirectory(prefix="js2-bench-", dir=directory) as made:
        async with standing(Path(made), plan.boot_s) as stand:
            return await measure(stand, plan)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--sizes", type=_sizes, default="1x3,30x3,100x1", help="users x rounds, with commas (default: %(default)s)")
    add("--boot-seconds", type=float, default=20.0, help="how long an instance boots (default: %(default)s)")
    add("--requests-per-second", type=float, default=20.0, help="pace of starts and stops (default: %(default)s)")
    add("--watched", action="store_true", help="keep a progress page's stream open for every start")
    add("--together", action="store_true", help="let both hubs play at once instead of in turns")
    add("--dir", type=Path, help="where the stand's directory is made (default: the system's for temporary files)")
    return parser


def _sizes(text: str) -> list[tuple[int, int]]:
    try:
        sizes = [(int(users), int(rounds)) for users, rounds in (each.split("x") for each in text.split(","))]
    except ValueError:
        sizes = []
    if not sizes or min(map(min, sizes)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 1x3,30x3,100x1.")
    return sizes


if __name__ == "__main__":
    main()
