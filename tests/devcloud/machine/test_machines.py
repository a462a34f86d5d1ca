"""What Nova may rely on, for machines with a view of their own and for those that run as ourselves."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from js2spawner.devcloud.hypervisor import Hypervisor
from js2spawner.devcloud.machine import MachineError
from tests.devcloud.machine.conftest import Lab, a_spec, needs_root, processes_with

HOME = '"$HOME"'


def test_machines_are_what_nova_asks_for(lab: Lab):
    hypervisor: Hypervisor = lab.machines
    assert hypervisor is lab.machines


async def test_the_console_shows_the_boot_and_then_the_guest(lab: Lab):
    spec = await lab.boot(a_spec(boot_seconds=0.1))
    lines = lab.machines.console(spec.server_id, None).splitlines()
    assert "Linux version" in lines[0]
    assert any("Hostname set to <js2-alice>" in line for line in lines)
    assert lines[-1] == "guest: here"
    assert lab.machines.console(spec.server_id, 1) == "guest: here\n"


async def test_the_guest_program_is_told_where_it_is(lab: Lab):
    spec = await lab.boot()
    argv = (await lab.about(spec))["argv"]
    assert argv[1:5] == ["--metadata-url", "http://127.0.0.1:9/metadata", "--source-address", spec.address]
    assert ("--unprivileged" in argv) is not lab.private


async def test_user_data_is_neither_on_the_console_nor_in_any_argument(lab: Lab):
    spec = await lab.boot(a_spec(user_data=b"ticket-4711", config_drive=True))
    assert "ticket-4711" not in lab.machines.console(spec.server_id, None)
    assert not processes_with("ticket-4711")
    written = lab.directory / "machines" / spec.server_id / "spec.json"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


async def test_a_dead_guest_boots_and_never_speaks(lab: Lab):
    spec = a_spec(guest_dead=True)
    await lab.machines.boot(spec)
    await lab.eventually(lambda: "js2-guest.service" in lab.machines.console(spec.server_id, None))
    assert lab.machines.running(spec.server_id)
    assert "guest: here" not in lab.machines.console(spec.server_id, None)


async def test_booting_a_running_machine_changes_nothing(lab: Lab):
    spec = await lab.boot()
    before = (lab.directory / "machines" / spec.server_id / "power.json").read_text()
    await lab.machines.boot(spec)
    assert (lab.directory / "machines" / spec.server_id / "power.json").read_text() == before


async def test_power_off_lets_the_guest_say_goodbye_and_keeps_the_files(lab: Lab):
    spec = await lab.boot()
    await lab.run(spec, f"echo kept > {HOME}/note")
    await lab.machines.power_off(spec.server_id)
    assert not lab.machines.running(spec.server_id)
    assert "guest: terminated" in lab.machines.console(spec.server_id, None)
    await lab.boot(spec)
    assert await lab.run(spec, f"cat {HOME}/note") == "kept\n"


async def test_a_hard_power_off_asks_nobody(lab: Lab):
    spec = await lab.boot()
    await lab.machines.power_off(spec.server_id, hard=True)
    assert not lab.machines.running(spec.server_id)
    assert "guest: terminated" not in lab.machines.console(spec.server_id, None)


@pytest.mark.parametrize("hard", [True, False])
async def test_reboot_keeps_files_and_starts_the_guest_anew(lab: Lab, hard: bool):
    spec = await lab.boot()
    await lab.run(spec, f"echo kept > {HOME}/note; echo passing > /tmp/{spec.server_id}")
    await lab.machines.reboot(spec.server_id, hard=hard)
    await lab.answers(spec)
    assert await lab.run(spec, f"cat {HOME}/note") == "kept\n"
    if lab.private:
        assert "No such file" in await lab.run(spec, f"cat /tmp/{spec.server_id}")
    else:
        Path("/tmp", spec.server_id).unlink()


async def test_destroy_leaves_neither_processes_nor_files(lab: Lab):
    spec = await lab.boot()
    # A process in a session of its own that ignores every polite signal, whose parent is gone.
    await lab.run(spec, f"(trap '' TERM INT HUP; setsid sleep 1234.{os.getpid()} & ) > /dev/null 2>&1")
    await lab.eventually(lambda: processes_with(f"sleep 1234.{os.getpid()}"))
    await lab.machines.destroy(spec.server_id)
    assert not processes_with(f"sleep 1234.{os.getpid()}")
    assert not processes_with(spec.server_id)
    assert not (lab.directory / "machines" / spec.server_id).exists()
    await lab.machines.destroy(spec.server_id)


async def test_a_guest_that_ends_itself_powers_the_machine_off(lab: Lab):
    spec = await lab.boot()
    await lab.exit(spec, 0)
    await lab.eventually(lambda: not lab.machines.running(spec.server_id))


async def test_a_guest_that_crashes_is_started_again(lab: Lab):
    spec = await lab.boot()
    before = (await lab.about(spec))["pid"]
    await lab.exit(spec, 1)
    await lab.eventually(lambda: lab.machines.console(spec.server_id, None).count("guest: here") == 2)
    await lab.answers(spec)
    assert (await lab.about(spec))["pid"] != before


async def test_a_guest_that_says_it_is_hopeless_is_left_alone(lab: Lab):
    spec = await lab.boot()
    await lab.exit(spec, 3)
    await lab.eventually(lambda: "status=3" in lab.machines.console(spec.server_id, None))
    assert lab.machines.running(spec.server_id)
    assert lab.machines.console(spec.server_id, None).count("guest: here") == 1


async def test_an_image_of_a_running_machine_holds_its_files(lab: Lab):
    spec = await lab.boot()
    await lab.run(spec, f"echo kept > {HOME}/note")
    await lab.machines.snapshot(spec.server_id, "golden")
    copy = await lab.boot(a_spec(image_id="golden"))
    assert await lab.run(copy, f"cat {HOME}/note") == "kept\n"
    # The machine was frozen for the copy only.
    assert await lab.run(spec, "echo alive") == "alive\n"


async def test_shutdown_ends_every_machine_and_keeps_its_files(lab: Lab):
    first, second = await lab.boot(), await lab.boot()
    await lab.machines.shutdown()
    for spec in (first, second):
        assert not lab.machines.running(spec.server_id)
        assert not processes_with(spec.server_id)
        assert (lab.directory / "machines" / spec.server_id / "disk").is_dir()


async def test_an_id_cannot_lead_out_of_the_directory(lab: Lab):
    with pytest.raises(ValueError, match="no id of this cloud"):
        await lab.machines.boot(a_spec(server_id="../elsewhere"))
    with pytest.raises(ValueError, match="no id of this cloud"):
        await lab.machines.destroy("..")


async def test_a_gpu_answers_nvidia_smi_with_what_was_set(lab: Lab):
    query = "nvidia-smi --query-gpu=name,utilization.gpu,memory.used,memory.total --format=csv,noheader,nounits"
    spec = await lab.boot(a_spec(gpu="GRID A100X-8C"))
    assert await lab.run(spec, query) == "GRID A100X-8C, 0, 0, 8192\n"
    lab.machines.set_gpu_load(spec.server_id, utilisation_percent=87, memory_used_mb=512)
    assert await lab.run(spec, query) == "GRID A100X-8C, 87, 512, 8192\n"


@needs_root
async def test_a_gpu_computes_unless_its_card_cannot(private_lab: Lab):
    spec = await private_lab.boot(a_spec(gpu="GRID A100X-8C"))
    assert await private_lab.run(spec, "/opt/js2/gpu-proof; echo $?") == "0\n"
    await private_lab.machines.change_card(spec.server_id, "no-compute")
    assert "ECC error" in await private_lab.run(spec, "/opt/js2/gpu-proof")


@needs_root
async def test_a_machine_that_cannot_be_switched_on_says_why_and_leaves_no_process(private_lab: Lab):
    lab = private_lab
    machines = lab.new_machines(guest=lab.folder / "missing" / "guest.py")
    spec = a_spec()
    with pytest.raises(MachineError, match=f"{spec.server_id} cannot be switched on: mount bind"):
        await machines.boot(spec)
    assert not machines.running(spec.server_id)
    assert not processes_with(spec.server_id)
