"""Configuration of the idle culler's own process; `culling.py` starts it."""

import ctypes
import os
import signal
import sys
from typing import Any

from hub_config.leases import Arbiter, HubLeases

# linux/prctl.h, PR_SET_PDEATHSIG: a hub that is killed takes its culler along; the next hub starts its own.
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(os.environ["HUB_PID"]):
        sys.exit("The hub that started this culler has ended.")

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821  traitlets provides it

leases = HubLeases(os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"])
c.IdleCuller.cull_every = int(os.environ["JS2_CULL_EVERY_S"])
c.IdleCuller.cull_arbiter_hook = Arbiter(leases.fetch, round_s=c.IdleCuller.cull_every).should_cull
