"""Boot an image in plain QEMU and give it a server, without any cloud: `python -m tests.openstack.boot.smoke [IMAGE]`.

The hub's end of the handshake is the real one, with one attempt in memory; user-data comes by a config drive. The guest
is alone on a network of QEMU's own and reaches nothing but this program.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from js2spawner.handshake.authority import Authority
from js2spawner.handshake.handlers import HandshakeSettings
from js2spawner.handshake.server import HandshakeServer
from js2spawner.handshake.userdata import user_data
from tests.openstack.boot.emulator import accelerator
from tests.openstack.boot.image.build import CACHE, Builder
from tests.openstack.boot.image.definition import LAB, Definition
from tests.unit.handshake import books
from tests.unit.handshake.books import MemoryBook

# Where QEMU's own network shows this machine to the guest, and what it gives the guest (QEMU, "Using the user mode
# network stack").
HOST_AS_SEEN = "10.0.2.2"
GUEST_ADDRESS = "10.0.2.15"
WITHIN_S = 600.0


async def smoke(image: Path, folder: Path) -> dict[str, float]:
    """Seconds from power-on to each stage; AssertionError with the console's end if JupyterLab never listens."""
    # Through QEMU, the guest's connections come from this machine itself.
    book = MemoryBook(books.expected(addresses=("127.0.0.1",)))
    authority = Authority.open(folder / "authority", HOST_AS_SEEN)
    server = HandshakeServer(
        book, bind_address="127.0.0.1", port=0, authority=authority, settings=HandshakeSettings(report_s=1.0)
    )
    await server.start()
    try:
        told = user_data(
            hub_url=f"https://{HOST_AS_SEEN}:{server.port}",
            authority_pem=authority.ca_pem,
            attempt_id=books.ATTEMPT,
            ticket=books.TICKET,
        )
        drive = await config_drive(folder, told)
        console = folder / "console.log"
        async with machine(image, drive, folder, console):
            return await _follow(book, console)
    finally:
        await server.stop()


async def _follow(book: MemoryBook, console: Path) -> dict[str, float]:
    on = time.monotonic()
    seconds: dict[str, float] = {}
    try:
        await book.until(lambda: book.waiting, WITHIN_S)
        seconds["hello"] = time.monotonic() - on
        await book.give(
            books.assignment(
                argv=(
                    "jupyter-lab",
                    "--no-browser",
                    "--ip=0.0.0.0",
                    "--port=8888",
                    "--ServerApp.base_url=/user/alice/",
                ),
                address=GUEST_ADDRESS,
            )
        )
        await book.until(lambda: book.reports and book.reports[-1].stage in ("listening", "failed"), WITHIN_S)
    except TimeoutError:
        raise AssertionError(f"no server within {WITHIN_S:.0f} s; the console ends with\n{_end(console)}") from None
    last = book.reports[-1]
    assert last.stage == "listening", f"{last.problem}: {last.detail}\n{_end(console)}"
    seconds["listening"] = time.monotonic() - on
    return seconds


@asynccontextmanager
async def machine(image: Path, drive: Path, folder: Path, console: Path) -> AsyncIterator[None]:
    """A machine that runs inside; what it writes to its disk is thrown away."""
    disk = folder / "disk.qcow2"
    await _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(disk), "8G")
    command = ["qemu-system-x86_64", "-accel", accelerator(), "-smp", "2", "-m", "2048", "-display", "none"]
    command += ["-monitor", "none", "-serial", f"file:{console}", "-no-reboot"]
    command += ["-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe"]
    command += ["-drive", f"file={drive},media=cdrom,format=raw,readonly=on"]
    command += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def config_drive(folder: Path, told: str) -> Path:
    """What Nova would make of a server's user-data (Nova, "Config drives")."""
    latest = folder / "drive" / "openstack" / "latest"
    latest.mkdir(parents=True)
    (latest / "meta_data.json").write_text(json.dumps({"uuid": books.SERVER_ID, "name": "smoke"}))
    (latest / "user_data").write_text(told)
    drive = folder / "drive.iso"
    options = ("-quiet", "-volid", "config-2", "-joliet", "-rational-rock")
    await _run("genisoimage", "-output", str(drive), *options, str(folder / "drive"))
    return drive


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise AssertionError(f"{command[0]} ended with {process.returncode}")


def _end(console: Path) -> str:
    return "\n".join(console.read_text(errors="replace").splitlines()[-30:]) if console.exists() else "nothing"


def main() -> None:
    build = Builder(CACHE, say=lambda line: print(line, file=sys.stderr, flush=True))
    image = Path(sys.argv[1]) if len(sys.argv) > 1 else build.image(Definition.load(LAB))
    with tempfile.TemporaryDirectory(prefix="js2-smoke-") as name:
        seconds = asyncio.run(smoke(image.resolve(), Path(name)))
    print(json.dumps({"accelerator": accelerator(), "image": image.name, "seconds": seconds}))


if __name__ == "__main__":
    main()
