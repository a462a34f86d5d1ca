"""Opens the fleet together with the hub: what an earlier hub process left is looked after from the first second.

JupyterHub has no hook for its start. Its configuration file is executed on the hub's own event loop, though, so that is
where the hub's configuration asks for this.
"""

from __future__ import annotations

import asyncio
import logging

from jupyterhub.app import JupyterHub

from js2spawner.fleet.configuration import FleetNotReady, Js2Fleet

_LOOK_EVERY_S = 0.2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0

_opening: set[asyncio.Task[None]] = set()


def open_fleet_with_hub() -> None:
    """Have the fleet opened once the hub that reads this configuration is up. Without a hub (subcommands) nothing."""
    try:
        task = asyncio.get_running_loop().create_task(_open(), name="opening the fleet")
    except RuntimeError:
        return
    _opening.add(task)
    task.add_done_callback(_opening.discard)


def log_into(hub_log: logging.Logger) -> None:
    """Have what our modules say by loggers of their own (sign-ins, handshakes) in the hub's log, as tornado's is.

    Without a parent of that kind Python prints warnings bare, without a time, and drops all that is less.
    """
    ours = logging.getLogger("js2spawner")
    ours.parent = hub_log
    ours.setLevel(hub_log.level)


async def _open() -> None:
    """Wait for the hub to have read all of its configuration and to listen, then open, however long it takes."""
    # There is nothing to wait on: the hub sets an attribute.
    while not JupyterHub.initialized() or JupyterHub.instance().http_server is None:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_EVERY_S)
    hub = JupyterHub.instance()
    log_into(hub.log)
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            await Js2Fleet.instance(config=hub.config, log=hub.log).ready()
            return
        except FleetNotReady as error:
            hub.log.error("No server can start, trying again in %.0f s: %s", pause_s, error)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
