"""Ending what nobody uses: jupyterhub-idle-culler as a service of the hub, asking the hub whose lease has ended.

When a server ends is decided in one place (`js2spawner.lease`): the profile's times, use the hub does not see by itself
(kernels, terminals, GPU work, told by the guest) and extensions are all in it. The culler only carries it out.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hub_config.settings import PROJECT, Settings


def configure(c: Any, settings: Settings) -> None:
    """The service and the least it may do: see servers and their leases, stop them."""
    c.JupyterHub.services.append(
        {
            "name": "idle-culler",
            "command": [
                sys.executable,
                "-m",
                "jupyterhub_idle_culler",
                f"--config={PROJECT / 'hub_config' / 'culler_config.py'}",
            ],
            "environment": {"JS2_CULL_EVERY_S": str(settings.cull_every_s), "HUB_PID": str(os.getpid())},
            # Where `hub_config` is found by the configuration file.
            "cwd": str(PROJECT),
        }
    )
    c.JupyterHub.load_roles.append(
        {
            "name": "idle-culler",
            "scopes": ["list:users", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        }
    )
