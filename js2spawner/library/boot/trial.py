"""The course of a boot test: power on, become a user's, work as that user, look at it as root, reboot.

Every wait has a deadline and an end of its own when the machine is lost. What a person needs to find the cause
goes along with the failure: the end of the console.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.messages import Assignment
from js2spawner.handshake.server import HandshakeServer
from js2spawner.handshake.userdata import user_data
from js2spawner.library.boot import machine, search
from js2spawner.library.boot.attempt import Boot, OneAttempt
from js2spawner.library.boot.console import Console
from js2spawner.library.boot.drive import config_drive
from js2spawner.library.boot.emulator import accelerator
from js2spawner.library.boot.jupyter import Jupyter, NotebookProblem, printable
from js2spawner.library.boot.machine import GUEST_ADDRESS, HUB_AS_SEEN, Hardware, Machine, MachineEnded, Plan
from js2spawner.library.boot.notebooks import DEFAULT_KERNEL, run_notebook
from js2spawner.library.boot.stages import Course
from js2spawner.library.boot.stand_in_hub import server_environment, stand_in_hub

USER = "tester"
UID = 20001
HANDSHAKE_PORT, HUB_PORT = 8710, 8081
SIGN_IN = "/hub/api/oauth2/authorize"
INSIDE = Path(__file__).with_name("inside.py")
KEPT = "kept-across-a-reboot.txt"
LOOK_EVERY_S = 0.05
FACTS_AT_MOST = 64

Say = Callable[[str], None]
Power = AbstractAsyncContextManager[Machine]


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines in seconds. An emulated machine on a busy computer takes minutes for what takes a real one seconds."""

    listening_s: float = 900.0
    cell_s: float = 600.0
    checks_s: float = 600.0
    reboot_s: float = 900.0
    # To the kernel's first word, which comes within three seconds also where hardly a processor is free.
    silent_s: float = 180.0


class Lost(Exception):
    """The test cannot go on; the message says where it was and ends with the console's end."""


