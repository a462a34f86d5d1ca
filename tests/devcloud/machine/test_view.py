"""A machine with a view of its own: root in there, and nobody out here."""

from __future__ import annotations

from pathlib import Path

from js2spawner.devcloud.machine.programs import PACKAGE
from tests.devcloud.machine.conftest import Lab, a_spec, needs_root

pytestmark = needs_root


def host_account_files() -> dict[str, bytes]:
    return {name: Path("/etc", name).read_bytes() for name in ("passwd", "group", "shadow", "hosts", "hostname")}


async def test_an_account_made_inside_exists_only_there_and_stays_there(private_lab: Lab):
    before = host_account_files()
    spec = await private_lab.boot()
    assert await private_lab.run(spec, "useradd --create-home --uid 4711 gauss && id -u gauss") == "4711\n"
    await private_lab.machines.reboot(spec.server_id, hard=False)
    await private_lab.answers(spec)
    assert await private_lab.run(spec, "id -u gauss; stat -c %U /home/gauss") == "4711\ngauss\n"
    other = await private_lab.boot()
    assert "no such user" in await private_lab.run(other, "id -u gauss")
    assert host_account_files() == before
    assert not Path("/home/gauss").exists()


async def test_the_people_and_passwords_of_the_host_are_not_inside(private_lab: Lab):
    spec = await private_lab.boot()
    passwords = await private_lab.run(spec, "cut -d: -f2 /etc/shadow | sort -u")
    assert passwords == "*\n"
    assert await private_lab.run(spec, "awk -F: '$3 >= 1000 && $3 != 65534' /etc/passwd") == ""


async def test_software_below_opt_and_srv_is_the_machines_own_and_goes_into_its_images(private_lab: Lab):
    spec = await private_lab.boot()
    await private_lab.run(spec, "mkdir /opt/js2 && echo one > /opt/js2/tool && echo two > /srv/data")
    await private_lab.machines.snapshot(spec.server_id, "with-software")
    other = await private_lab.boot()
    assert await private_lab.run(other, "ls /opt/js2 /srv 2>/dev/null | grep -e tool -e data") == ""
    derived = await private_lab.boot(a_spec(image_id="with-software"))
    assert await private_lab.run(derived, "cat /opt/js2/tool /srv/data") == "one\ntwo\n"


async def test_an_ordinary_account_inside_runs_our_python(private_lab: Lab):
    spec = await private_lab.boot()
    told = await private_lab.run(
        spec,
        "useradd -m gauss && setpriv --reuid gauss --regid gauss --init-groups "
        f'env PYTHONPATH={PACKAGE.parent} python -c "import os, js2spawner; print(os.getuid())"',
    )
    assert told == "1000\n"


async def test_another_machine_and_the_clouds_own_files_are_invisible(private_lab: Lab):
    spec, other = await private_lab.boot(), await private_lab.boot()
    await private_lab.run(other, "echo secret > /root/note")
    assert "No such file" in await private_lab.run(spec, f"ls {private_lab.directory}")
    mine = await private_lab.run(spec, "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
    assert spec.server_id in mine
    assert other.server_id not in mine


async def test_the_clouds_directory_is_hidden_even_below_a_folder_that_is_shown(private_lab: Lab):
    # The folder of the guest program is shown to the machine; here the cloud keeps its files right below it.
    machines = private_lab.new_machines(directory=private_lab.guests / "cloud")
    await machines.start()
    spec = a_spec()
    await machines.boot(spec)
    try:
        await private_lab.answers(spec)
        assert await private_lab.run(spec, f"ls {private_lab.guests}") == "cloud\nstub_guest.py\n"
        assert await private_lab.run(spec, f"ls -A {private_lab.guests}/cloud") == ""
    finally:
        await machines.shutdown()


async def test_root_inside_cannot_mount_or_change_the_kernel_or_the_programs(private_lab: Lab):
    spec = await private_lab.boot()
    assert await private_lab.run(spec, "id -u") == "0\n"
    for command, refusal in {
        "mount -t tmpfs none /mnt": "permission denied",
        "umount /proc": "must be superuser",
        "mknod /tmp/disk b 254 0": "Operation not permitted",
        "touch /usr/bin/new": "Read-only file system",
        "echo '|/tmp/x' > /proc/sys/kernel/core_pattern": "Read-only file system",
        "echo b > /proc/sysrq-trigger": "cannot create /proc/sysrq-trigger",
        "hostname other": "must be root",
        "ls /proc/1/root/..": "usr",
    }.items():
        assert refusal in await private_lab.run(spec, command), command


async def test_root_inside_sees_its_own_processes_only(private_lab: Lab):
    spec = await private_lab.boot()
    pids = (await private_lab.run(spec, "ls /proc | grep '^[0-9]'")).split()
    assert "1" in pids
    assert len(pids) < 10


async def test_nothing_of_a_machine_is_mounted_on_the_host(private_lab: Lab):
    await private_lab.boot()
    assert str(private_lab.folder) not in Path("/proc/self/mounts").read_text()


async def test_a_link_planted_by_root_inside_does_not_lead_the_next_boot_out_of_the_view(private_lab: Lab):
    outside = private_lab.folder / "outside"
    outside.mkdir()
    spec = await private_lab.boot()
    await private_lab.machines.power_off(spec.server_id)
    # What root inside could do to its own disk, and an image made of it could hold.
    etc = private_lab.directory / "machines" / spec.server_id / "disk" / "etc"
    (etc / "ssl" / "certs").rmdir()
    if (etc / "ssl" / "openssl.cnf").exists():
        (etc / "ssl" / "openssl.cnf").unlink()
    (etc / "ssl").rmdir()
    (etc / "ssl").symlink_to(outside)
    await private_lab.boot(spec)
    assert list(outside.iterdir()) == []
    assert await private_lab.run(spec, "test -d /etc/ssl/certs && echo there") == "there\n"


async def test_an_image_with_planted_links_writes_no_file_of_the_host(private_lab: Lab):
    victim = private_lab.folder / "victim"
    victim.write_text("untouched")
    spec = await private_lab.boot()
    await private_lab.run(spec, f"ln -sf {victim} /etc/hosts; ln -sf {victim} /etc/hosts.new")
    await private_lab.machines.snapshot(spec.server_id, "planted")
    copy = await private_lab.boot(a_spec(image_id="planted", name="copy"))
    assert victim.read_text() == "untouched"
    assert "copy" in await private_lab.run(copy, "cat /etc/hosts")


async def test_the_config_drive_is_there_when_asked_for(private_lab: Lab):
    spec = await private_lab.boot(a_spec(config_drive=True, user_data=b"hello"))
    argv = (await private_lab.about(spec))["argv"]
    drive = argv[argv.index("--config-drive") + 1]
    assert await private_lab.run(spec, f"cat {drive}/openstack/latest/user_data") == "hello"
    assert spec.server_id in await private_lab.run(spec, f"cat {drive}/openstack/latest/meta_data.json")
    refused = "setpriv --reuid 1000 --regid 1000 --clear-groups cat"
    assert "Permission denied" in await private_lab.run(spec, f"{refused} {drive}/openstack/latest/user_data")
