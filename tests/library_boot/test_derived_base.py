"""A base as clouds have them, with cloud-init and nothing of ours, becomes an image in QEMU. Minutes, as root."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from js2spawner.handshake import tickets
from js2spawner.handshake.authority import Authority
from js2spawner.handshake.server import HandshakeServer
from js2spawner.library import reading, scratch
from js2spawner.library.boot import machine
from js2spawner.library.boot.console import Console
from js2spawner.library.boot.drive import config_drive
from js2spawner.library.boot.machine import HUB_AS_SEEN, Plan
from js2spawner.library.builds import DISK, Builds
from js2spawner.library.definition import Definition, Derived, Layer
from js2spawner.library.derived import booting, plan
from js2spawner.library.derived.book import BuilderBook
from js2spawner.library.derived.settings import Patience
from js2spawner.library.software import Package, unpacked
from tests.openstack.place import ROOT

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(os.geteuid() != 0, reason="builds an image, which takes root"),
]
HELLO_WITHIN_S = 1500.0
STEP_S = 600.0
PORT = 8710


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def base() -> Path:
    """The benchmark's Debian as it comes. Our user-data takes the place of what its cloud-init would start."""
    stock = reading.read(ROOT / "bench/images", "stock")
    builds = Builds(ROOT / ".images")
    newest = builds.newest(stock.name)
    if newest is None or newest.definition != stock.key:
        newest = scratch.build(stock, builds, say)
    return builds.place(newest) / DISK


def derived(folder: Path) -> Definition:
    tree = folder / "tree"
    (tree / "srv").mkdir(parents=True)
    (tree / "srv/greeting").write_text("hello\n")
    own = Layer(
        "own",
        files=tree,
        commands=("test -x /opt/js2/server/bin/python", "touch /root/.bash_history"),
        masked=("apt-daily.timer",),
    )
    return Definition("own", "Own", "Own.", ("x",), "me", Derived("base"), (own,), (), "m3.tiny", "no", 30)


@asynccontextmanager
async def booted(folder: Path, disk: Path, *, with_program: bool) -> AsyncIterator[BuilderBook]:
    """A machine with this disk that has said hello; what it writes lies in `folder/overlay.qcow2` afterwards."""
    folder.mkdir()
    server_id, ticket, began = str(uuid.uuid4()), tickets.mint(), time.monotonic()
    book = BuilderBook("build-1", ticket, say)
    book.launched(server_id, ("127.0.0.1",))
    authority = Authority.open(folder / "authority", HUB_AS_SEEN)
    counter = HandshakeServer(book, bind_address="127.0.0.1", port=0, authority=authority)
    await counter.start()
    text = booting.boot_text(
        url=f"https://{HUB_AS_SEEN}:{PORT}",
        authority_pem=authority.ca_pem,
        attempt_id="build-1",
        ticket=ticket,
        with_program=with_program,
    )
    drive = config_drive(folder, server_id, machine.MAC, text)
    console = Console()
    try:
        async with machine.power_on(Plan(disk, drive, server_id, {PORT: counter.port}), folder, console) as running:
            while not book.greeted:
                running.check()
                assert time.monotonic() - began < HELLO_WITHIN_S, console.end()
                await asyncio.sleep(0.2)
            say(f"hello after {time.monotonic() - began:.0f} s")
            yield book
    finally:
        await counter.stop()


async def test_a_foreign_base_becomes_an_image_whose_first_boot_is_a_first_boot(base: Path, folder: Path) -> None:
    async with booted(folder / "first", base, with_program=True) as book:
        identity = await _ask(book, "cat /etc/machine-id; cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub")
        for task in plan.making(derived(folder), Patience()):
            for do in task.steps:
                await book.carry_out(do, STEP_S, 0)
            say(f"{task.name}: done")
        software = await _software(book)
        assert {"cloud-init", "openssh-server"} < {each.name for each in software}
        report = await book.carry_out({"kind": "clean"}, STEP_S, 0)
        assert report.stage == "built"
    # Powered off without a word: what counts was written out before the end was told.
    async with booted(folder / "second", folder / "first/overlay.qcow2", with_program=False) as book:
        assert await _ask(book, "cat /srv/greeting") == "hello"
        fresh = await _ask(book, "cat /etc/machine-id; cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub")
        assert len(fresh.split()) == 2
        assert not set(fresh.split()) & set(identity.split())
        look = "test ! -e /run/js2-build && test ! -e /root/.bash_history && test ! -e /var/tmp/js2-build/own.tar.xz"
        await _ask(book, f"{look} && test $(readlink /etc/systemd/system/apt-daily.timer) = /dev/null")


async def _ask(book: BuilderBook, command: str) -> str:
    return (await book.carry_out({"kind": "command", "text": command}, STEP_S, 0)).result.strip()


async def _software(book: BuilderBook) -> tuple[Package, ...]:
    packed = ""
    for part in range(8):
        packed += (await book.carry_out({"kind": "software", "part": part}, STEP_S, 0)).result.strip()
    return unpacked(packed)
