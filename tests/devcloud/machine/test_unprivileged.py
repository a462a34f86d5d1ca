"""The embedded cloud of somebody who is not root.

To be nobody in particular on any computer, the test runs as an ordinary account inside a machine of its own.
"""

from __future__ import annotations

from pathlib import Path

from js2spawner.devcloud.machine.programs import PACKAGE
from tests.devcloud.machine.conftest import Lab, needs_root

CLOUD_OF_SOMEBODY = Path(__file__).with_name("cloud_of_somebody.py")


@needs_root
async def test_an_ordinary_account_can_run_machines_as_itself(private_lab: Lab):
    (private_lab.guests / CLOUD_OF_SOMEBODY.name).write_text(CLOUD_OF_SOMEBODY.read_text())
    spec = await private_lab.boot()
    told = await private_lab.run(
        spec,
        "useradd -m gauss && cd /home/gauss && HOME=/home/gauss setpriv --reuid gauss --regid gauss --init-groups "
        f"env PYTHONPATH={PACKAGE.parent} python {private_lab.guests}/{CLOUD_OF_SOMEBODY.name}",
    )
    assert told.splitlines()[-5:] == [
        "they run as you (uid 1000)",
        "guest: here",
        "uid 1000",
        "off",
        "processes left: 0",
    ], told
