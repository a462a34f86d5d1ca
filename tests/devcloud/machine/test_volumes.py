"""A volume is a disk that a machine sees come and go, and a share a folder that several may mount."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import loops, volumes
from tests.devcloud.machine.conftest import Lab, a_spec, needs_root

needs_loops = pytest.mark.skipif(not loops.usable(), reason="this system gives no loop devices")
PLACE = "/home/alice"


@pytest.fixture(autouse=True)
def nothing_left(folder: Path) -> Iterator[None]:
    """Afterwards, all machines being off, no loop device and no mount of the host is ours any more."""
    yield
    assert [
        loop for loop in Path("/sys/block").glob("loop*/loop/backing_file") if str(folder) in loop.read_text()
    ] == []
    assert str(folder) not in Path("/proc/self/mounts").read_text()


@pytest.fixture
def volume() -> str:
    """A volume's id."""
    return str(uuid.uuid4())


def device(volume_id: str) -> str:
    return f"/dev/disk/by-id/virtio-{volume_id[:20]}"


async def formatted(lab: Lab, spec: MachineSpec, volume_id: str) -> None:
    """The volume in the machine, with an empty file system on it, mounted."""
    await lab.machines.attach(spec.server_id, volume_id)
    disk = device(volume_id)
    assert await lab.run(spec, f"mkfs.ext4 -q {disk} && mkdir {PLACE} && mount {disk} {PLACE}") == ""


@needs_loops
async def test_a_disk_is_formatted_mounted_and_found_again_in_another_machine(private_lab: Lab, volume: str):
    lab, first = private_lab, await private_lab.boot()
    assert await lab.run(first, f"ls {device(volume)} 2>&1 | grep -c 'No such file'") == "1\n"
    await formatted(lab, first, volume)
    await lab.run(first, f"echo kept > {PLACE}/note && umount {PLACE}")
    await lab.machines.detach(first.server_id, volume)
    assert await lab.run(first, "ls /dev/disk/by-id; ls /dev | grep loop") == ""
    second = await lab.boot(a_spec(volumes=(volume,)))
    told = await lab.run(second, f"e2fsck -p {device(volume)} > /tmp/said; echo $?; mount {device(volume)} /mnt")
    assert told == "0\n"
    assert await lab.run(second, "cat /mnt/note; grep -c nosuid,nodev /proc/mounts | grep -c 0") == "kept\n0\n"


@needs_loops
async def test_what_was_not_written_when_a_disk_is_taken_away_is_lost_and_nothing_else(private_lab: Lab, volume: str):
    lab, spec = private_lab, await private_lab.boot()
    await formatted(lab, spec, volume)
    await lab.run(spec, f"echo kept > {PLACE}/kept && sync && echo lost > {PLACE}/lost")
    await lab.machines.detach(spec.server_id, volume)
    assert "Input/output error" in await lab.run(spec, f"echo more > {PLACE}/more")
    other = await lab.boot(a_spec(volumes=(volume,)))
    # Somebody goes on writing into what is left of it in the first machine, which is no longer the volume.
    assert await lab.run(spec, f"umount {PLACE} && ls {PLACE}") == ""
    await lab.run(other, f"e2fsck -p {device(volume)}; mount {device(volume)} /mnt")
    assert await lab.run(other, "ls /mnt | grep -v found") == "kept\n"


@needs_loops
async def test_a_machine_that_loses_its_power_loses_what_it_had_not_written(private_lab: Lab, volume: str):
    lab, spec = private_lab, await private_lab.boot()
    await formatted(lab, spec, volume)
    await lab.run(spec, f"echo kept > {PLACE}/kept && sync && echo lost > {PLACE}/lost")
    await lab.machines.power_off(spec.server_id, hard=True)
    await lab.boot(spec := lab.machines.known(spec.server_id))
    assert "recovering journal" in await lab.run(spec, f"e2fsck -p {device(volume)}")
    assert await lab.run(spec, f"mount {device(volume)} {PLACE}; ls {PLACE} | grep -v found") == "kept\n"


@needs_loops
async def test_a_volume_that_one_machine_has_is_not_given_to_another(private_lab: Lab, volume: str):
    lab, first, second = private_lab, await private_lab.boot(), await private_lab.boot()
    await lab.machines.attach(first.server_id, volume)
    await lab.machines.attach(first.server_id, volume)
    with pytest.raises(Exception, match="still in use as loop"):
        await lab.machines.attach(second.server_id, volume)


@needs_loops
async def test_a_disk_that_grew_is_larger_while_it_is_mounted(private_lab: Lab, volume: str):
    lab, spec = private_lab, await private_lab.boot()
    await formatted(lab, spec, volume)
    volumes.grow(lab.directory / "volumes" / volume, 2)
    await lab.machines.grown(spec.server_id, volume)
    assert await lab.run(spec, f"blockdev --getsize64 {device(volume)}") == f"{2 * 2**30}\n"
    grow = f"umount {PLACE} && e2fsck -fp {device(volume)} > /tmp/said && resize2fs {device(volume)} > /tmp/said 2>&1"
    told = await lab.run(spec, f"{grow} && mount {device(volume)} {PLACE} && df -BG --output=size {PLACE} | tail -1")
    assert told.strip() == "2G"


