"""A whole hub for a test: the demo's three processes, and the eyes to see what they do.

`Hub` is what any hub shows. `Separate` runs its processes one by one, so that a test can kill the hub alone and start
it again; `OnDevcloud` is what the embedded cloud adds. `Demo` is the command itself, supervision included, and `Pieces`
the same three processes without it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import psutil
import requests
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from js2spawner.demo import directory as kept
from js2spawner.demo import orphans
from js2spawner.demo.children import ChildPlan
from js2spawner.demo.plan import Files, plans
from js2spawner.demo.run import find_programs
from js2spawner.demo.settings import Asked, DemoSettings, settle

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-an-admin-that-is-long-enough-for-a-hub"
_LOOK_EVERY_S = 0.05
_ANSWER_WITHIN_S = 30


def until(condition: Callable[[], Any], what: str, within_s: float = 30.0) -> Any:
    """What `condition` answers once it is true of anything; AssertionError naming `what` when that takes too long."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(_LOOK_EVERY_S)
    return answer


class Hub:
    """What a running hub shows to people, to scripts and to its cloud. Entered, it runs; left, all of it is gone.

    `owner` and `admin` are the entries of clouds.yaml that it uses itself and that an administrator of the cloud uses.
    """

    owner = "devcloud"
    admin = "devcloud-admin"

    def __init__(self, directory: Path, users: str, *, boot_seconds: float = 2.0) -> None:
        self.files = Files(directory.resolve())
        self.asked = Asked(kept._free_port(), users, TOKEN, boot_seconds)
        self._settings: DemoSettings | None = None
        self._cloud: Connection | None = None
        self._family: set[psutil.Process] = set()

    def start(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def processes(self) -> list[psutil.Process]:
        """The processes this test started itself; what descends from them is found from here."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.living()
            self.end()
        finally:
            for process in self.living():
                process.kill()

    # ---- processes --------------------------------------------------------------------------------------------------

    def living(self) -> list[psutil.Process]:
        """Every process that runs and was ever seen to descend from this hub's own."""
        for process in self.processes():
            self._family |= {process, *_descendants(process)}
        return [process for process in self._family if _lives(process)]

    def living_with(self, word: str) -> list[psutil.Process]:
        """Those that have a word in their arguments."""
        return [process for process in self.living() if word in " ".join(process.cmdline())]

    def instance_processes(self, server_id: str) -> list[psutil.Process]:
        """What runs as one instance: its init and everything below it."""
        inits = self.living_with(server_id)
        return list({*inits, *(each for init in inits for each in _descendants(init))})

    # ---- the hub ----------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> DemoSettings:
        if self._settings is None:
            self._settings = kept.read_settings(self.files)
        assert self._settings is not None
        return self._settings

    @property
    def address(self) -> str:
        return self.settings.address

    def rest(self, method: str, path: str, body: Any = None) -> requests.Response:
        """JupyterHub's REST API as an admin's script uses it."""
        return requests.request(
            method,
            f"{self.address}/hub/api{path}",
            json=body,
            headers={"Authorization": f"token {TOKEN}"},
            timeout=_ANSWER_WITHIN_S,
        )

    def server_model(self, user: str, name: str = "") -> Mapping[str, Any]:
        """JupyterHub's model of a server that is running, starting or stopping; empty for any other."""
        servers = self.rest("GET", f"/users/{user}").json().get("servers", {})
        return dict(servers.get(name, {}))

    def is_ready(self, user: str, name: str = "") -> bool:
        return bool(self.server_model(user, name).get("ready"))

    def log(self, name: str) -> str:
        return (self.files.logs / f"{name}.log").read_text(errors="replace")

    def story(self, user: str) -> str:
        """What the hub's log says of somebody's attempts."""
        return "\n".join(line for line in self.log("hub").splitlines() if re.search(rf"\b{user}: attempt", line))

    def attempts(self, user: str) -> set[str]:
        return set(re.findall(rf"\b{user}: attempt (\w+)", self.log("hub")))

    # ---- the cloud --------------------------------------------------------------------------------------------------

    @property
    def clouds_yaml(self) -> Path:
        return self.files.clouds_yaml

    @property
    def machines(self) -> Path:
        """Where the instances' files are, a folder for each."""
        return self.files.devcloud / "machines"

    @property
    def cloud(self) -> Connection:
        """The cloud as its owner sees it, by the SDK and the clouds.yaml that the hub uses."""
        if self._cloud is None:
            self._cloud = self.connection(self.owner)
        return self._cloud

    def connection(self, name: str) -> Connection:
        """A connection as one of the people of clouds.yaml."""
        config = OpenStackConfig(config_files=[str(self.clouds_yaml)], load_envvars=False)
        return Connection(config=config.get_one(name))

    def instances(self, user: str = "", name: str = "") -> list[Any]:
        """The instances in the cloud, of everybody or of one server."""
        found = list(self.cloud.compute.servers())
        return [
            each
            for each in found
            if not user or (each.metadata["js2_user"], each.metadata["js2_server"]) == (user, name)
        ]

    def instance_id(self, user: str, name: str = "") -> str:
        """The id of a server's one and only instance."""
        (only,) = self.instances(user, name)
        return str(only.id)

    def ports(self) -> list[Any]:
        """The ports of instances in the cloud."""
        return [port for port in self.cloud.network.ports() if port.device_id]

    def home(self, user: str) -> Path:
        """A user's home on their instance, seen from outside."""
        machine = self.machines / self.instance_id(user)
        private = machine / "disk" / "home" / user
        return private if private.is_dir() else machine / "disk" / "home"


class OnDevcloud(Hub):
    """What only the embedded cloud can be told."""

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """The embedded cloud's control API: faults, capacity, latencies."""
        url = f"http://127.0.0.1:{self.settings.devcloud_port}/devcloud{path}"
        answer = requests.request(method, url, json=body, timeout=_ANSWER_WITHIN_S)
        answer.raise_for_status()
        return answer.json()

    def fault(
        self, name: str, *, server: str, effect: Mapping[str, Any], operation: str = "compute.servers.create"
    ) -> None:
        """From now on, calls about servers of that name (shell pattern) meet an effect."""
        self.control(
            "POST", "/faults", {"name": name, "match": {"operation": operation, "server": server}, "effect": effect}
        )

    def struck(self, name: str) -> int:
        """How many calls a fault has met so far."""
        return sum(fault["struck"] for fault in self.control("GET", "/faults")["faults"] if fault["name"] == name)


class Demo(OnDevcloud):
    """`js2 demo` itself."""

    _process: psutil.Popen | None = None

    def start(self) -> None:
        self.files.directory.mkdir(parents=True, exist_ok=True)
        argv = [str(Path(sys.executable).with_name("js2")), "demo", "--port", str(self.asked.port)]
        argv += ["--dir", str(self.files.directory), "--api-token", TOKEN]
        argv += ["--users", str(self.asked.users), "--boot-seconds", str(self.asked.boot_seconds)]
        with self.output.open("ab") as output:
            self._process = psutil.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                preexec_fn=orphans.end_with_parent(),
            )
        until(lambda: "The hub is ready" in self._told(), "the demo says that it is ready", 90)

    @property
    def output(self) -> Path:
        return self.files.directory / "demo.out"

    def _told(self) -> str:
        text = self.output.read_text()
        assert self._process is not None
        assert self._process.poll() is None, f"the demo ended:\n{text}"
        return text

    def end(self) -> None:
        """As Ctrl-C does."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(90)

    def processes(self) -> list[psutil.Process]:
        return (
            [] if self._process is None else [psutil.Process(self._process.pid)] if self._process.poll() is None else []
        )


class Separate(Hub):
    """A cloud, a proxy and a hub, started in this order, without a supervisor. `hub_options` are options of
    JupyterHub's command line, and `hub_environment` is laid over the environment the demo gives its hub.
    """

    def __init__(
        self,
        directory: Path,
        users: str,
        *,
        boot_seconds: float = 2.0,
        hub_options: Iterable[str] = (),
        hub_environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, users, boot_seconds=boot_seconds)
        self._hub_options = tuple(hub_options)
        self._hub_environment = hub_environment or {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self.files.directory.mkdir(parents=True, exist_ok=True)
        kept.write_settings(self.files, settle(None, self.asked, kept.this_machine()))
        for plan in self._plans():
            self._start(plan)

    def start_hub(self) -> None:
        self._start(self._plans()[-1])

    def kill_hub(self) -> None:
        """As the out-of-memory killer does. The culler, its child, loses its parent and goes with it."""
        cullers = self.living_with("jupyterhub_idle_culler")
        hub = self._running["hub"]
        os.killpg(hub.pid, signal.SIGKILL)
        hub.wait()
        for process in cullers:
            process.kill()

    def end(self) -> None:
        for plan in reversed(self._plans()) if self.files.settings.exists() else ():
            process = self._running.pop(plan.name, None)
            if process is not None:
                self._end(process, plan.stop_within_s)

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in self._running.values() if process.poll() is None]

    def _plans(self) -> tuple[ChildPlan, ...]:
        cloud, proxy, hub = plans(self.settings, self.files, find_programs(), os.environ)
        argv, environment = (*hub.argv, *self._hub_options), {**hub.environment, **self._hub_environment}
        return self._cloud_plan(cloud), proxy, replace(hub, argv=argv, environment=environment)

    def _cloud_plan(self, demos: ChildPlan) -> ChildPlan:
        """What stands in the place of the demo's cloud."""
        raise NotImplementedError

    def _cloud_answers(self) -> str:
        """A URL that is answered once the cloud is ready."""
        raise NotImplementedError

    def _start(self, plan: ChildPlan) -> None:
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with plan.log.open("ab") as log:
            process = subprocess.Popen(
                plan.argv,
                env=dict(plan.environment),
                cwd=plan.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=orphans.end_with_parent(),
            )
        self._running[plan.name] = process
        until(lambda: self._healthy(plan, process), f"the {plan.name} answers", plan.healthy_within_s)

    def _healthy(self, plan: ChildPlan, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"the {plan.name} ended:\n{plan.log.read_text()[-4000:]}"
        url = {
            "proxy": f"http://127.0.0.1:{self.settings.proxy_api_port}/api/routes",
            "hub": f"{self.address}/hub/health",
        }.get(plan.name, self._cloud_answers())
        token = {"Authorization": f"token {self.settings.proxy_token}"} if plan.name == "proxy" else {}
        try:
            return requests.get(url, headers=token, timeout=2).status_code < 400
        except requests.RequestException:
            return False

    @staticmethod
    def _end(process: subprocess.Popen[bytes], within_s: float) -> None:
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Pieces(Separate, OnDevcloud):
    """The demo's processes without their supervisor."""

    def _cloud_plan(self, demos: ChildPlan) -> ChildPlan:
        return demos

    def _cloud_answers(self) -> str:
        return f"http://127.0.0.1:{self.settings.devcloud_port}/identity/v3"


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
