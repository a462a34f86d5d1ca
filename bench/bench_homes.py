"""How much later a server is there with a home than without one, on the embedded cloud, turn by turn in one run.

An observer asks Cinder for the home every twentieth of a second: from the first word of the attachment to `in-use` is
the cloud's own time. Ours is what a home costs beyond that: the time from ACTIVE to the request, the time until the hub
knows that it is attached, and the guest's stage `home` (device, check, mount), as the hub's own metrics tell them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from statistics import median

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.scripted import Scripted  # noqa: E402
from tests.browser.whole import TOKEN, Pieces, until  # noqa: E402

CATALOG = ROOT / "tests" / "browser" / "catalog.homes.yaml"
LOOK_EVERY_S = 0.05
GONE_WITHIN_S = 60
USER = "hana"
_STAMP = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3})"


@dataclass(frozen=True, slots=True)
class Turn:
    """One start with a home and one without, in seconds.

    `with_home`, `without`: from the request until JupyterHub calls the server ready. `asked_after`: from when our
    fleet saw ACTIVE until the cloud began to attach. `cloud_attach`: the cloud's own time. `attach`: from our wish
    until the hub knew. `mount`: the guest's stage.
    """

    with_home: float
    without: float
    asked_after: float
    cloud_attach: float
    attach: float
    mount: float

    @property
    def ours(self) -> float:
        """All that a home takes beyond the cloud's own time, though most of it passes while the system boots."""
        return max(0.0, self.asked_after) + max(0.0, self.attach - self.cloud_attach) + self.mount


class Watch(threading.Thread):
    """When the home's volume was first seen in each status."""

    def __init__(self, hub: Pieces) -> None:
        super().__init__(daemon=True)
        self._cloud = hub.connection(hub.owner)
        self._over = threading.Event()
        self.first: dict[str, float] = {}

    def run(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            for volume in self._cloud.block_storage.volumes():
                self.first.setdefault(volume.status, time.time())

    def end(self) -> dict[str, float]:
        self._over.set()
        self.join(10)
        return self.first


def started(hub: Pieces, who: Scripted, **options: str) -> tuple[float, dict[str, float]]:
    """Seconds from the request to ready, and when each state of the attempt began."""
    known = hub.attempts(USER)
    began = time.monotonic()
    who.starts(**options)
    took_s = time.monotonic() - began
    (attempt,) = hub.attempts(USER) - known
    return took_s, states(hub, attempt)


def states(hub: Pieces, attempt: str) -> dict[str, float]:
    pattern = re.compile(rf"{_STAMP}.*attempt {attempt}: \w+ → (\w+)")
    found = (pattern.search(line) for line in hub.story(USER).splitlines())
    return {match[2]: datetime.fromisoformat(match[1]).timestamp() for match in found if match}


def told(hub: Pieces) -> dict[str, float]:
    """What the hub's metrics have added up so far, in seconds."""
    answer = requests.get(f"{hub.address}/hub/metrics", headers={"Authorization": f"token {TOKEN}"}, timeout=30)
    answer.raise_for_status()
    sums = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line.startswith("js2_"))
    names = {"attach": "js2_home_attach_seconds_sum", "mount": 'js2_stage_seconds_sum{stage="home"}'}
    return {name: float(sums.get(metric, 0)) for name, metric in names.items()}


def turn(hub: Pieces, who: Scripted) -> Turn:
    without_s, _ = started(hub, who, image="home", home="none")
    who.stops()
    until(lambda: not hub.instances(USER), "the instance is gone", GONE_WITHIN_S)
    before = told(hub)
    watch = Watch(hub)
    watch.start()
    with_s, homely = started(hub, who, image="home")
    first, after = watch.end(), told(hub)
    who.stops()
    until(lambda: not hub.instances(USER), "the instance is gone", GONE_WITHIN_S)
    begun = min(first.get(status, first["in-use"]) for status in ("reserved", "attaching"))
    return Turn(
        with_home=with_s,
        without=without_s,
        asked_after=begun - homely["Booting"],
        cloud_attach=first["in-use"] - begun,
        attach=after["attach"] - before["attach"],
        mount=after["mount"] - before["mount"],
    )


def summary(turns: Sequence[Turn]) -> dict[str, dict[str, float]]:
    columns = {each.name: [getattr(turn, each.name) for turn in turns] for each in fields(Turn)}
    columns["ours"] = [turn.ours for turn in turns]
    return {
        name: {"min": round(min(values), 2), "median": round(median(values), 2), "max": round(max(values), 2)}
        for name, values in columns.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="Pairs of starts. Default: 5.")
    parser.add_argument("--boot-seconds", type=float, default=4.0, help="How long an instance boots. Default: 4.")
    asked = parser.parse_args()
    environment = {"JS2_CATALOG": str(CATALOG)}
    with (
        tempfile.TemporaryDirectory(prefix="bench-homes-") as directory,
        Pieces(Path(directory), USER, boot_seconds=asked.boot_seconds, hub_environment=environment) as hub,
    ):
        who = Scripted(hub, USER)
        turn(hub, who)  # the first makes the home and its file system, and warms everything up
        turns = []
        for number in range(asked.rounds):
            turns.append(turn(hub, who))
            print(
                f"turn {number + 1}: {json.dumps({k: round(v, 2) for k, v in asdict(turns[-1]).items()})}", flush=True
            )
    figures = summary(turns)
    for name, each in figures.items():
        print(f"{name:20} {each['min']:6.2f} / {each['median']:6.2f} / {each['max']:6.2f} s")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(json.dumps({"bench": "homes", "machine": machine, "rounds": asked.rounds, "seconds": figures}))


if __name__ == "__main__":
    main()
