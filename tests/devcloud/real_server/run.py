"""`run.py FOLDER cold|ahead [--tls]`: start the server by the guest's own code, print what it mirrored as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import jupyterhub
from aiohttp import web
from certipy import Certipy

from js2spawner.guest import launch, standby
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import Assignment, Certificates
from js2spawner.guest.notebook import Notebook
from js2spawner.guest.processes import reap
from js2spawner.guest.rundir import RunDir

ADDRESS = "127.0.0.1"
PATIENCE_S = 100.0
TOKEN = "t" * 32
USER = {"kind": "user", "name": "alice", "admin": False, "groups": [], "scopes": ["access:servers!user=alice"]}
CONFIG = """
import sys
sys.path.append({here!r})
import js2_mirror
c.ServerApp.jpserver_extensions = {{"js2_mirror": True}}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kind", choices=("cold", "ahead"))
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    settings = options.folder / "home" / ".jupyter"
    settings.mkdir(parents=True)
    (settings / "jupyter_server_config.py").write_text(CONFIG.format(here=str(Path(__file__).parent)))
    os.environ["HOME"] = str(options.folder / "home")
    print(json.dumps(asyncio.run(_run(options.folder, options.kind == "ahead", options.tls))))


async def _run(folder: Path, ahead: bool, tls: bool) -> Any:
    pairs = _pairs(folder / "store") if tls else None
    hub = web.AppRunner(_hub(), shutdown_timeout=0.1)
    await hub.setup()
    await web.TCPSite(hub, ADDRESS, 0, ssl_context=_hubs_tls(folder / "store") if pairs else None).start()
    scheme, port = "https" if tls else "http", _free_port()
    hub_url = f"{scheme}://{ADDRESS}:{hub.addresses[0][1]}"
    given = _assignment(hub_url, f"{scheme}://{ADDRESS}:{port}", pairs)
    owner = Account("alice", os.geteuid(), os.getegid(), (), os.environ["HOME"], "/bin/sh", switch=False)
    run = RunDir(folder / "run")
    one = standby.begin(launch.search_path(os.environ), time.monotonic) if ahead else None
    notebook = Notebook(given, owner, run, time.monotonic, one)
    notebook.start()
    try:
        # Before whoever waits for us loses patience: nobody else would end the server.
        async with asyncio.timeout(PATIENCE_S):
            told = await _mirrored(notebook, run)
            if not tls:
                told["kernel"] = await _kernel(f"http://{ADDRESS}:{port}/user/alice/api/kernels")
                told["stranger"] = await _sent_to(f"http://{ADDRESS}:{port}/user/alice/lab")
        ahead = one is not None and notebook.pid == one.child.pid
        return told | {"ahead": ahead, "numbers": [notebook.pid, port, hub.addresses[0][1]]}
    finally:
        if notebook.pid:
            os.kill(notebook.pid, signal.SIGKILL)
        await hub.cleanup()


async def _mirrored(notebook: Notebook, run: RunDir) -> dict[str, Any]:
    mirror = Path(os.environ["HOME"], "mirror.json")
    while notebook.restarts == 0:
        notebook.watch(reap())
        if mirror.exists() and await asyncio.to_thread(notebook.answers):
            return dict(json.loads(mirror.read_text()))
        await asyncio.sleep(0.02)
    sys.exit(f"the server did not come up:\n{(run.log / 'server.log').read_text()[-3000:]}")


async def _kernel(url: str) -> str:
    """Start a kernel and run a line in it, as a page does; what it printed."""
    headers = {"Authorization": f"token {TOKEN}"}
    line = {"code": "import os; print(os.environ['HOME'])", "silent": False, "allow_stdin": False}
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "1", "username": "", "version": "5.3"}
    request = {"channel": "shell", "header": header, "parent_header": {}, "metadata": {}, "content": line}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        async with session.post(url, json={"name": "python3"}) as answer:
            made = await answer.json()
        try:
            async with session.ws_connect(f"{url}/{made['id']}/channels") as channels:
                await channels.send_json(request)
                async for message in channels:
                    told = json.loads(message.data)
                    if told["msg_type"] == "stream":
                        return str(told["content"]["text"]).strip()
        finally:
            async with session.delete(f"{url}/{made['id']}"):
                pass
    return ""


async def _sent_to(page: str) -> list[object]:
    """The status and the place that a browser gets which has not signed in."""
    async with aiohttp.ClientSession() as session, session.get(page, allow_redirects=False) as answer:
        return [answer.status, answer.headers.get("Location", "").partition("?")[0]]


def _hub() -> web.Application:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(USER, headers={"X-JupyterHub-Version": jupyterhub.__version__})

    application = web.Application()
    application.router.add_route("*", "/hub/api{tail:.*}", answer)
    return application


def _assignment(hub: str, server: str, pairs: dict[str, Certificates] | None) -> Assignment:
    env = {
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice",
        "JUPYTERHUB_USER": "alice",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!user=alice"]',
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!user=alice"]',
        "JUPYTERHUB_API_URL": f"{hub}/hub/api",
        "JUPYTERHUB_ACTIVITY_URL": f"{hub}/hub/api/users/alice/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
        "JUPYTERHUB_SERVICE_URL": server,
    }
    certificates = pairs["server"] if pairs else None
    argv = ("jupyterhub-singleuser",)
    port = int(server.rpartition(":")[2])
    return Assignment("a1", "alice", 1000, False, argv, env, ADDRESS, port, certificates, False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def _pairs(store: Path) -> dict[str, Certificates]:
    store.mkdir()
    certipy = Certipy(store_dir=str(store))
    authority = Path(certipy.create_ca("notebooks-ca")["files"]["cert"]).read_text()
    pairs = {}
    for name in ("hub", "server"):
        files = certipy.create_signed_pair(name, "notebooks-ca", alt_names=[f"IP:{ADDRESS}"])["files"]
        pairs[name] = Certificates(Path(files["key"]).read_text(), Path(files["cert"]).read_text(), authority)
        (store / f"{name}.pem").write_text(pairs[name].key + pairs[name].certificate)
    (store / "authority.pem").write_text(authority)
    return pairs


def _hubs_tls(store: Path) -> ssl.SSLContext:
    """As JupyterHub's own end: who has no certificate of the authority is not spoken to."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(store / "authority.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(store / "hub.pem")
    return context


if __name__ == "__main__":
    main()
