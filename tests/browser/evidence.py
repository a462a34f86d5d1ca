"""What others could read of a running server, and the secrets that must not be in it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import yaml

from tests.browser.whole import TOKEN, Hub


def secrets_of(hub: Hub, server_id: str) -> Mapping[str, str]:
    """Every lasting secret around one running server, by what it is."""
    settings = hub.settings
    owner = yaml.safe_load(hub.clouds_yaml.read_text())["clouds"][hub.owner]["auth"]
    channel = _machine(hub, server_id) / "disk" / "root" / ".js2" / "credential.json"
    (culler,) = hub.living_with("jupyterhub_idle_culler")
    return {
        "the admin's token": TOKEN,
        "the password": settings.password,
        "the proxy's token": settings.proxy_token,
        "the cloud's application credential": owner["application_credential_secret"],
        "the server's token": _notebook(hub, server_id).environ()["JUPYTERHUB_API_TOKEN"],
        "the culler's token": culler.environ()["JUPYTERHUB_API_TOKEN"],
        "the channel's credential": json.loads(channel.read_text())["credential"],
    }


def user_data(hub: Hub, server_id: str) -> str:
    return base64.b64decode(_as_admin(hub, server_id)["OS-EXT-SRV-ATTR:user_data"]).decode()


def readable(hub: Hub, server_id: str) -> Iterator[tuple[str, str]]:
    """Every place that people other than root and the hub's operator may look at, and its text."""
    server = _as_admin(hub, server_id)
    yield "the cloud's own view of the instance", json.dumps(server)
    yield "user-data", user_data(hub, server_id)
    yield "the console log", console(hub, server_id)
    for drive in (_machine(hub, server_id) / "config-drive").rglob("*"):
        if drive.is_file():
            yield f"the config drive's {drive.name}", drive.read_text()
    for log in hub.files.logs.iterdir():
        yield log.name, log.read_text(errors="replace")
    yield "the notebook server's log", _notebook_log(hub, server_id).read_text(errors="replace")
    for process in set(hub.living()) - set(hub.processes()):
        # The demo itself was given the admin's token as an option, by us.
        yield f"the arguments of {process.name()}", " ".join(process.cmdline())
    # The embedded cloud's; a real one's is its operator's business.
    for database in hub.files.devcloud.glob("*.sqlite"):
        yield "the cloud's database", database.read_bytes().decode("latin-1")


def console(hub: Hub, server_id: str) -> str:
    return (_machine(hub, server_id) / "console.log").read_text(errors="replace")


def _machine(hub: Hub, server_id: str) -> Path:
    return hub.machines / server_id


def _notebook(hub: Hub, server_id: str) -> psutil.Process:
    return next(
        process
        for process in hub.instance_processes(server_id)
        if "JUPYTERHUB_API_TOKEN" in process.environ() and "singleuser" in " ".join(process.cmdline())
    )


def _notebook_log(hub: Hub, server_id: str) -> Path:
    """In the instance's memory, which only its processes see, or beside its disk where it has no view of its own."""
    private = Path(f"/proc/{_notebook(hub, server_id).pid}/root/run/js2/log/server.log")
    return private if private.exists() else _machine(hub, server_id) / "run" / "log" / "server.log"


def _as_admin(hub: Hub, server_id: str) -> Mapping[str, str]:
    answer = hub.connection(hub.admin).compute.get(f"/servers/{server_id}", microversion="2.96")
    answer.raise_for_status()
    return dict(answer.json()["server"])
