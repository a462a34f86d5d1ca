"""The machines of the embedded cloud: an instance is a group of processes at its own loopback address.

As root on Linux each has a view of its own (files, processes, host name, accounts; see `inside/view.py`); without
root it runs as whoever runs the cloud. `docs/devcloud.md` says what that proves and what it does not.
"""

from js2spawner.devcloud.machine.machines import Machines
from js2spawner.devcloud.machine.power import MachineError

__all__ = ["MachineError", "Machines"]
