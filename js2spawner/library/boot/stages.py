"""When a boot was where, in seconds after power-on, put together from two clocks: the hub's and the machine's.

The machine counts from the start of its kernel. When that was is told by the reports: each has the machine's uptime
in it and cannot have arrived before it was sent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from js2spawner.library.boot.attempt import Boot

STAGES = ("kernel", "userspace", "agent", "network", "hello", "account", "notebook", "listening", "up")
"""In their usual order. `agent`: the guest program started; `up`: systemd has nothing left to do."""

_LONGEST_S = 86400.0


@dataclass(slots=True)
class Course:
    """`seconds` is what a BootReport keeps: stages after power-on, then how long each later step took."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_s: float = 0.0

    def began(self, on_at: float, boot: Boot, cpu_s: float) -> None:
        """Take in what the hub's side saw of the first boot. `cpu_s` is the machine's processor time until now."""
        seen = {"hello": boot.hello_at, **{name: at for name, at in boot.stages.items() if name in STAGES}}
        if boot.kernel_at is not None:
            seen["kernel"] = max(on_at, boot.kernel_at)
        self.cpu_s = round(cpu_s, 1)
        self._add({name: at - on_at for name, at in seen.items()})

    def inside(self, times: object) -> None:
        """Take in what the machine says of itself, which may be anything."""
        kernel = self.seconds.get("kernel")
        if kernel is None or not isinstance(times, Mapping):
            return
        told = {name: value for name, value in times.items() if name in STAGES and _is_time(value)}
        self._add({name: kernel + float(value) for name, value in told.items() if name not in self.seconds})

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        since = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - since, 1)

    def _add(self, found: Mapping[str, float]) -> None:
        known = {**self.seconds, **{name: round(seconds, 2) for name, seconds in found.items()}}
        order = {name: place for place, name in enumerate(STAGES)}
        self.seconds = {name: known[name] for name in sorted(known, key=lambda name: order.get(name, len(order)))}


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= _LONGEST_S
