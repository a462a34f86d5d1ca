"""What moves servers through their plans, one task a server, and takes them up again after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from js2spawner.devcloud.cloud import DevCloud
from js2spawner.devcloud.errors import Refusal
from js2spawner.devcloud.files import sweep
from js2spawner.devcloud.neutron.ports import interfaces
from js2spawner.devcloud.nova import machine_of
from js2spawner.devcloud.nova.plans import PLANS, SHUTDOWN, Step
from js2spawner.devcloud.nova.view import forget
from js2spawner.devcloud.records import ActionEntry, Behaviour, Operation, Port, Server, ServerFault
from js2spawner.devcloud.scheduler import NoValidHost

log = logging.getLogger(__name__)

_LOG_LENGTH = 20
_DELETED_KEPT = 200
_POWER_WATCH_S = 1.0


class Life:
    """Carries out the plans of all servers."""

    def __init__(self, cloud: DevCloud) -> None:
        self._cloud = cloud
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._powering_on: set[str] = set()

    def begin(self, server: Server, operation: Operation, *, action: str, user_id: str) -> Server:
        """Start a plan for a server, in place of whatever was being done to it; returns the stored record."""
        started = self._cloud.store.put(self._begun(server, operation, action, user_id))
        self.spawn(self._run(server.id, operation.id))
        return started

    def end(self, server: Server, operation: Operation, *, user_id: str) -> None:
        """Be done at once with a server that no machine has to be destroyed for; what is left is its record."""
        self._bury(self._cloud.store.put(replace(self._begun(server, operation, "delete", user_id), operation=None)))

    def _begun(self, server: Server, operation: Operation, action: str, user_id: str) -> Server:
        now = self._cloud.clock.now()
        entry = ActionEntry(action, operation.id, user_id, now, now)
        actions = (*server.actions, entry)[-_LOG_LENGTH:]
        return replace(server, operation=operation, actions=actions, updated=now)

    def resume(self) -> None:
        """After a restart: go on where each server stood, and power on again what was running before and is off now."""
        for server in self._cloud.store.all(Server):
            if server.operation is not None:
                self.spawn(self._run(server.id, server.operation.id))
            elif server.vm_state in ("active", "resized") and not self._cloud.hypervisor.running(server.id):
                self._powering_on.add(server.id)
                self.spawn(self._power_on_again(server))
            elif server.vm_state in ("active", "resized"):
                self.spawn(machine_of.bring_up_to_date(self._cloud, server))
        self.spawn(self._watch_power())
        self.spawn(sweep(self._cloud))

    async def close(self) -> None:
        """Stop moving; every server stays at the step it is at."""
        tasks = tuple(self._tasks)
        for running in tasks:
            running.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def later(self, phase: str, do: Callable[[], None]) -> None:
        """Do something to the records once a phase has passed."""
        self.spawn(self._later(phase, do))

    async def passed(self, phase: str, behaviour: Behaviour) -> bool:
        """Wait for a phase to pass; False for one that never ends."""
        if behaviour.stuck == phase:
            return False
        await self._cloud.clock.sleep(self._cloud.latencies.phase_s(phase, self._cloud.random))
        return True

    async def network_changed(self, server_id: str) -> None:
        """Neutron says that something about a server's ports changed."""
        server = self._cloud.store.get(Server, server_id)
        if server is None or server.vm_state == "deleted":
            return
        if server.interfaces:
            self._cloud.store.put(replace(server, interfaces=interfaces(self._cloud, server_id)))
        if self._cloud.hypervisor.running(server_id):
            await machine_of.enforce(self._cloud, server_id)

    async def groups_changed(self, group_id: str) -> None:
        """Neutron says that the rules of a security group changed."""
        concerned = {port.device_id for port in self._cloud.store.all(Port) if group_id in port.group_ids}
        for server_id in concerned - {""}:
            if self._cloud.hypervisor.running(server_id):
                await machine_of.enforce(self._cloud, server_id)

    async def _run(self, server_id: str, operation_id: str) -> None:
        while (server := self._at(server_id, operation_id)) is not None:
            step = self._next_step(server)
            if step is None:
                return
            if server.behaviour.stuck == step.phase:
                return  # for ever: only another operation, or the end of the server, takes its place
            await self._cloud.clock.sleep(self._cloud.latencies.phase_s(step.phase, self._cloud.random))
            async with self._locks[server_id]:
                await self._take(server_id, operation_id, step)
            await self._cloud.store.flush()

    async def _later(self, phase: str, do: Callable[[], None]) -> None:
        await self._cloud.clock.sleep(self._cloud.latencies.phase_s(phase, self._cloud.random))
        do()
        await self._cloud.store.flush()

    def _at(self, server_id: str, operation_id: str) -> Server | None:
        """The server, as long as this operation is what is being done to it."""
        server = self._cloud.store.get(Server, server_id)
        mine = server is not None and server.operation is not None and server.operation.id == operation_id
        return server if mine else None

    def _next_step(self, server: Server) -> Step | None:
        """The next step that applies; a plan without any is over."""
        operation = server.operation
        if operation is None:
            return None
        steps = PLANS[operation.plan].steps
        for number in range(operation.step, len(steps)):
            if steps[number].when(server):
                if number != operation.step:
                    self._cloud.store.put(replace(server, operation=replace(operation, step=number)))
                return steps[number]
        self._finish(server)
        return None

    async def _take(self, server_id: str, operation_id: str, step: Step) -> None:
        """Do one step, unless something else is being done to the server by now."""
        try:
            server = self._at(server_id, operation_id)
            if server is None:
                return
            _check_bent(server, step)
            if step.act is not None:
                await step.act(self._cloud, server)
            server = self._at(server_id, operation_id)
            if server is not None:
                self._advance(step.change(self._cloud, server))
        except NoValidHost as nowhere:
            self._fail(server_id, operation_id, str(nowhere))
        except Refusal as refusal:
            self._fail(server_id, operation_id, refusal.message)
        except Exception as problem:
            log.exception("instance %s: %s failed", server_id, step.phase)
            self._fail(server_id, operation_id, f"Build of instance {server_id} aborted: {problem}")

    def _advance(self, server: Server) -> None:
        operation = server.operation
        if operation is None:
            return
        if operation.step + 1 < len(PLANS[operation.plan].steps):
            self._cloud.store.put(replace(server, operation=replace(operation, step=operation.step + 1)))
        else:
            self._finish(server)

    def _finish(self, server: Server) -> None:
        ended = self._cloud.store.put(_logged(replace(server, operation=None), self._cloud, None))
        if ended.vm_state == "deleted":
            self._bury(ended)

    def _fail(self, server_id: str, operation_id: str, message: str) -> None:
        server = self._at(server_id, operation_id)
        if server is None or server.operation is None:
            return
        fault = ServerFault(500, message, self._cloud.clock.now())
        failed = PLANS[server.operation.plan].failed(server, fault)
        self._cloud.store.put(_logged(replace(failed, operation=None), self._cloud, "Error"))

    def _bury(self, server: Server) -> None:
        """Forget what is left of a deleted server, and the oldest records of deleted ones."""
        self._locks.pop(server.id, None)
        forget(self._cloud, server.id)
        gone = [known for known in self._cloud.store.all(Server) if known.vm_state == "deleted" and not known.operation]
        for known in sorted(gone, key=lambda each: each.updated)[:-_DELETED_KEPT]:
            self._cloud.store.remove(known)

    async def _power_on_again(self, server: Server) -> None:
        try:
            async with self._locks[server.id]:
                await machine_of.power_on(self._cloud, server)
        except Exception:
            log.exception("instance %s: could not be powered on again", server.id)
        finally:
            self._powering_on.discard(server.id)

    async def _watch_power(self) -> None:
        """A machine that powered itself off is SHUTOFF, as libvirt's events tell Nova."""
        while True:
            await self._cloud.clock.sleep(_POWER_WATCH_S)
            for server in self._cloud.servers(None):
                idle = server.operation is None and server.id not in self._powering_on
                if server.vm_state == "active" and idle and not self._cloud.hypervisor.running(server.id):
                    now = self._cloud.clock.now()
                    off = replace(server, vm_state="stopped", power_state=SHUTDOWN, updated=now)
                    self._cloud.store.put(off)
            await self._cloud.store.flush()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside all calls; the end of the cloud is its end too."""
        running = asyncio.create_task(work)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)


def _check_bent(server: Server, step: Step) -> None:
    """Let a step go wrong that the fault script wants to go wrong."""
    bent = server.behaviour
    if bent.error and bent.error_phase == step.phase and "No valid host" not in bent.error:
        raise Refusal(500, bent.error)


def _logged(server: Server, cloud: DevCloud, message: str | None) -> Server:
    if not server.actions:
        return server
    last = replace(server.actions[-1], updated=cloud.clock.now(), message=message)
    return replace(server, actions=(*server.actions[:-1], last))
