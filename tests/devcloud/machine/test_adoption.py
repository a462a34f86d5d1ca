"""A control plane that dies takes no machine with it, and the next one finds them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from js2spawner.devcloud.machine.inside.processes import stat
from tests.devcloud.machine.conftest import Lab, a_spec, processes_with

CONTROL_PLANE = """
import asyncio, sys
from pathlib import Path
from js2spawner.devcloud.machine import Machines
from tests.devcloud.machine.conftest import a_spec

async def main():
    directory, guest, private, server_id, address = sys.argv[1:]
    machines = Machines(Path(directory), "http://127.0.0.1:9/metadata", guest=Path(guest), private=private == "True")
    await machines.start()
    await machines.boot(a_spec(server_id=server_id, address=address))
    print("on", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_machines_survive_the_kill_of_their_cloud_and_are_found_again(lab: Lab):
    spec = a_spec()
    guest = lab.guests / "stub_guest.py"
    command = [
        sys.executable,
        "-c",
        CONTROL_PLANE,
        lab.directory,
        guest,
        str(lab.private),
        spec.server_id,
        spec.address,
    ]
    cloud = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    try:
        assert cloud.stdout is not None
        assert await asyncio.to_thread(cloud.stdout.readline) == b"on\n"
    finally:
        cloud.kill()
        cloud.communicate()
    machines = lab.machines = lab.new_machines()
    await machines.start()
    assert machines.running(spec.server_id)
    await lab.answers(spec)
    await machines.power_off(spec.server_id)
    assert not machines.running(spec.server_id)
    assert "guest: terminated" in machines.console(spec.server_id, None)


async def test_a_stranger_with_the_old_process_number_is_left_alone(lab: Lab):
    spec = a_spec()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        folder = lab.directory / "machines" / spec.server_id
        folder.mkdir()
        found = stat(stranger.pid)
        assert found is not None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        record = {"pid": stranger.pid, "started": found.started - 1, "kernel_boot": boot}
        (folder / "power.json").write_text(json.dumps(record))
        machines = lab.new_machines()
        await machines.start()
        assert not machines.running(spec.server_id)
        await machines.destroy(spec.server_id)
        await machines.shutdown()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_machine_that_died_with_its_computer_is_off(lab: Lab):
    spec = await lab.boot()
    record = lab.directory / "machines" / spec.server_id / "power.json"
    before = json.loads(record.read_text())
    os.kill(before["pid"], signal.SIGKILL)
    await lab.eventually(lambda: not lab.machines.running(spec.server_id) and not processes_with(spec.server_id))
    record.write_text(json.dumps(before))
    machines = lab.new_machines()
    await machines.start()
    assert not machines.running(spec.server_id)
    assert not record.exists()
    await machines.shutdown()
