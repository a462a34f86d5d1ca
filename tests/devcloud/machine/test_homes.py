"""The real guest program with a volume for a home: what somebody wrote there outlives their instance."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import Machines, loops
from js2spawner.handshake.messages import DataMount, HomeMount, Orders
from tests.devcloud.machine.conftest import needs_root
from tests.devcloud.machine.test_real_guest import Hub, printed

pytestmark = [
    needs_root,
    pytest.mark.skipif(not loops.usable(), reason="this system gives no loop devices"),
]
SAVE = "import os; open('thesis.txt', 'w').write('three years of work'); os.sync(); print('saved')"
READ = "import os; print(os.getcwd(), open('thesis.txt').read())"


@pytest.fixture
async def hub(folder: Path) -> AsyncIterator[Hub]:
    made = Hub(folder)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def machines(hub: Hub, folder: Path) -> AsyncIterator[Machines]:
    made = Machines(folder / "cloud", f"{hub.url}/metadata")
    await made.start()
    yield made
    await made.shutdown()


async def started(hub: Hub, machines: Machines, volume: str, *, may_format: bool, data: str = "") -> MachineSpec:
    """An instance with that volume for a home; its server answers."""
    spec = hub.expect()
    hub.book.reports.clear()
    hub.book.orders = Orders()
    hub.book.given = None
    await machines.boot(spec)
    for each in filter(None, (volume, data)):
        await machines.attach(spec.server_id, each)
    home = HomeMount("volume", volume, may_format=may_format)
    mounts = (DataMount("course", "volume", serial=data),) if data else ()
    await hub.book.give(hub.assignment(spec, home=home, data=mounts))
    await hub.book.until(lambda: any(report.stage in ("listening", "failed") for report in hub.book.reports), 90)
    assert hub.book.reports[-1].stage == "listening", machines.console(spec.server_id, 20)
    return spec


async def left(hub: Hub, machines: Machines, spec: MachineSpec) -> str:
    """Told to leave by a word: the state of the home."""
    hub.book.orders = Orders(leave_within_s=30.0)
    hub.book.word = True
    await hub.book.change()
    await hub.book.until(lambda: hub.book.reports[-1].stage == "left", 60)
    return hub.book.reports[-1].home.state


async def test_what_is_in_a_home_is_there_on_the_next_instance(hub: Hub, machines: Machines) -> None:
    volume = str(uuid.uuid4())
    first = await started(hub, machines, volume, may_format=True)
    assert [report.stage for report in hub.book.reports[:2]] == ["account", "home"]
    told = hub.book.reports[-1].home
    assert (told.state, told.formatted) == ("mounted", True)
    assert await printed(first, SAVE) == "saved\n"
    assert await left(hub, machines, first) == "clean"
    await machines.detach(first.server_id, volume)
    await machines.destroy(first.server_id)
    second = await started(hub, machines, volume, may_format=False)
    assert await printed(second, READ) == "/home/alice three years of work\n"


async def test_an_instance_that_loses_its_power_has_its_home_again_after_the_boot(hub: Hub, machines: Machines) -> None:
    volume = str(uuid.uuid4())
    spec = await started(hub, machines, volume, may_format=True)
    assert await printed(spec, SAVE) == "saved\n"
    hub.book.reports.clear()
    # What the fleet does when a hello of another boot arrives.
    await hub.book.change(assignment_taken=False)
    await machines.reboot(spec.server_id, hard=True)
    await hub.book.until(lambda: any(report.stage in ("listening", "failed") for report in hub.book.reports), 90)
    assert await printed(spec, READ) == "/home/alice three years of work\n"


async def test_class_data_can_be_read_and_not_written(hub: Hub, machines: Machines) -> None:
    volume, data = str(uuid.uuid4()), str(uuid.uuid4())
    teacher = await started(hub, machines, data, may_format=True)
    assert await printed(teacher, SAVE) == "saved\n"
    assert await left(hub, machines, teacher) == "clean"
    await machines.detach(teacher.server_id, data)
    await machines.destroy(teacher.server_id)
    pupil = await started(hub, machines, volume, may_format=True, data=data)
    code = "import os; d = '/data/course/'; print(open(d + 'thesis.txt').read(), os.access(d, os.W_OK))"
    assert await printed(pupil, code) == "three years of work False\n"


async def test_a_home_that_is_full_keeps_no_server_from_starting(hub: Hub, machines: Machines) -> None:
    volume = str(uuid.uuid4())
    first = await started(hub, machines, volume, may_format=True)
    fill = "import shutil, os\nn = 1 << 20\nf = open('big', 'wb')\n"
    fill += "shutil.rmtree('.jupyter', True); shutil.rmtree('.local', True); shutil.rmtree('.ipython', True)\n"
    fill += "try:\n    while n:\n        try:\n            f.write(bytes(n)); f.flush()\n        except OSError:\n"
    fill += "            n //= 2\nexcept OSError:\n    pass\nprint('full')"
    await printed(first, fill)
    await hub.book.until(lambda: hub.book.reports[-1].home.total_gb - hub.book.reports[-1].home.used_gb < 0.02, 60)
    assert await left(hub, machines, first) == "clean"
    await machines.detach(first.server_id, volume)
    await machines.destroy(first.server_id)
    second = await started(hub, machines, volume, may_format=False)
    assert await printed(second, "print('it runs')") == "it runs\n"


async def test_a_home_on_a_share_is_mounted_let_go_and_found_again(hub: Hub, machines: Machines) -> None:
    share = str(uuid.uuid4())
    home = HomeMount("share", export=f"127.0.0.1:/share/{share}")
    for code, said in ((SAVE, "saved\n"), (READ, "/home/alice three years of work\n")):
        spec = hub.expect()
        hub.book.reports.clear()
        hub.book.orders, hub.book.given = Orders(), None
        await machines.boot(spec)
        await machines.export(spec.server_id, {share: False})
        await hub.book.give(hub.assignment(spec, home=home))
        await hub.book.until(lambda: any(report.stage in ("listening", "failed") for report in hub.book.reports), 90)
        assert hub.book.reports[-1].stage == "listening", hub.book.reports[-1].detail
        assert await printed(spec, code) == said
        assert await left(hub, machines, spec) == "clean"
        await machines.destroy(spec.server_id)


MAKE_ENVIRONMENT = """
import os, pathlib, venv
venv.create("own", with_pip=False)
(next(pathlib.Path("own/lib").glob("python*")) / "site-packages" / "mine.py").write_text("said = 'of my own'")
os.sync()
print("made")
"""
USE_ENVIRONMENT = """
import subprocess
print(subprocess.run(["own/bin/python", "-c", "import mine; print(mine.said)"], capture_output=True, text=True).stdout)
"""


async def test_an_environment_in_a_home_works_on_the_next_instance(hub: Hub, machines: Machines) -> None:
    volume = str(uuid.uuid4())
    first = await started(hub, machines, volume, may_format=True)
    assert await printed(first, MAKE_ENVIRONMENT) == "made\n"
    assert await left(hub, machines, first) == "clean"
    await machines.detach(first.server_id, volume)
    await machines.destroy(first.server_id)
    second = await started(hub, machines, volume, may_format=False)
    assert (await printed(second, USE_ENVIRONMENT)).strip() == "of my own"
