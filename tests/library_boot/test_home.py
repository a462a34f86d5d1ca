"""A home on a disk that is plugged into a running machine: a real kernel, udev and file system. Minutes, as root."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from js2spawner.handshake.messages import HomeMount, HomeReport, Orders
from js2spawner.library.boot.attempt import Boot
from js2spawner.library.boot.machine import GIB, VIRTIO_SERIAL, Bus
from js2spawner.library.boot.notebooks import DEFAULT_KERNEL
from js2spawner.library.boot.trial import UID, Stand, Trial, assignment
from tests.openstack.boot import images

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="builds an image, which takes root"),
]
VOLUME = str(uuid.uuid4())
FIRST, SECOND = "before-leaving.txt", "before-the-power-cut.txt"
LEAVE_S = 120.0

# As the notebook's user, in a kernel of theirs.
LOOK = """
import json, os, pathlib
home = pathlib.Path.home()
mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
print(json.dumps({
    "mounted": [kind + " " + options for _, place, kind, options, *_ in mounts if place == str(home)],
    "names": os.listdir("/dev/disk/by-id"),
    "owners": [[each.stat().st_uid, oct(each.stat().st_mode & 0o777)] for each in (home, home / "%s")],
    "from the skeleton": (home / ".bashrc").exists(),
}))
"""
# What is written out before the cut, and what is being written at that moment.
WRITE = """
import os, pathlib, subprocess
with pathlib.Path.home().joinpath("%s").open("w") as file:
    file.write("%s")
    file.flush()
    os.fsync(file.fileno())
endless = "while :; do dd if=/dev/zero of=half-written bs=1M count=100 2> /dev/null; cp -r /etc many; rm -r many; done"
subprocess.Popen(["sh", "-c", endless], cwd=pathlib.Path.home(), stderr=subprocess.DEVNULL, start_new_session=True)
"""


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@dataclasses.dataclass(slots=True)
class Volume:
    """A disk of the cloud's, as the host has it."""

    file: Path

    def grow(self, size: int) -> None:
        os.truncate(self.file, size)

    def check(self) -> int:
        """What e2fsck says, which changes nothing: 0 is a file system without a fault."""
        return subprocess.run(["e2fsck", "-fn", self.file], capture_output=True, timeout=120, check=False).returncode

    def says(self, field: str) -> str:
        done = subprocess.run(["dumpe2fs", "-h", self.file], capture_output=True, timeout=60, check=True, text=True)
        told = dict(line.partition(":")[::2] for line in done.stdout.splitlines())
        return told[field].strip()


@pytest.fixture(scope="module")
def disk() -> Path:
    return images.minimal(say)


@pytest.fixture
def volume() -> Iterator[Volume]:
    # Not pytest's own folder, which it keeps: here are disks.
    with tempfile.TemporaryDirectory(prefix="js2-home-") as folder:
        made = Volume(Path(folder) / "volume.raw")
        made.file.touch()
        made.grow(2 * GIB)
        yield made


