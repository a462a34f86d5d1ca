"""The real guest program as a process, with a real counter to talk to and a stub in place of JupyterLab."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from js2spawner import guest as guest_package
from js2spawner.guest import processes
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.server import HandshakeServer
from js2spawner.handshake.userdata import user_data
from tests.unit.handshake import books
from tests.unit.handshake.books import MemoryBook

ADDRESS = "127.0.77.9"
# Root's tests run the unprivileged guest as an account that owns nothing.
SOMEBODY = 54321

STUB = Path(__file__).with_name("stub_notebook.py")


class Instance:
    """One unprivileged instance at ADDRESS: its directory, its hub, its agent process."""

    def __init__(self, folder: Path, book: MemoryBook, port: int, settings: HandshakeSettings) -> None:
        self.folder = folder
        self.book = book
        self.notebook_port = port
        self.run_dir = folder / "run"
        self.state_dir = folder / "state"
        self.home = folder / "home"
        self.home.mkdir()
        self.program = folder / "guest"
        shutil.copytree(Path(guest_package.__file__).parent, self.program, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(STUB, folder)
        self.authority = Authority.open(folder / "authority", books.HOME)
        self.settings = settings
        self.server = HandshakeServer(
            book, bind_address=books.HOME, port=0, authority=self.authority, settings=settings
        )
        self.agent: subprocess.Popen[bytes] | None = None
        self.metadata_url = ""
        self.config_drive: Path | None = None
        self.python = _python()
        self.options: tuple[str, ...] = ()

    @property
    def user_data(self) -> str:
        return user_data(
            hub_url=self.server.url, authority_pem=self.authority.ca_pem, attempt_id=books.ATTEMPT, ticket=books.TICKET
        )

    @property
    def console(self) -> str:
        return (self.folder / "console.log").read_text()

    def boot(self) -> None:
        """Start the agent, or start it again after its death."""
        where = ["--metadata-url", self.metadata_url]
        if self.config_drive is not None:
            where = ["--config-drive", str(self.config_drive)]
        command = [self.python, "-I", str(self.program / "agent.py"), "--unprivileged", "--run-dir", str(self.run_dir)]
        command += ["--state-dir", str(self.state_dir), *self.options]
        with (self.folder / "console.log").open("ab") as console:
            self.agent = subprocess.Popen(
                [*command, "--source-address", ADDRESS, *where],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"HOME": str(self.home), "PATH": "/usr/bin:/bin"},
                cwd=self.folder,
                start_new_session=True,
                **_as_somebody(),
            )

    def assignment(self, *options: str, **changes: Any) -> Any:
        """An assignment whose server is the stub."""
        argv = (_python(), str(self.folder / STUB.name), ADDRESS, str(self.notebook_port), *options)
        return books.assignment(**({"argv": argv, "address": ADDRESS, "port": self.notebook_port} | changes))

    def kill_agent(self) -> None:
        """As a crash would: no signal handler runs."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(timeout=10)

    def lose_memory(self) -> None:
        """As a reboot would: no process is left, and nothing of the run directory."""
        self.kill_agent()
        for pid in self.stubs():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.run_dir)

    def stubs(self) -> list[int]:
        """Process ids of the servers that run on this instance."""
        mark = str(self.folder / STUB.name)
        return [p.pid for p in processes.everything() if mark in processes.arguments(p.pid)]

    async def ended(self, deadline_s: float = 30.0) -> int:
        """The agent's exit status, once it has one."""
        assert self.agent is not None
        agent = self.agent
        await self.book.until(lambda: agent.poll() is not None, deadline_s)
        return agent.wait()

    def stages(self) -> list[str]:
        """The stages reported, repetitions left out."""
        told = [report.stage for report in self.book.reports]
        return [stage for at, stage in enumerate(told) if at == 0 or told[at - 1] != stage]

    def tell(self) -> None:
        """What a failed test is understood by: pytest shows it beside the failure."""
        if self.agent is not None:
            print(f"agent: exit {self.agent.poll()}; servers: {self.stubs()}; port {self.notebook_port}")
            print(f"hub: {self.book.lines}; {[f'{each.stage} {each.detail}' for each in self.book.reports[-3:]]}")
            print(self.console[-4000:])

    def clean(self) -> None:
        """End whatever of this instance still runs."""
        if self.agent is not None and self.agent.poll() is None:
            self.kill_agent()
        for process in processes.everything():
            if any(str(self.folder) in word for word in processes.arguments(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def instance(free_port: Callable[[], int], settings: HandshakeSettings) -> AsyncIterator[Instance]:
    """An instance whose hub listens and whose metadata service answers; `boot` is left to the test."""
    # Not pytest's own directory: that one is closed to the account that the guest runs as.
    with tempfile.TemporaryDirectory(prefix="js2-guest-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        here = Instance(folder, MemoryBook(books.expected(addresses=(ADDRESS,))), free_port(), settings)
        for path in (folder, here.home):
            _give_away(path)
        await here.server.start()
        metadata = await _metadata_service(here)
        try:
            yield here
        finally:
            here.tell()
            here.clean()
            await metadata.cleanup()
            await here.server.stop()


async def _metadata_service(here: Instance) -> web.AppRunner:
    async def meta_data(_request: web.Request) -> web.Response:
        return web.json_response({"uuid": books.SERVER_ID, "name": "instance"})

    async def told(_request: web.Request) -> web.Response:
        return web.Response(text=here.user_data)

    application = web.Application()
    application.router.add_get("/metadata/openstack/latest/meta_data.json", meta_data)
    application.router.add_get("/metadata/openstack/latest/user_data", told)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, books.HOME, 0)
    await site.start()
    port = runner.addresses[0][1]
    here.metadata_url = f"http://{books.HOME}:{port}/metadata"
    return runner


def _python() -> str:
    """An interpreter that the guest's account may run too: a virtual environment may lie below root's home."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            if subprocess.run([candidate, "-I", "-c", ""], check=False, timeout=20, **_as_somebody()).returncode == 0:
                return candidate
        except OSError:
            continue
    raise AssertionError("no Python that an ordinary account may run")


def _as_somebody() -> dict[str, Any]:
    return {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, SOMEBODY, SOMEBODY)
