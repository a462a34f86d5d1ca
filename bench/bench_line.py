"""Many start requests in one second on a cloud with room for few, beside a spawner that does nothing, in one run.

Both hubs get the same burst, one after the other. Measured is how late their event loops were while it lasted; checked
is that nobody gets an error, that nothing answers 429, and that whoever came first gets the room that becomes free.
Then servers are stopped one by one, and the line has to move in its order.
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
from typing import Any

from stand import Hub, Stand, standing

from js2spawner.demo.children import ChildFailed
from js2spawner.demo.settings import DemoError

PATIENCE_S = 900.0
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """So many starts within `within_s`; afterwards so many servers are stopped, one after another (`moves`).

    `hubs_first`: instances that boot take no turn from a hub.
    """

    starts: int
    room: int
    within_s: float
    moves: int
    boot_s: float
    hubs_first: bool


@dataclass(frozen=True, slots=True)
class Burst:
    """What became of one hub's burst. `delays`: of its loop until the last answer, then until all had settled."""

    statuses: Mapping[int, int]
    answered_s: float
    settled_s: float
    delays: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Order:
    """How the line moved. `begun_in_order`: of those who were let through later, how many in the line's own order.

    `displaced`: by how many places the line's order differs from that of the requests, at most.
    """

    waited: int
    moved: int
    begun_in_order: int
    displaced: int


async def burst(hub: Hub, plan: Plan, settled: int) -> Burst:
    """Ask for all starts within the time, and wait until so many are ready and the rest waits."""
    await ask(hub, "delays")
    await asyncio.sleep(2)
    await ask(hub, "delays?anew=yes")
    began = time.monotonic()
    async with asyncio.TaskGroup() as requests:
        asked = []
        for number in range(plan.starts):
            asked.append(requests.create_task(start(hub, name(number))))
            await asyncio.sleep(max(0.0, began + (number + 1) * plan.within_s / plan.starts - time.monotonic()))
    answered_s = time.monotonic() - began
    until_answered = (await ask(hub, "delays"))["lately"]
    await until(hub, lambda seen: len(seen["ready"]) >= settled)
    settled_s = time.monotonic() - began
    then = await ask(hub, "delays")
    return Burst(
        Counter(task.result() for task in asked),
        answered_s,
        settled_s,
        {"until_answered": until_answered, "afterwards": then["lately"], "whole": then["whole"]},
    )


async def start(hub: Hub, user: str) -> int:
    async with hub.session.post(f"{hub.url}/hub/api/users/{user}/server") as answer:
        await answer.read()
        return answer.status


async def move(hub: Hub, plan: Plan) -> Order:
    """Stop servers and see who comes next."""
    before = await line(hub)
    waiting: list[str] = before["waiting"]
    came = {user: number for number, user in enumerate(sorted(waiting))}
    displaced = max((abs(number - rank) for rank, number in enumerate(came[user] for user in waiting)), default=0)
    begun: dict[str, float] = {}
    moves = min(plan.moves, len(waiting))
    for number in range(moves):
        ready = sorted((await line(hub))["ready"])
        await hub.api("DELETE", f"/users/{ready[0]}/server")
        left = len(waiting) - number - 1
        seen = await until(hub, lambda seen, left=left: len(seen["waiting"]) <= left)
        begun |= {user: at for user, at in seen["begun"].items() if user in came}
        await until(hub, lambda seen: len(seen["ready"]) > 0)
    in_order = sorted(begun, key=lambda user: begun[user])
    return Order(len(waiting), len(begun), sum(a == b for a, b in zip(in_order, waiting, strict=False)), displaced)


async def until(hub: Hub, true: Any) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = await line(hub)
        if true(seen):
            return seen
        await asyncio.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"{hub.name}: not done within {PATIENCE_S:.0f} s; {await line(hub)}")


async def line(hub: Hub) -> dict[str, Any]:
    return await ask(hub, "line")


async def ask(hub: Hub, what: str) -> dict[str, Any]:
    async with hub.session.get(f"{hub.url}/hub/bench/{what}") as answer:
        answer.raise_for_status()
        return dict(await answer.json())


def name(number: int) -> str:
    return f"user{number:03d}"


async def measure(stand: Stand, plan: Plan) -> dict[str, Any]:
    bursts: dict[str, Burst] = {}
    for hub in (stand.noop, stand.js2):
        await hub.api("POST", "/users", {"usernames": [name(number) for number in range(plan.starts)]})
        ready = plan.room if hub is stand.js2 else plan.starts
        bursts[hub.name] = await burst(hub, plan, ready)
        print(f"{hub.name:>5}: {bursts[hub.name]}", flush=True)
    order = await move(stand.js2, plan)
    seen = await line(stand.js2)
    return {"bursts": bursts, "order": order, "seen": seen}


