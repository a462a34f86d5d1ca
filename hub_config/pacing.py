"""Starts one after another instead of all in one turn of the hub's loop."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.auth import Authenticator

# Enough for other requests to be served between two starts.
_AIR_S = 0.005


class PacedStarts(Authenticator):  # type: ignore[misc]
    """Lets starts pass one at a time, with air between them, at the place JupyterHub offers before its heavy part.

    JupyterHub 6.1 runs simultaneous start requests back to back inside one turn of its loop; a hundred of them stop
    every page for seconds. With `refresh_pre_spawn`, refreshing the user's sign-in comes right before, and may wait.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._gate = asyncio.Lock()

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> Any:
        async with self._gate:
            await asyncio.sleep(_AIR_S)
        return await super().refresh_user(user, handler, **kwargs)