class HomeTrial(Trial):
    """Each `server` is a new instance of the same image, which is given its user once the home is attached."""

    def _assignment(self, token: str) -> None:
        del token

    @asynccontextmanager
    async def server(self, volume: Volume, bus: Bus, *, may_format: bool, early: bool = False) -> AsyncIterator[Stand]:
        """Listening, with its home. `early`: it is plugged in while the kernel starts, else once the guest is there.

        Nova says that an instance is active as soon as its machine runs: both happen.
        """
        async with self._standing() as stand:
            if early:
                await self._until(
                    stand, "begun to boot", lambda: stand.console.said_anything, self.patience.listening_s
                )
                await stand.machine.plug(volume.file, VOLUME, bus)
            await self._until(stand, "said hello", lambda: bool(stand.attempt.boots), self.patience.listening_s)
            boot, plugged_at = stand.attempt.boots[0], time.monotonic()
            if not early:
                await stand.machine.plug(volume.file, VOLUME, bus)
            home = HomeMount("volume", serial=VOLUME[:VIRTIO_SERIAL], may_format=may_format)
            given = assignment(stand.secrets["server's token"])
            await stand.attempt.give(dataclasses.replace(given, home=home))
            await self._until(stand, "mounted the home", lambda: has_home(boot), self.patience.listening_s)
            mounted_s = time.monotonic() - plugged_at
            await self._listening(stand, boot)
            hello_s = boot.hello_at - stand.machine.on_at
            say(f"{bus}, {early=}: hello at {hello_s:.1f} s, home mounted {mounted_s:.2f} s after plug or assignment")
            yield stand

    async def run(self, stand: Stand, code: str) -> str:
        async with stand.server.kernel(DEFAULT_KERNEL) as kernel:
            outcome = await self._alive(stand, kernel.run(code, self.patience.cell_s))
        assert outcome.error == ""
        return str(outcome.text)

    async def look(self, stand: Stand) -> dict[str, Any]:
        return dict(json.loads(await self.run(stand, LOOK % FIRST)))

    async def leave(self, stand: Stand) -> HomeReport:
        """Left, and the volume is unplugged."""
        boot, since = stand.attempt.boots[0], time.monotonic()
        await stand.attempt.order(Orders(leave_within_s=LEAVE_S))
        await self._until(stand, "left", lambda: told(boot).stage == "left", LEAVE_S + 60)
        left_s = time.monotonic() - since
        await stand.machine.unplug(VOLUME)
        say(f"left within {left_s:.2f} s of the word, unplugged after {time.monotonic() - since:.2f} s")
        stand.machine.check()
        return home_of(stand)


def told(boot: Boot) -> Any:
    assert boot.last is not None
    return boot.last


def has_home(boot: Boot) -> bool:
    return boot.last is not None and (boot.last.home.state == "mounted" or boot.last.stage == "failed")


def home_of(stand: Stand) -> HomeReport:
    home = told(stand.attempt.boots[0]).home
    assert isinstance(home, HomeReport)
    return home


async def test_a_home_outlives_its_machines_whether_they_leave_or_lose_their_power(disk: Path, volume: Volume) -> None:
    trial = HomeTrial(disk.resolve(), say)
    contents = {FIRST: secrets.token_hex(16), SECOND: secrets.token_hex(16)}

    async with trial.server(volume, "virtio", may_format=True) as stand:
        assert home_of(stand).formatted
        await stand.server.write(FIRST, contents[FIRST], "file")
        seen = await trial.look(stand)
        assert f"virtio-{VOLUME[:VIRTIO_SERIAL]}" in seen["names"]
        [mounted] = seen["mounted"]
        assert mounted.startswith("ext4 rw,nosuid,nodev")
        assert [owner for owner, _ in seen["owners"]] == [UID, UID]
        assert seen["owners"][0][1] == "0o700"
        assert seen["from the skeleton"]
        assert (await trial.leave(stand)).state == "clean"
    assert volume.says("Filesystem volume name") == "js2-home"
    assert volume.check() == 0

    async with trial.server(volume, "virtio", may_format=False, early=True) as stand:
        assert not home_of(stand).formatted
        assert await stand.server.read(FIRST) == contents[FIRST]
        await trial.run(stand, WRITE % (SECOND, contents[SECOND]))
    # The machine was ended as it was. So it was one that had not written everything out:
    assert "needs_recovery" in volume.says("Filesystem features")

    volume.grow(3 * GIB)
    async with trial.server(volume, "scsi", may_format=False) as stand:
        assert not home_of(stand).formatted
        assert home_of(stand).total_gb > 2.5
        assert {name: await stand.server.read(name) for name in contents} == contents
        seen = await trial.look(stand)
        assert [name for name in seen["names"] if name.startswith("scsi-") and VOLUME[:VIRTIO_SERIAL] in name]
        assert (await trial.leave(stand)).state == "clean"
    assert volume.check() == 0
