"""What the benchmark of the line asks a hub from outside: how late its event loop was, and who stands where.

A sleep that ends late was held up by whatever ran in its stead, and so would everybody have been who came meanwhile: a
stall of a second counts as a second for who came at its beginning and as less for those after. Without that
correction a loop that stands still is measured once, and looks fast. A stall comes with the CPU that the loop's thread
used meanwhile ("own"): the rest is the machine's, which here boots the instances too.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from prometheus_client import REGISTRY
from tornado import web

from js2spawner.fleet.configuration import Js2Fleet

_EVERY_S = 0.01


def corrected(delays_s: list[float], every_s: float) -> list[float]:
    """The delays of all who might have come, one every so often."""
    return [delay - step * every_s for delay in delays_s for step in range(int(delay / every_s) + 1)]


class Delays(web.RequestHandler):
    """GET /hub/bench/delays: the loop's delays in seconds, since the last question and since the last `?anew=yes`.

    The first question begins to look.
    """

    _watch: ClassVar[asyncio.Task[None] | None] = None
    _all: ClassVar[list[tuple[float, float]]] = []
    _told: ClassVar[int] = 0

    def get(self) -> None:
        if Delays._watch is None:
            Delays._watch = asyncio.get_running_loop().create_task(self._look())
        if self.get_query_argument("anew", "no") == "yes":
            Delays._all, Delays._told = [], 0
        self.finish({"lately": _figures(Delays._all[Delays._told :]), "whole": _figures(Delays._all)})
        Delays._told = len(Delays._all)

    @classmethod
    async def _look(cls) -> None:
        while True:
            before, cpu_before = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_EVERY_S)
            delay_s = max(0.0, time.perf_counter() - before - _EVERY_S)
            cls._all.append((delay_s, min(delay_s, time.thread_time() - cpu_before)))


def _figures(delays: list[tuple[float, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, values in (("", [delay for delay, _ in delays]), ("own_", [own for _, own in delays])):
        sorted_s = sorted(corrected(values, _EVERY_S)) or [0.0]
        for part in (50, 90, 99):
            found[f"{name}p{part}_s"] = sorted_s[min(len(sorted_s) - 1, len(sorted_s) * part // 100)]
        found[f"{name}max_s"] = sorted_s[-1]
    return found


class Line(web.RequestHandler):
    """GET /hub/bench/line: who waits in which order, when each attempt began, and how cloud calls and starts ended."""

    def get(self) -> None:
        js2 = Js2Fleet.instance() if Js2Fleet.initialized() else None
        admission, fleet = (js2.admission, js2.fleet) if js2 else (None, None)
        places = admission.waiting() if admission else []
        spawners = [spawner for user in self.settings["users"].values() for spawner in user.spawners.values()]
        self.finish(
            {
                "waiting": [place.owner.user for place in places],
                "since": {place.owner.user: place.since for place in places},
                "begun": {record.owner.user: record.begun_at for record in fleet.live()} if fleet else {},
                "ready": [spawner.user.name for spawner in spawners if spawner.ready],
                "pending": sum(bool(spawner.pending) for spawner in spawners),
                "calls": _counts("js2_cloud_calls_total", "operation", "outcome"),
                "starts": _counts("js2_starts_total", "outcome"),
                "turns": _counts("js2_grants_total", "outcome"),
            }
        )


def _counts(name: str, *labels: str) -> dict[str, float]:
    """A counter's values by these labels."""
    found: dict[str, float] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == name:
                key = " ".join(sample.labels[label] for label in labels)
                found[key] = found.get(key, 0) + sample.value
    return found