@dataclass(slots=True)
class Trial:
    """One machine under test. `failures` grows; `course` knows when it was where."""

    disk: Path
    say: Say
    hardware: Hardware = field(default_factory=Hardware)
    patience: Patience = field(default_factory=Patience)
    failures: list[str] = field(default_factory=list)
    course: Course = field(default_factory=Course)
    facts: dict[str, Any] = field(default_factory=dict)

    async def boots(self) -> None:
        """Power on until the notebook listens, and what the machine itself says about its times. Raises Lost."""
        async with self._standing() as stand:
            await self._first_boot(stand)
            await self._ask_root(stand, "running", str(self.hardware.disk_gb))

    async def whole(self, notebooks: Sequence[Path]) -> None:
        """The whole test, with every smoke notebook. Raises Lost."""
        async with self._standing() as stand:
            await self._first_boot(stand)
            await self._turn_stranger_away(stand)
            await self._smoke(stand, notebooks)
            await self._look_at_disk(stand)
            await self._ask_root(stand, "running", str(self.hardware.disk_gb))
            # Going down, it writes everything to its disk.
            await self._reboot(stand)
            await asyncio.to_thread(self._search, stand)

    async def _first_boot(self, stand: Stand) -> None:
        on = stand.machine.on_at
        await self._until(stand, "said hello", lambda: bool(stand.attempt.boots), self.patience.listening_s)
        boot = stand.attempt.boots[0]
        self.say(f"hello after {boot.hello_at - on:.1f} s")
        await self._listening(stand, boot)
        # What a browser would see: the guest's own word for it comes with its next look.
        self.course.began(on, boot, cpu_s=stand.machine.cpu_s())
        if not await stand.server.answers():
            raise self._lost(stand, "the notebook is said to listen, and does not answer from outside")
        self.say(f"JupyterLab listens after {self.course.seconds['listening']:.1f} s")

    async def _listening(self, stand: Stand, boot: Boot) -> None:
        def told() -> bool:
            return boot.last is not None and boot.last.stage in ("listening", "failed")

        await self._until(stand, "had its notebook listening", told, self.patience.listening_s)
        if boot.last is not None and boot.last.stage == "failed":
            raise self._lost(stand, f"the guest failed at {boot.last.problem}: {boot.last.detail}")

    async def _turn_stranger_away(self, stand: Stand) -> None:
        """A server that answers its token well may still fail every browser: those have to sign in at the hub."""
        try:
            told = await self._alive(stand, stand.server.stranger())
        except NotebookProblem as problem:
            told = str(problem)
        if told != f"302 {SIGN_IN}":
            self.failures.append(f"a browser that has not signed in is not sent to the hub: {printable(told)}")

    async def _smoke(self, stand: Stand, notebooks: Sequence[Path]) -> None:
        for notebook in notebooks:
            with self.course.step(f"smoke {notebook.stem}"):
                problem = await self._alive(stand, run_notebook(stand.server, notebook, self.patience.cell_s))
            self.say(f"{notebook.name}: {problem or 'ran'}")
            if problem:
                self.failures.append(problem)

    async def _look_at_disk(self, stand: Stand) -> None:
        with self.course.step("looked at the disk"):
            await stand.machine.show_pristine(self.disk)
            await self._ask_root(stand, "baked")
            await stand.machine.hide_pristine()

    async def _ask_root(self, stand: Stand, *words: str) -> None:
        """Run the checks as root through the user's sudo: in a kernel, as anybody with sudo could."""
        within_s = self.patience.checks_s
        command = ["sudo", "-n", "/usr/bin/python3", "-I", "-", *words]
        script = INSIDE.read_text()
        code = (
            "import subprocess\n"
            f"done = subprocess.run({command!r}, input={script!r}, text=True,"
            f" capture_output=True, timeout={within_s})\n"
            "print(done.stdout if done.returncode == 0 else done.stderr[-1000:])"
        )
        try:
            async with stand.server.kernel(DEFAULT_KERNEL) as kernel:
                outcome = await self._alive(stand, kernel.run(code, within_s + 30))
        except NotebookProblem as problem:
            self.failures.append(f"the checks as root could not run: {problem}")
            return
        self._take_answer(outcome.error or outcome.text, failed=bool(outcome.error))

    def _take_answer(self, text: str, *, failed: bool) -> None:
        try:
            told = {} if failed else json.loads(text)
            findings, facts = told["findings"], told["facts"]
            found = [printable(str(finding)) for finding in list(findings)[:FACTS_AT_MOST]]
            facts = dict(list(facts.items())[:FACTS_AT_MOST])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.failures.append(f"the checks as root could not run: {printable(text)}")
            return
        self.failures += found
        self.say(f"root found {len(found) or 'nothing'} that must not be so")
        self.facts |= facts
        self.course.inside(facts.get("times"))

    async def _reboot(self, stand: Stand) -> None:
        content = secrets.token_hex(16)
        try:
            await stand.server.write(KEPT, content, "file")
        except NotebookProblem as problem:
            self.failures.append(f"the user could not write a file: {problem}")
        before = len(stand.attempt.boots)
        with self.course.step("reboot"):
            # Its end is not awaited: the server goes down with the machine, and connections to it end in silence.
            order = asyncio.create_task(_order_reboot(stand.server))
            try:
                what = "said hello again, told to reboot,"
                await self._until(stand, what, lambda: len(stand.attempt.boots) > before, self.patience.reboot_s)
            finally:
                order.cancel()
            await self._listening(stand, stand.attempt.boots[-1])
        self.say(f"it came back {self.course.seconds['reboot']:.1f} s after it was told to reboot")
        try:
            async with Jupyter(stand.server.url, stand.secrets["server's token"]) as server:
                if await server.read(KEPT) != content:
                    self.failures.append("a file of the user's had another content after a reboot")
        except NotebookProblem as problem:
            self.failures.append(f"a file of the user's was gone after a reboot: {problem}")

    def _search(self, stand: Stand) -> None:
        """In what it wrote, and said, there is nothing by which somebody else could be this boot's user."""
        if stand.console.told_secret:
            self.failures.append("a secret of this boot was written to the console")
        for name, secret in stand.secrets.items():
            if search.holds(stand.machine.overlay, secret.encode()):
                self.failures.append(f"this boot's {name} was written to the disk")
        if stand.attempt.quarantined:
            self.failures.append(f"the ticket was used twice: {stand.attempt.quarantined}")

    @asynccontextmanager
    async def _standing(self) -> AsyncIterator[Stand]:
        """The hub's side, and the machine, turned on."""
        async with AsyncExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="js2-boot-", ignore_cleanup_errors=True))
            )
            token, server_id = secrets.token_urlsafe(24), str(uuid.uuid4())
            attempt = OneAttempt(server_id, self._assignment(token), time.monotonic)
            console = Console((attempt.ticket, token))
            authority = Authority.open(folder / "authority", HUB_AS_SEEN)
            handshake = HandshakeServer(
                attempt,
                bind_address="127.0.0.1",
                port=0,
                authority=authority,
                settings=HandshakeSettings(report_s=1.0),
            )
            await handshake.start()
            stack.push_async_callback(handshake.stop)
            hub_port = await stack.enter_async_context(stand_in_hub(USER, token))
            told = user_data(
                hub_url=f"https://{HUB_AS_SEEN}:{HANDSHAKE_PORT}",
                authority_pem=authority.ca_pem,
                attempt_id=attempt.id,
                ticket=attempt.ticket,
            )
            drive = await asyncio.to_thread(config_drive, folder, server_id, machine.MAC, told)
            services = {HANDSHAKE_PORT: handshake.port, HUB_PORT: hub_port}
            plan = Plan(self.disk, drive, server_id, services, self.hardware)
            running = await self._turned_on(
                stack,
                lambda: machine.power_on(plan, folder, console),
                lambda: console.said_anything or bool(attempt.boots),
            )
            server = await stack.enter_async_context(Jupyter(f"{running.url}/user/{USER}", token))
            yield Stand(running, console, attempt, server, {"ticket": attempt.ticket, "server's token": token})

    async def _turned_on(self, stack: AsyncExitStack, power: Callable[[], Power], begun: Callable[[], bool]) -> Machine:
        """A machine that has begun to boot; one in which emulation came to nothing is turned on once more.

        Rarely an emulated processor spins before the kernel's first word. That is no fault of the image: one that
        cannot boot says nothing a second time, either.
        """
        turn = await stack.enter_async_context(AsyncExitStack())
        running = await turn.enter_async_context(power())
        deadline = time.monotonic() + self.patience.silent_s
        while accelerator() == "tcg" and not (begun() or running.is_off):
            if time.monotonic() > deadline:
                await turn.aclose()
                self.say(f"it said nothing for {self.patience.silent_s:.0f} s, and is turned on once more")
                return await turn.enter_async_context(power())
            await asyncio.sleep(LOOK_EVERY_S)
        return running

    def _assignment(self, token: str) -> Assignment | None:
        """What the machine is given with its first hello."""
        return assignment(token)

    async def _until(self, stand: Stand, what: str, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            self._check(stand)
            if time.monotonic() > deadline:
                raise self._lost(stand, f"the machine has not {what} within {within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _alive(self, stand: Stand, doing: Any) -> Any:
        """The result of a coroutine, unless the machine is lost meanwhile."""
        task = asyncio.ensure_future(doing)
        try:
            while not (await asyncio.wait([task], timeout=1.0))[0]:
                self._check(stand)
            return task.result()
        finally:
            task.cancel()

    def _check(self, stand: Stand) -> None:
        try:
            stand.machine.check()
        except MachineEnded as problem:
            raise self._lost(stand, str(problem)) from None

    def _lost(self, stand: Stand, why: str) -> Lost:
        return Lost(f"{why}; the console ends with\n{stand.console.end()}")


@dataclass(frozen=True, slots=True)
class Stand:
    """What stands while a machine is tested."""

    machine: Machine
    console: Console
    attempt: OneAttempt
    server: Jupyter
    secrets: dict[str, str] = field(repr=False)


async def _order_reboot(server: Jupyter) -> None:
    # The command is waited for there: what a kernel has started ends with it.
    code = "import subprocess\nsubprocess.run(['sudo', '-n', 'systemctl', 'reboot'], timeout=60)"
    with contextlib.suppress(NotebookProblem):
        async with server.kernel(DEFAULT_KERNEL) as kernel:
            await kernel.run(code, 90)


def assignment(token: str) -> Assignment:
    """The server of a test's user, with the server's token."""
    return Assignment(
        id=secrets.token_hex(8),
        user_name=USER,
        uid=UID,
        sudo=True,
        argv=("jupyterhub-singleuser",),
        env=dict(server_environment(USER, token, f"http://{HUB_AS_SEEN}:{HUB_PORT}")),
        address=GUEST_ADDRESS,
        port=machine.NOTEBOOK_PORT,
    )
