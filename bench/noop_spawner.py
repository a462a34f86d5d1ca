"""The spawner to compare with: it waits as long as a boot takes and starts nothing.

What the hub spends on its starts is JupyterHub's own share: tokens, database, proxy, checks.
"""

from __future__ import annotations

import asyncio

from jupyterhub.spawner import Spawner
from traitlets import Float, Unicode


class NoopSpawner(Spawner):
    """Gives every user the one notebook that runs anyway."""

    wait_s = Float(20.0, help="Seconds a start takes. Default: 20.").tag(config=True)
    notebook_url = Unicode(help="Where the one notebook listens.").tag(config=True)

    def __init__(self, **kwargs: object) -> None:
        self._started = False
        super().__init__(**kwargs)

    async def start(self) -> str:
        await asyncio.sleep(self.wait_s)
        self._started = True
        return self.notebook_url

    async def stop(self, now: bool = False) -> None:
        del now
        self._started = False

    async def poll(self) -> int | None:
        return None if self._started else 0
