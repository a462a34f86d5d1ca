"""Machines below a temporary folder, with a shell in each, all gone after the test."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import Machines

STUB_GUEST = Path(__file__).with_name("stub_guest.py")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a machine a view of its own")

# A corner of loopback by process, so that two test runs on one computer do not meet.
_numbers = itertools.count(1)
_CORNER = f"127.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}"


def a_spec(**changes: Any) -> MachineSpec:
    """A small machine that boots at once, at an address of its own."""
    fields: dict[str, Any] = {
        "server_id": str(uuid.uuid4()),
        "name": "js2 alice",
        "address": f"{_CORNER}.{next(_numbers)}",
        "mac": "fa:16:3e:00:00:01",
        "project_id": "b0f3c1",
        "image_id": str(uuid.uuid4()),
        "flavor_name": "m3.small",
        "vcpus": 2,
        "ram_mb": 6144,
        "user_data": b"#cloud-config\n{}",
        "metadata": {"js2_hub": "h1"},
        "key": None,
        "config_drive": False,
        "volumes": (),
        "boot_seconds": 0.0,
        "guest_dead": False,
        "gpu": None,
    }
    return MachineSpec(**fields | changes)


def processes_with(word: str) -> list[str]:
    """The command lines on this host that hold a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in command:
                found.append(command)
    return found


class Lab:
    """The machines of one test, and words to them."""

    def __init__(self, folder: Path, private: bool, eventually: Callable[..., Awaitable[None]]) -> None:
        self.folder = folder
        self.private = private
        self.eventually = eventually
        self.guests = folder / "guests"
        self.guests.mkdir()
        shutil.copy(STUB_GUEST, self.guests)
        self.directory = folder / "cloud"
        self.machines = self.new_machines()

    def new_machines(self, guest: Path | None = None, directory: Path | None = None) -> Machines:
        return Machines(
            directory or self.directory,
            "http://127.0.0.1:9/metadata",
            guest=guest or self.guests / STUB_GUEST.name,
            private=self.private,
        )

    async def boot(self, spec: MachineSpec | None = None) -> MachineSpec:
        """Power on and wait until the guest program answers."""
        spec = spec or a_spec()
        await self.machines.boot(spec)
        await self.answers(spec)
        return spec

    async def answers(self, spec: MachineSpec) -> None:
        async def here() -> bool:
            try:
                await self.about(spec)
            except aiohttp.ClientError:
                return False
            return True

        await self.eventually(here)

    async def run(self, spec: MachineSpec, command: str) -> str:
        """What a shell command says in the machine."""
        return await self._post(spec, "/", command)

    async def exit(self, spec: MachineSpec, status: int) -> None:
        await self._post(spec, "/exit", str(status))

    async def about(self, spec: MachineSpec) -> Any:
        async with _session() as session, session.get(f"http://{spec.address}:8888/") as answer:
            return json.loads(await answer.text())

    async def _post(self, spec: MachineSpec, path: str, body: str) -> str:
        async with _session() as session, session.post(f"http://{spec.address}:8888{path}", data=body) as answer:
            return await answer.text()


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own: that one is closed to the accounts in a machine.
    with tempfile.TemporaryDirectory(prefix="js2-machines-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(params=[pytest.param("private", marks=needs_root), "own"])
async def lab(
    request: pytest.FixtureRequest, folder: Path, eventually: Callable[..., Awaitable[None]]
) -> AsyncIterator[Lab]:
    """Machines of both kinds: with a view of their own, and as ourselves."""
    laboratory = Lab(folder, request.param == "private", eventually)
    await laboratory.machines.start()
    yield laboratory
    await laboratory.machines.shutdown()


@pytest.fixture
async def private_lab(folder: Path, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[Lab]:
    laboratory = Lab(folder, True, eventually)
    await laboratory.machines.start()
    yield laboratory
    await laboratory.machines.shutdown()