def told(plan: Plan, measured: Mapping[str, Any]) -> str:
    """The table."""
    rows = [f"{plan.starts} starts in {plan.within_s:g} s, room for {plan.room}", ""]
    rows.append(f"{'hub':<6}{'answers':<14}{'answered':>10}{'settled':>9}   loop's delay, p50 / p99 / max ms (own p99)")
    for hub, each in measured["bursts"].items():
        statuses = ", ".join(f"{count} × {status}" for status, count in sorted(each.statuses.items()))
        rows.append(
            f"{hub:<6}{statuses:<14}{each.answered_s:>8.1f} s{each.settled_s:>7.1f} s   "
            + ", ".join(
                f"{when.replace('_', ' ')} "
                + " / ".join(f"{1000 * parts[part]:.0f}" for part in ("p50_s", "p99_s", "max_s"))
                + f" ({1000 * parts['own_p99_s']:.0f})"
                for when, parts in each.delays.items()
            )
        )
    order, seen = measured["order"], measured["seen"]
    rows += [
        "",
        f"line: {order.waited} waited, {order.moved} let through one by one, {order.begun_in_order} of them in order; "
        f"displaced by {order.displaced} at most",
        f"cloud calls: {seen['calls']}",
        f"starts: {seen['starts']}; turns: {seen['turns']}",
    ]
    return "\n".join(rows)


def figures(measured: Mapping[str, Any]) -> dict[str, Any]:
    bursts, order, seen = measured["bursts"], measured["order"], measured["seen"]
    return {
        "hubs": {
            hub: {
                "statuses": {str(status): count for status, count in each.statuses.items()},
                "answered_s": round(each.answered_s, 1),
                "settled_s": round(each.settled_s, 1),
                "delays_ms": {
                    when: {part.removesuffix("_s"): round(1000 * value) for part, value in parts.items()}
                    for when, parts in each.delays.items()
                },
            }
            for hub, each in bursts.items()
        },
        "p99_over_noop_ms": {
            when: round(1000 * (bursts["js2"].delays[when]["p99_s"] - bursts["noop"].delays[when]["p99_s"]))
            for when in ("until_answered", "afterwards", "whole")
        },
        "waited": order.waited,
        "moved": order.moved,
        "in_order": order.begun_in_order,
        "displaced": order.displaced,
        "cloud_calls": seen["calls"],
        "starts": seen["starts"],
        "turns": seen["turns"],
    }


def wrong(measured: Mapping[str, Any]) -> list[str]:
    """What must not be."""
    order, seen = measured["order"], measured["seen"]
    found = [
        f"{hub}: {count} requests were answered {status}"
        for hub, each in measured["bursts"].items()
        for status, count in each.statuses.items()
        if status >= 400
    ]
    found += [f"cloud call {call}: {count:g}" for call, count in seen["calls"].items() if "throttled" in call]
    found += [f"{count:g} starts ended: {how}" for how, count in seen["starts"].items() if how != "ready"]
    if order.begun_in_order != order.moved:
        found.append(f"only {order.begun_in_order} of {order.moved} were let through in the line's order")
    return found


def main() -> None:
    options = _parser().parse_args()
    plan = Plan(
        options.starts, options.room, options.within_seconds, options.moves, options.boot_seconds, options.hubs_first
    )
    try:
        measured = asyncio.run(_run(plan, options.dir))
    except (ChildFailed, DemoError, RuntimeError) as problem:
        sys.exit(f"bench_line: {problem}")
    print(told(plan, measured))
    result = {
        "benchmark": "line",
        "command": " ".join(["bench/bench_line.py", *sys.argv[1:]]),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "starts": plan.starts,
        "room": plan.room,
        "boot_s": plan.boot_s,
        **figures(measured),
    }
    found: Sequence[str] = wrong(measured)
    for each in found:
        print(f"wrong: {each}")
    print(json.dumps(result))
    if found:
        sys.exit(1)


async def _run(plan: Plan, directory: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="js2-bench-", dir=directory) as made:
        async with standing(Path(made), plan.boot_s, room=plan.room, hubs_first=plan.hubs_first) as stand:
            return await measure(stand, plan)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--starts", type=int, default=500, help="requests (default: %(default)s)")
    add("--room", type=int, default=50, help="instances the cloud has room for (default: %(default)s)")
    add("--within-seconds", type=float, default=1.0, help="how fast they come (default: %(default)s)")
    add("--moves", type=int, default=20, help="servers stopped afterwards, one by one (default: %(default)s)")
    add("--boot-seconds", type=float, default=20.0, help="how long an instance boots (default: %(default)s)")
    add(
        "--hubs-first", action="store_true", help="no instance takes a turn from a hub, as if they ran elsewhere (root)"
    )
    add("--dir", type=Path, help="where the stand's directory is made (default: the system's for temporary files)")
    return parser


if __name__ == "__main__":
    main()
