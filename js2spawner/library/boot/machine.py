"""A machine in QEMU with a build's disk, on a layer that is thrown away with it; alone but for what is forwarded.

Its disk is on virtio-scsi, as Jetstream2 asks of images. What it writes to its console is read as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from js2spawner.library.boot.console import Console
from js2spawner.library.boot.emulator import accelerator

# What QEMU's own network gives the first guest that asks (QEMU, "Using the user mode network stack").
GUEST_ADDRESS = "10.0.2.15"
HUB_AS_SEEN = "10.0.2.100"
NOTEBOOK_PORT = 8888
MAC = "52:54:00:12:34:56"
PRISTINE = "js2-pristine"
"""Serial number under which a machine finds the disk as it was built."""
VIRTIO_SERIAL = 20
"""As many characters of a serial a disk on virtio-blk shows (VIRTIO_BLK_ID_BYTES, linux/virtio_blk.h)."""

_RELAY = Path(__file__).with_name("relay.py")
# QEMU's plain processor is older than what wheels are built for: NumPy's kernel dies on it (x86-64-v2 is the least).
_EMULATED_CPU = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"
_TOOL_DEADLINE_S = 120.0
_CONTROL_DEADLINE_S = 30.0
_CONTROL_LINE_BYTES = 64 * 1024
GIB = 1024**3


Bus = Literal["virtio", "scsi"]


class MachineEnded(Exception):
    """The machine cannot be had or is of no use any more; the message says why."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a flavor would give. `disk_gb` is raised when the image is larger."""

    cpus: int = 2
    memory_mb: int = 3072
    disk_gb: int = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """`services` are ports of the hub's address as the guest sees it, and which port of ours answers there."""

    disk: Path
    drive: Path
    server_id: str
    services: Mapping[int, int]
    hardware: Hardware = field(default_factory=Hardware)


class Machine:
    """A running machine. Times are seconds of `time.monotonic`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, console: Console, port: int) -> None:
        self.on_at = time.monotonic()
        self.console = console
        self.overlay = folder / "overlay.qcow2"
        self.port = port
        self._process = process
        self._control = folder / "control"

    @property
    def url(self) -> str:
        """Where its notebook server answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_off(self) -> bool:
        """Whether it ended by itself."""
        return self._process.returncode is not None

    def check(self) -> None:
        """Raises MachineEnded when its kernel gave up or it is off."""
        if self.console.panic:
            raise MachineEnded(f"the kernel gave up: {self.console.panic}")
        if self.is_off:
            raise MachineEnded(f"the machine turned itself off (QEMU ended with {self._process.returncode})")

    def cpu_s(self) -> float:
        """Processor time of this machine spent on that one so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def show_pristine(self, disk: Path) -> None:
        """Plug in the disk as it was built, read-only. Raises MachineEnded."""
        node = {"driver": "qcow2", "node-name": PRISTINE, "read-only": True}
        file = {"driver": "file", "filename": str(disk), "read-only": True}
        device = {"driver": "scsi-hd", "drive": PRISTINE, "id": PRISTINE, "bus": "scsi.0", "serial": PRISTINE}
        await self._order(("blockdev-add", {**node, "file": file}), ("device_add", device))

    async def hide_pristine(self) -> None:
        """Unplug it again: a boot with two disks of one label would not know which to take. Raises MachineEnded."""
        await self._order(("device_del", {"id": PRISTINE}))

    async def plug(self, disk: Path, volume_id: str, bus: Bus) -> None:
        """Plug in a volume, a raw file, as Nova does it: with its id as serial. Raises MachineEnded."""
        name = _volume(volume_id)
        node = {"driver": "raw", "node-name": name, "file": {"driver": "file", "filename": str(disk)}}
        device = {"driver": "virtio-blk-pci", "drive": name, "id": name, "serial": volume_id[:VIRTIO_SERIAL]}
        if bus == "scsi":
            device |= {"driver": "scsi-hd", "bus": "scsi.0", "serial": volume_id}
        await self._order(("blockdev-add", node), ("device_add", device))

    async def unplug(self, volume_id: str) -> None:
        """Have the machine let go of a volume. Raises MachineEnded when it does not."""
        name = _volume(volume_id)
        await self._order(("device_del", {"id": name}), gone=name)
        await self._order(("blockdev-del", {"node-name": name}))

    async def _order(self, *orders: tuple[str, dict[str, Any]], gone: str = "") -> None:
        """QEMU's own protocol (QMP): a greeting, capabilities, then an answer to each order among events.

        `gone` is a device whose end is waited for.
        """
        try:
            async with asyncio.timeout(_CONTROL_DEADLINE_S):
                reader, writer = await asyncio.open_unix_connection(self._control, limit=_CONTROL_LINE_BYTES)
                with contextlib.closing(writer):
                    await reader.readline()
                    for name, arguments in (("qmp_capabilities", {}), *orders):
                        writer.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
                        while "return" not in (answer := json.loads(await reader.readline() or b"{}")):
                            if "event" not in answer:
                                raise MachineEnded(f"QEMU refused {name}: {answer.get('error', {}).get('desc', '?')}")
                            gone = "" if _ended(answer) == gone else gone
                    while gone:
                        told = json.loads(await reader.readline())
                        gone = "" if _ended(told) == gone else gone
        except (OSError, ValueError, TimeoutError) as problem:
            raise MachineEnded(f"QEMU does not answer ({type(problem).__name__})") from problem


def _volume(volume_id: str) -> str:
    """QEMU's names begin with a letter and have at most 31 characters."""
    return f"volume-{volume_id[:VIRTIO_SERIAL]}"


