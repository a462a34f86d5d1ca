"""What a person can do with a server from the list: stop it, shelve it, have it back, delete it, extend it."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyterhub.user import User
from tornado import web

from js2spawner.failures import failure
from js2spawner.fleet.configuration import FleetNotReady, Js2Fleet
from js2spawner.fleet.store import StoreFailed
from js2spawner.instance import Idle, Owner

# Where a browser goes after each; `{path}` is the server's part of addresses.
ACTIONS = {
    "extend": "js2/servers",
    "stop": "js2/servers",
    "leave": "js2/servers",
    "shelve": "js2/servers",
    "delete": "js2/servers",
    "back": "spawn-pending/{path}",
    "start": "spawn-pending/{path}",
}
_CANCELLED_WITHIN_S = 5.0
_STARTED_WITHIN_S = 1.0


class NotNow(ValueError):
    """It cannot be done at the moment; the message is a sentence for whoever asked."""


async def carry_out(
    handler: Any, js2: Js2Fleet, user: User, server_name: str, wanted: str, *, attempt_id: str = ""
) -> None:
    """Do one of ACTIONS. `handler` is the JupyterHub handler of the request. Raises NotNow, HTTPError.

    `attempt_id`: an earlier instance of the server is meant, which only can be deleted.
    """
    try:
        match wanted:
            case "delete" if attempt_id:
                await (await js2.ready()).end(attempt_id, failure("stopped"))
            case "extend":
                await user.spawners[server_name].extend()
            case "stop":
                await _stop(handler, user, server_name)
            case "leave":
                await _leave(handler, js2, user, server_name)
            case "shelve" | "delete":
                await _part(handler, js2, user, server_name, wanted)
            case "back" | "start":
                await _start(handler, user, server_name)
    except (FleetNotReady, StoreFailed) as error:
        handler.log.error("%s/%s: %s: %s", user.name, server_name, wanted, error)
        raise NotNow("The hub is not ready for this. Try again in a minute.") from None
    except ValueError as error:
        raise NotNow(str(error)) from None


async def _part(handler: Any, js2: Js2Fleet, user: User, server_name: str, then: Idle) -> None:
    """Stop it, and see to it that this follows; what lies on the shelf already is only ever deleted."""
    fleet = await js2.ready()
    if server_name in user.spawners and user.spawners[server_name].active:
        spawner = user.spawners[server_name]
        spawner.parting = then
        try:
            await _stop(handler, user, server_name)
        finally:
            # One that was refused has changed nothing; a slow one will still ask.
            if spawner.pending != "stop":
                spawner.parting = None
    # The shelf, and what no spawner stands for.
    for record in fleet.of(Owner(user.name, server_name)):
        if then == "delete" and not record.over:
            await fleet.end(record.attempt_id, failure("stopped"))
        elif not record.parted:
            await fleet.part(record.attempt_id, failure("stopped"), then)


async def _leave(handler: Any, js2: Js2Fleet, user: User, server_name: str) -> None:
    """A start that waits is stopped; a place that is kept for who was away is given up."""
    if server_name in user.spawners and user.spawners[server_name].active:
        await _stop(handler, user, server_name)
    if js2.admission is not None:
        js2.admission.leave(Owner(user.name, server_name))


async def _stop(handler: Any, user: User, server_name: str) -> None:
    """As JupyterHub's own API stops a server, one that is only starting (or waits in the line) included."""
    spawner = user.spawners[server_name]
    if spawner.pending == "stop":
        return
    starting = spawner._spawn_future
    interrupted = bool(spawner.pending and starting is not None and not starting.done())
    if interrupted:
        starting.cancel()
        await asyncio.wait([starting], timeout=_CANCELLED_WITHIN_S)
    # A start that was cancelled has to be stopped, too: only that gives back what it got so far.
    if (interrupted or spawner.active) and not spawner.pending:
        await handler.stop_single_user(user, server_name)


async def _start(handler: Any, user: User, server_name: str) -> None:
    """Start with the choices of last time: what lies on the shelf is the answer to them."""
    stored = user.orm_spawners.get(server_name)
    options = dict((stored.user_options if stored else None) or {})
    spawner = user.get_or_create_spawner(server_name, (stored and stored.display_name) or "", replace_failed=True)
    if spawner.active:
        return
    # A start that failed before is not in the way of one that somebody asks for.
    if spawner._spawn_future and spawner._spawn_future.done():
        spawner._spawn_future = None
    started = asyncio.ensure_future(handler.spawn_single_user(user, server_name, options=options))
    await asyncio.wait([started], timeout=_STARTED_WITHIN_S)
    if started.done() and not started.cancelled() and (error := started.exception()) is not None:
        if isinstance(error, web.HTTPError) and not spawner._failed:
            raise error
        handler.log.warning("%s: starting it again failed: %s", spawner._log_name, error)