@needs_loops
async def test_a_copy_of_a_disk_in_use_holds_what_was_written_before(private_lab: Lab, volume: str):
    lab, spec = private_lab, await private_lab.boot()
    await formatted(lab, spec, volume)
    await lab.run(spec, f"echo kept > {PLACE}/note")
    source, copy = lab.directory / "volumes" / volume, str(uuid.uuid4())
    async with lab.machines.held_still(spec.server_id, volume):
        volumes.copy(source, source.with_name(copy), 1)
    # It was held still for the copy only.
    assert await lab.run(spec, f"echo more > {PLACE}/more && sync && echo written") == "written\n"
    other = await lab.boot(a_spec(volumes=(copy,)))
    assert await lab.run(other, f"mount {device(copy)} /mnt && cat /mnt/note") == "kept\n"


@needs_loops
async def test_a_machine_that_is_killed_leaves_no_device_behind(private_lab: Lab, volume: str):
    lab, spec = private_lab, await private_lab.boot()
    await formatted(lab, spec, volume)
    record = lab.directory / "machines" / spec.server_id / "power.json"
    os.kill(int(record.read_text().split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    await lab.eventually(lambda: loops.used_by(lab.directory / "volumes" / volume) == [])


@needs_loops
async def test_root_inside_mounts_its_own_volumes_only_and_nowhere_of_the_systems(private_lab: Lab, volume: str):
    spec, disk = await private_lab.boot(a_spec(volumes=(volume,))), device(volume)
    await private_lab.run(spec, f"mkfs.ext4 -q {disk}")
    for command, refusal in {
        f"mount {disk} /usr": "permission denied",
        f"ln -s /proc /home/way; mount {disk} /home/way": "permission denied",
        f"mount {disk} /home/nowhere": "mount point does not exist",
        f"mount -o remount,suid,dev {disk} /home": "permission denied",
        "mount -t ext4 /dev/null /mnt": "is not a block device",
        "mount -t nfs 127.0.0.1:/etc /mnt": "No such file or directory",
        "mount -t nfs 127.0.0.1:/share/.. /mnt": "No such file or directory",
        "umount /home": "must be superuser",
        "umount /etc/alternatives": "must be superuser",
        f"setpriv --reuid 1000 --regid 1000 --clear-groups mount {disk} /mnt": "must be superuser",
    }.items():
        assert refusal in await private_lab.run(spec, command), command


@needs_root
async def test_a_folder_stands_for_a_disk_where_there_are_none(private_lab: Lab, volume: str):
    lab = private_lab
    (lab.directory / "volumes" / volume).mkdir()
    spec = await lab.boot()
    await lab.machines.attach(spec.server_id, volume)
    await lab.run(spec, f"echo kept > {device(volume)}/note")
    await lab.machines.detach(spec.server_id, volume)
    assert await lab.run(spec, "ls /dev/disk/by-id /mnt/volumes | grep -v :") == "\n"
    second = await lab.boot(a_spec(volumes=(volume,)))
    assert await lab.run(second, f"cat {device(volume)}/note") == "kept\n"


async def test_somebody_who_is_not_root_finds_volumes_by_links_too(folder: Path, volume: str, eventually):
    lab = Lab(folder, False, eventually)
    await lab.machines.start()
    try:
        (lab.directory / "volumes" / volume).mkdir()
        spec = await lab.boot()
        argv = (await lab.about(spec))["argv"]
        links = argv[argv.index("--disks") + 1]
        await lab.machines.attach(spec.server_id, volume)
        await lab.run(spec, f"echo kept > {links}/virtio-{volume[:20]}/note")
        await lab.machines.detach(spec.server_id, volume)
        assert list(Path(links).iterdir()) == []
        assert (lab.directory / "volumes" / volume / "note").read_text() == "kept\n"
    finally:
        await lab.machines.shutdown()


@needs_root
async def test_a_share_is_seen_by_all_that_may_mount_it(private_lab: Lab):
    lab, share = private_lab, str(uuid.uuid4())
    writer, reader = await lab.boot(), a_spec()
    await lab.machines.export(writer.server_id, {share: False})
    await lab.machines.export(reader.server_id, {share: True})
    await lab.boot(reader)
    mount = f"mount -t nfs -o vers=4.1 127.0.0.1:/share/{share} /mnt"
    assert await lab.run(writer, f"{mount} && echo shared > /mnt/note") == ""
    assert await lab.run(reader, f"{mount} && cat /mnt/note") == "shared\n"
    assert "Read-only file system" in await lab.run(reader, "echo more >> /mnt/note")
    stranger = await lab.boot()
    assert "access denied by server" in await lab.run(stranger, mount)
    await lab.machines.export(reader.server_id, {})
    assert "access denied by server" in await lab.run(reader, f"ls /mnt; {mount}")
    assert await lab.run(writer, "cat /mnt/note && umount /mnt && ls /mnt | grep -c note") == "shared\n0\n"


async def test_a_volume_stays_with_a_machine_that_was_off_when_it_came(lab: Lab, volume: str):
    spec = await lab.boot()
    await lab.machines.power_off(spec.server_id)
    await lab.machines.attach(spec.server_id, volume)
    again = lab.machines.known(spec.server_id)
    assert again.volumes == (volume,)