def _ended(told: dict[str, Any]) -> str | None:
    """The device that the machine has let go of, if this is QEMU's word for that."""
    device = told.get("data", {}).get("device") if told.get("event") == "DEVICE_DELETED" else None
    return None if device is None else str(device)


@asynccontextmanager
async def power_on(plan: Plan, folder: Path, console: Console) -> AsyncIterator[Machine]:
    """A machine that runs as long as the block does; its disk's layer stays in `folder`. Raises MachineEnded."""
    await _make_overlay(plan, folder / "overlay.qcow2")
    port = _free_port()
    # With our end of a pipe it also ends when we do, however that comes about.
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "--",
        *_command(plan, folder, port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    reading = asyncio.create_task(_read(process, console))
    try:
        yield Machine(process, folder, console, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, console: Console) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(65536):
        console.feed(data)


def _command(plan: Plan, folder: Path, port: int) -> list[str]:
    hardware = plan.hardware
    command = ["qemu-system-x86_64", "-no-user-config", "-nodefaults", "-accel", accelerator()]
    command += ["-cpu", "host" if accelerator() == "kvm" else _EMULATED_CPU]
    command += ["-smp", str(hardware.cpus), "-m", str(hardware.memory_mb), "-display", "none", "-vga", "std"]
    command += ["-smbios", f"type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,uuid={plan.server_id}"]
    command += ["-uuid", plan.server_id, "-serial", "stdio"]
    command += ["-qmp", f"unix:{_quoted(folder / 'control')},server=on,wait=off"]
    command += ["-device", "virtio-scsi-pci,id=scsi"]
    overlay, drive = _quoted(folder / "overlay.qcow2"), _quoted(plan.drive)
    command += ["-drive", f"file={overlay},if=none,id=disk,format=qcow2,cache=unsafe"]
    command += ["-device", "scsi-hd,drive=disk,bus=scsi.0,bootindex=1"]
    command += ["-drive", f"file={drive},if=none,id=seed,media=cdrom,format=raw,readonly=on"]
    command += ["-device", "scsi-cd,drive=seed,bus=scsi.0"]
    network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:{NOTEBOOK_PORT}"
    for seen, ours in plan.services.items():
        relay = shlex.join([sys.executable, "-I", "-S", str(_RELAY), "127.0.0.1", str(ours)])
        network += f",guestfwd=tcp:{HUB_AS_SEEN}:{seen}-cmd:{_quoted(relay)}"
    return [*command, "-netdev", network, "-device", f"virtio-net-pci,netdev=net,mac={MAC}"]


def _quoted(value: str | Path) -> str:
    """In QEMU's options a comma separates, and two are one."""
    return str(value).replace(",", ",,")


async def _make_overlay(plan: Plan, overlay: Path) -> None:
    told = json.loads(await _tool("qemu-img", "info", "--output=json", str(plan.disk)))
    size = max(plan.hardware.disk_gb * GIB, int(told["virtual-size"]) + 4 * GIB)
    kind = str(told["format"])
    await _tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(plan.disk), str(overlay), str(size))


async def _tool(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _TOOL_DEADLINE_S)
    except TimeoutError:
        process.kill()
        raise MachineEnded(f"{command[0]} took more than {_TOOL_DEADLINE_S:.0f} s") from None
    if process.returncode:
        raise MachineEnded(f"{command[0]} failed: {said[-500:].decode(errors='replace').strip()}")
    return said


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
