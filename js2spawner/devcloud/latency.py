"""How long things take: calls by operation, phases of a server's life by name, each with a spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

# Seconds. Short enough for tests and a demo; the order of magnitude between them is that of a real cloud.
PHASES: Mapping[str, float] = {
    "scheduling": 0.15,
    "claiming": 0.05,
    "networking": 0.15,
    "block_devices": 0.2,
    "spawning": 0.4,
    "addresses": 5.0,
    "deleting": 0.4,
    "deleting_spawning": 1.0,
    "deleted": 0.1,
    "powering": 0.3,
    "rebooting": 0.3,
    "snapshot": 0.3,
    "shelving": 0.3,
    "offloading": 0.2,
    "unshelving": 0.2,
    "rebuilding": 0.3,
    "resizing": 0.3,
    "reserving": 0.1,
    "attaching": 0.2,
    "detaching": 0.2,
    "volume": 0.2,
    "share": 0.2,
    "access": 0.1,
}
DEFAULT_CALL_S = 0.004
DEFAULT_SPREAD = 0.3


@dataclass(frozen=True, slots=True)
class Latencies:
    """Mean seconds by operation (`calls`, with `default`) and by phase; `spread` 0.3 is 30 % up or down, evenly."""

    calls: Mapping[str, float] = field(default_factory=lambda: {"default": DEFAULT_CALL_S})
    phases: Mapping[str, float] = field(default_factory=lambda: dict(PHASES))
    spread: float = DEFAULT_SPREAD

    def call_s(self, operation: str, random: Random) -> float:
        return self._spread(self.calls.get(operation, self.calls.get("default", DEFAULT_CALL_S)), random)

    def phase_s(self, phase: str, random: Random) -> float:
        return self._spread(self.phases.get(phase, PHASES[phase]), random)

    def _spread(self, mean: float, random: Random) -> float:
        return mean * random.uniform(1 - self.spread, 1 + self.spread)
