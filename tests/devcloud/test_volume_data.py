"""What a volume holds goes where the API says it goes: into the server that has it, snapshots, copies and images."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from js2spawner.devcloud.machine import Machines, loops
from tests.devcloud.client import Scene, devcloud
from tests.devcloud.machine.conftest import STUB_GUEST

pytestmark = pytest.mark.skipif(not loops.usable(), reason="only root of a system with loop devices has disks to give")
VOLUMES, SNAPSHOTS = "/volume/v3/volumes", "/volume/v3/snapshots"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A devcloud whose machines have a shell; afterwards no loop device is left."""
    with tempfile.TemporaryDirectory(prefix="js2-data-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "guests").mkdir()
        guest = Path(shutil.copy(STUB_GUEST, folder / "guests"))
        async with devcloud(folder / "cloud", machines=partial(Machines, guest=guest), boot_seconds=0) as running:
            groups = (await running.hub.get("/network/v2.0/security-groups"))["security_groups"]
            rule = {"security_group_id": groups[0]["id"], "direction": "ingress", "protocol": "tcp"}
            await running.hub.call("POST", "/network/v2.0/security-group-rules", {"security_group_rule": rule})
            yield running
        assert [each for each in Path("/sys/block").glob("loop*/loop/backing_file") if name in each.read_text()] == []


async def run(server: Any, command: str) -> str:
    """What a shell says in the server, once there is one."""
    address = server["addresses"]["auto_allocated_network"][0]["addr"]
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"http://{address}:8888/", data=command) as answer:
                    return await answer.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def becomes(scene: Scene, path: str, status: str) -> None:
    async with asyncio.timeout(30):
        while next(iter((await scene.hub.get(path)).values()))["status"] != status:
            await asyncio.sleep(0.01)


async def made(scene: Scene, path: str, body: Any) -> str:
    seen = await scene.hub.call("POST", path, body)
    assert seen.status == 202, seen
    key = next(iter(seen.body.values()))["id"]
    await becomes(scene, f"{path}/{key}", "available")
    return str(key)


async def attached(scene: Scene, server: Any, volume_id: str) -> str:
    """The disk in the server."""
    path = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments"
    assert (await scene.hub.call("POST", path, {"volumeAttachment": {"volumeId": volume_id}})).status == 200
    await becomes(scene, f"{VOLUMES}/{volume_id}", "in-use")
    return f"/dev/disk/by-id/virtio-{volume_id[:20]}"


async def test_what_is_written_is_in_the_snapshot_the_copy_and_the_image(scene: Scene) -> None:
    server = await scene.hub.active()
    volume_id = await made(scene, VOLUMES, {"volume": {"size": 1}})
    disk = await attached(scene, server, volume_id)
    assert (
        await run(server, f"mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept > /mnt/note; cat /mnt/note")
        == "kept\n"
    )
    snapshot_id = await made(scene, SNAPSHOTS, {"snapshot": {"volume_id": volume_id, "force": True}})
    await run(server, "echo later > /mnt/later")
    copy_id = await made(scene, VOLUMES, {"volume": {"size": 2, "snapshot_id": snapshot_id}})
    copy = await attached(scene, server, copy_id)
    assert await run(server, f"blockdev --getsize64 {copy}") == f"{2 * 2**30}\n"
    assert await run(server, f"mkdir /home/copy; mount {copy} /home/copy; ls /home/copy") == "lost+found\nnote\n"
    await run(server, "umount /mnt /home/copy")
    path = f"/compute/v2.1/servers/{server['id']}/os-volume_attachments/{volume_id}"
    assert (await scene.hub.call("DELETE", path)).status == 202
    await becomes(scene, f"{VOLUMES}/{volume_id}", "available")
    assert await run(server, f"ls {disk}") == f"ls: cannot access '{disk}': No such file or directory\n"
    asked = {"os-volume_upload_image": {"image_name": "home", "disk_format": "raw", "container_format": "bare"}}
    begun = await scene.hub.call("POST", f"{VOLUMES}/{volume_id}/action", asked)
    await becomes(scene, f"{VOLUMES}/{volume_id}", "available")
    image = scene.cloud.settings.directory / "glance" / begun.body["os-volume_upload_image"]["image_id"]
    assert image.read_bytes()[0x438:0x43A] == b"\x53\xef"  # an ext4 superblock's magic number


async def test_a_volume_of_a_shelved_server_is_there_again_when_it_returns(scene: Scene) -> None:
    server = await scene.hub.active()
    volume_id = await made(scene, VOLUMES, {"volume": {"size": 1}})
    disk = await attached(scene, server, volume_id)
    await run(server, f"mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept > /mnt/note && umount /mnt")
    await scene.hub.act(server["id"], "shelve")
    await scene.hub.settled(server["id"], "SHELVED_OFFLOADED")
    await becomes(scene, f"{VOLUMES}/{volume_id}", "reserved")
    await scene.hub.act(server["id"], "unshelve")
    server = await scene.hub.settled(server["id"], "ACTIVE")
    await becomes(scene, f"{VOLUMES}/{volume_id}", "in-use")
    assert await run(server, f"mount {disk} /mnt && cat /mnt/note") == "kept\n"


async def test_a_disk_that_grew_is_larger_in_the_server_that_has_it(scene: Scene) -> None:
    server = await scene.hub.active()
    volume_id = await made(scene, VOLUMES, {"volume": {"size": 1}})
    disk = await attached(scene, server, volume_id)
    body, headers = {"os-extend": {"new_size": 3}}, {"OpenStack-API-Version": "volume 3.42"}
    assert (await scene.hub.call("POST", f"{VOLUMES}/{volume_id}/action", body, headers=headers)).status == 202
    await becomes(scene, f"{VOLUMES}/{volume_id}", "in-use")
    assert await run(server, f"blockdev --getsize64 {disk}") == f"{3 * 2**30}\n"
