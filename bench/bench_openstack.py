"""How much later an instance is there with us than Nova alone would have it, on the real services.

In turns, a hub of ours starts a server and `openstack server create --wait` creates the same instance: same image,
flavor and kind of network. An observer asks Nova for the instance every tenth of a second; what it sees first as
ACTIVE is Nova's own time. All calls of both to compute, network and image services pass relays that count them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from statistics import median

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from js2spawner.demo.children import ChildPlan  # noqa: E402
from tests.browser.whole import TOKEN, until  # noqa: E402
from tests.openstack.estate import Estate, estate  # noqa: E402
from tests.openstack.place import REMEDY, place  # noqa: E402
from tests.openstack.relay import Relay, Request  # noqa: E402
from tests.openstack.whole import RealHub  # noqa: E402

LOOK_EVERY_S = 0.1
GONE_WITHIN_S = 120
FLAVOR = "m3.tiny"
USER = "wim"
CONFIG = Path(__file__).with_name("bench_hub_config.py")
OPENSTACK = Path(sys.executable).with_name("openstack")


@dataclass(frozen=True, slots=True)
class Ours:
    """One start of ours, in seconds.

    `jupyterhub`: from the request to JupyterHub until our attempt began. `before`: until Nova gets the create. `nova`:
    from there to ACTIVE. `noticed`: from ACTIVE until our fleet knew. `boot`: from ACTIVE until the guest's first word.
    `handed_over`: until it had its assignment and the account. `notebook`: until the notebook answered. `ready`: until
    JupyterHub called it ready.

    `ours` is `before`, `noticed` and `handed_over`, though `noticed` passes while the system boots, and makes no start
    later. `critical` is what does: all that is neither Nova's, nor the system's boot, nor the notebook's start, with
    JupyterHub's own part. `calls` to compute, network and image services are the start's own, `lists` are shared.
    """

    jupyterhub: float
    before: float
    nova: float
    noticed: float
    boot: float
    handed_over: float
    notebook: float
    ready: float
    ours: float
    critical: float
    total: float
    calls: int
    lists: int


@dataclass(frozen=True, slots=True)
class Plain:
    """One `openstack server create --wait`, in seconds.

    `before`: until the create was sent. `nova`: from there to ACTIVE. `noticed`: from there until the command ended.
    """

    before: float
    nova: float
    noticed: float
    overhead: float
    total: float
    calls: int


class Observer:
    """Sees when the one instance of a project becomes ACTIVE with an address."""

    def __init__(self, sight: Estate, entry: str) -> None:
        self._compute = sight.connection(entry).compute
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.active_at = 0.0

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            for server in self._compute.get("/servers/detail").json()["servers"]:
                if server["status"] == "ACTIVE" and server["OS-EXT-STS:task_state"] is None and server["addresses"]:
                    self.active_at = time.time()
                    return


def start_of_ours(hub: RealHub, ways: Sequence[Relay]) -> Ours:
    began = time.time()
    with Observer(hub.estate, hub.estate.people.user) as observer:
        hub.rest("POST", f"/users/{USER}/server", {"image": "minimal", "flavor": FLAVOR}).raise_for_status()
        done = stages(hub)
        until(lambda: hub.is_ready(USER), "the server is ready", GONE_WITHIN_S)
        until(lambda: observer.active_at, "the observer has seen it", 10)
    passed = [request for way in ways for request in way.requests if began <= request.at <= done["ready"]]
    sent = next(request.at for request in passed if is_create(request))
    lists = sum("tags=" in request.path for request in passed)
    before, noticed = sent - done["asked"], done["create"] - observer.active_at
    handed_over, notebook = done["assign"] - done["boot"], done["notebook"] - done["assign"]
    total = done["ready"] - began
    return Ours(
        jupyterhub=done["asked"] - began,
        before=before,
        nova=observer.active_at - sent,
        noticed=noticed,
        boot=done["boot"] - observer.active_at,
        handed_over=handed_over,
        notebook=notebook,
        ready=done["ready"] - done["notebook"],
        ours=before + noticed + handed_over,
        critical=total - (done["boot"] - sent) - notebook,
        total=total,
        calls=len(passed) - lists,
        lists=lists,
    )


def stages(hub: RealHub) -> dict[str, float]:
    """When our spawner was asked, each stage was done, as the progress page is told, and JupyterHub called it ready."""
    url = f"{hub.address}/hub/api/users/{USER}/server/progress"
    done: dict[str, float] = {}
    with requests.get(url, headers={"Authorization": f"token {TOKEN}"}, stream=True, timeout=300) as answer:
        for line in answer.iter_lines(chunk_size=1):
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            if event.get("failed"):
                raise RuntimeError(f"a start failed: {event['message']}")
            if event.get("ready"):
                done["ready"] = time.time()
            told = event.get("js2", {})
            if told.get("kind") == "plan":
                done["asked"] = datetime.fromisoformat(told["started_at"]).timestamp()
            if told.get("state") == "done":
                done[told["stage"]] = datetime.fromisoformat(told["at"]).timestamp()
    return done


def plain_start(sight: Estate, ways: Sequence[Relay], name: str) -> Plain:
    command = [str(OPENSTACK), "--os-cloud", sight.people.other, "server", "create", "--wait", "--image", sight.name]
    command += ["--flavor", FLAVOR, "--network", sight.name, name, "-f", "json"]
    environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(sight.people.clouds_yaml)}
    with Observer(sight, sight.people.other) as observer:
        began = time.time()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        ended = time.time()
        until(lambda: observer.active_at, "the observer has seen it", 10)
    # Our hub's list goes on meanwhile; it is the only one by tag.
    passed = [r for way in ways for r in way.requests if began <= r.at <= ended and "tags=" not in r.path]
    sent = next(request.at for request in passed if is_create(request))
    nova = observer.active_at - sent
    total = ended - began
    return Plain(sent - began, nova, ended - observer.active_at, total - nova, total, len(passed))


def is_create(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/servers")


def stop_ours(hub: RealHub) -> None:
    hub.rest("DELETE", f"/users/{USER}/server")
    until(lambda: not hub.instances(), "the instance is gone", GONE_WITHIN_S)
    until(lambda: not hub.server_model(USER), "JupyterHub has stopped the server", GONE_WITHIN_S)


def remove_plain(sight: Estate, name: str) -> None:
    compute = sight.connection(sight.people.other).compute
    compute.delete_server(compute.find_server(name))
    until(lambda: not list(compute.servers()), "the instance is gone", GONE_WITHIN_S)


@contextmanager
def standing(directory: Path, boot_s: float) -> Iterator[tuple[RealHub, list[Relay]]]:
    """A hub of ours on an estate of its own, and the relays that it and the command pass."""
    light = {"JS2_BENCH_SPAWNER": "js2", "JS2_CULL_EVERY_S": "86400"}
    with ExitStack() as stack:
        sight = stack.enter_context(estate(place(), directory / "estate"))
        ways = [stack.enter_context(sight.relay(each, sight.people.other)) for each in ("compute", "network", "image")]
        hub = BenchedHub(directory / "hub", sight, USER, boot_seconds=boot_s, hub_environment=light)
        yield stack.enter_context(hub), ways


class BenchedHub(RealHub):
    """With a light stand-in for JupyterLab, whose start is not ours to measure."""

    def _plans(self) -> tuple[ChildPlan, ...]:
        cloud, proxy, hub = super()._plans()
        argv = tuple(str(CONFIG) if each.endswith("jupyterhub_config.py") else each for each in hub.argv)
        return cloud, proxy, replace(hub, argv=argv)


def measure(rounds: int, boot_s: float, directory: Path) -> tuple[list[Ours], list[Plain]]:
    """In turns, so that noise hits both. The first of each is not counted: it signs in and learns ids."""
    ours, plain = [], []
    with standing(directory, boot_s) as (hub, ways):
        hub.rest("POST", f"/users/{USER}")
        for number in range(rounds + 1):
            ours.append(start_of_ours(hub, ways))
            stop_ours(hub)
            print(f"ours  {number}: {told(ours[-1])}", flush=True)
            plain.append(plain_start(hub.estate, ways, f"plain-{number}"))
            remove_plain(hub.estate, f"plain-{number}")
            print(f"plain {number}: {told(plain[-1])}", flush=True)
    return ours[1:], plain[1:]


def told(start: Ours | Plain) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in asdict(start).items())


def figures(starts: Sequence[Ours] | Sequence[Plain]) -> dict[str, dict[str, float]]:
    columns = {each.name: [getattr(start, each.name) for start in starts] for each in fields(starts[0])}
    return {name: spread(values) for name, values in columns.items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(values), 2), "median": round(median(values), 2), "max": round(max(values), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10, help="starts of each (default: %(default)s)")
    parser.add_argument("--boot-seconds", type=float, default=8.0, help="how long a played instance boots (default: 8)")
    options = parser.parse_args()
    if not place().runs:
        # Not a failure of ours, so that the other benchmarks' figures are not lost for it.
        print(json.dumps({"benchmark": "openstack", "measured": False, "because": REMEDY}))
        return
    with tempfile.TemporaryDirectory(prefix="js2-bench-") as made:
        ours, plain = measure(options.rounds, options.boot_seconds, Path(made))
    result = {
        "benchmark": "openstack",
        "measured": True,
        "command": " ".join(["bench/bench_openstack.py", *sys.argv[1:]]),
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "load": os.getloadavg(),
        "n": options.rounds,
        "boot_s": options.boot_seconds,
        "js2spawner_s": figures(ours),
        "openstack_server_create_wait_s": figures(plain),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
