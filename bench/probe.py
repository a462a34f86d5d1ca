"""What a benchmark asks the hub from outside: who is ready, and how long its event loop stood still at most.

A loop stands still because its own work takes long, or because the machine gives it no turn (other processes, a disk).
So a stall comes with the CPU that the loop's thread used meanwhile: that part is the hub's own doing.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import ClassVar

from tornado import web

from js2spawner.fleet.configuration import Js2Fleet
from js2spawner.instance import Running

# A stall shows short by this much at most; looking more often would cost more than an idle hub does.
_LOOK_EVERY_S = 0.05


class Glance(web.RequestHandler):
    """GET /hub/bench: the hub's process, its servers by state, and the longest stall since it was last asked.

    `?stalls=no` has nobody look for stalls until the next question: looking costs more than an idle hub does, and a
    lone start would drown in it.
    """

    _watch: ClassVar[asyncio.Task[None] | None] = None
    _longest_stall_s: ClassVar[float] = 0.0
    _longest_busy_s: ClassVar[float] = 0.0

    def get(self) -> None:
        self._watch_stalls(self.get_query_argument("stalls", "yes") != "no")
        spawners = [spawner for user in self.settings["users"].values() for spawner in user.spawners.values()]
        fleet = Js2Fleet.instance().fleet if Js2Fleet.initialized() else None
        self.finish(
            {
                "pid": os.getpid(),
                "ready": sum(spawner.ready for spawner in spawners),
                "pending": sum(bool(spawner.pending) for spawner in spawners),
                "instances": len(fleet.live()) if fleet else 0,
                "running_in": [r.plan.region for r in fleet.live() if isinstance(r.state, Running)] if fleet else [],
                "down": [name for name in fleet.desks if fleet.breaker.is_open(name)] if fleet else [],
                "longest_stall_s": Glance._longest_stall_s,
                "longest_busy_s": Glance._longest_busy_s,
            }
        )
        Glance._longest_stall_s = Glance._longest_busy_s = 0.0

    @classmethod
    def _watch_stalls(cls, wanted: bool) -> None:
        if wanted and cls._watch is None:
            cls._watch = asyncio.get_running_loop().create_task(cls._look())
        elif not wanted and cls._watch is not None:
            cls._watch.cancel()
            cls._watch = None

    @classmethod
    async def _look(cls) -> None:
        """A sleep that ends late was held up by whatever ran in its stead."""
        while True:
            before, cpu_before = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_LOOK_EVERY_S)
            stall_s = time.perf_counter() - before - _LOOK_EVERY_S
            cls._longest_stall_s = max(cls._longest_stall_s, stall_s)
            cls._longest_busy_s = max(cls._longest_busy_s, min(stall_s, time.thread_time() - cpu_before))
