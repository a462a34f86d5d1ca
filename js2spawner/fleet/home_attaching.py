"""Gets a volume to an instance and away from it again, in one region, whatever state it is found in.

`home_holds` says what the next step is; here it is looked and done. A cloud is asked for few of these at a time: many
at once are what leaves volumes stuck.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from js2spawner.cloud.cloud import Cloud
from js2spawner.cloud.errors import (
    BadAnswer,
    BadMicroversion,
    BadRequest,
    CloudError,
    Conflict,
    Forbidden,
    Gone,
    QuotaExceeded,
)
from js2spawner.cloud.records import VolumeHold
from js2spawner.failures import Failure, failure
from js2spawner.fleet.names import HUB_KEY
from js2spawner.home_holds import (
    Attach,
    Detach,
    Disown,
    Done,
    DropHold,
    GiveUp,
    Holder,
    Holding,
    RollBack,
    Seen,
    Step,
    Unreserve,
    Wait,
    to_attach,
    to_detach,
)
from js2spawner.homes import Home, home_of_volume
from js2spawner.instance import Ended, Record, Shelved

AT_ONCE = 4
"""Volumes of one region on their way at the same time: so many to instances, and so many away from them."""

STUCK_S = 180.0
"""Seconds in one passing state after which nobody is believed to be at work. (Nova itself tries to take a disk from a
guest for up to 160 s: device_detach_attempts and device_detach_timeout.)"""

_TRIES = 3
_SLOWER = 1.25
_OFF = frozenset({"SHUTOFF", "SHELVED_OFFLOADED", "SUSPENDED", "PAUSED"})

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is looked, and when something counts as stuck; seconds.

    More and more time lies between two looks: at most `own_look_s` once the cloud is attaching, else `latest_look_s`.
    """

    first_look_s: float = 0.3
    own_look_s: float = 0.4
    latest_look_s: float = 5.0
    stuck_s: float = STUCK_S


class Attaching:
    """One region's volumes on their way."""

    def __init__(
        self, region: str, cloud: Cloud, hub_id: str, records: Callable[[], Iterable[Record]], log: Log, pace: Pace
    ) -> None:
        """`records`: all attempts that may have something in the cloud."""
        self._region = region
        self._cloud = cloud
        self._hub_id = hub_id
        self._records = records
        self._log = log
        self.pace = pace
        # Two of them: guests that do not let go of a disk must keep nobody's start waiting.
        self.slots: dict[Callable[[Seen], Step], asyncio.Semaphore] = {
            rule: asyncio.Semaphore(AT_ONCE) for rule in (to_attach, to_detach)
        }

    async def attach(
        self, volume_id: str, server_id: str, within_s: float, wanted: Callable[[], bool] = lambda: True
    ) -> Failure | None:
        """See to it that the instance has the volume; why not, if it cannot be had.

        Once it is not `wanted` any more nothing further is asked for: somebody else may be detaching it already.
        """
        return await _Way(self, volume_id, server_id, to_attach, wanted).go(within_s)

    async def detach(
        self, volume_id: str, server_id: str, within_s: float, wanted: Callable[[], bool] = lambda: True
    ) -> Failure | None:
        """See to it that the instance does not have the volume; why not, if it keeps it. `wanted` as in `attach`."""
        return await _Way(self, volume_id, server_id, to_detach, wanted).go(within_s)

    # ---- looking ----------------------------------------------------------------------------------------------------

    async def look(self, volume_id: str, server_id: str, *, taken: bool = False) -> Seen:
        """The volume and who has it. Raises CloudError; Gone when there is none.

        `taken`: Nova has just taken the wish to attach it there, so nobody else needs to be asked whose hold it is.
        """
        home = home_of_volume(await self._cloud.volumes.get(volume_id), self._region)
        under_way = taken and home.status in ("reserved", "attaching")
        if under_way or (home.status == "in-use" and server_id in home.attached_to):
            return Seen(home, (Holder(server_id, "me"),))
        if home.status not in ("in-use", "reserved", "attaching", "detaching"):
            return Seen(home)
        holds = await self._holds(home)
        return Seen(home, tuple([await self._holder(hold, server_id) for hold in holds]))

    async def _holds(self, home: Home) -> tuple[VolumeHold, ...]:
        try:
            return await self._cloud.volumes.holds(home.id)
        except (BadAnswer, BadMicroversion, BadRequest, Forbidden, Gone):
            # A Cinder that does not tell: what it shows of the volume must do.
            return tuple(VolumeHold("", home.id, server_id, "attached") for server_id in home.attached_to)

    async def _holder(self, hold: VolumeHold, server_id: str) -> Holder:
        if hold.server_id == server_id:
            return Holder(hold.server_id, "me", hold.id)
        if not hold.server_id:
            # What was attached to something other than an instance is somebody's, and is mounted there.
            return Holder("", "foreign" if hold.status == "attached" else "gone", hold.id)
        record = next((record for record in self._records() if record.server_id == hold.server_id), None)
        if record is not None:
            if isinstance(record.state, Shelved):
                # It is asked whatever its record says: a hub that died meanwhile may know nothing of this hold.
                return Holder(hold.server_id, "off", hold.id, record.owner)
            # One that is going there lets go of its home.
            leaving = record.over or record.on_shelf or isinstance(record.state, Ended)
            return Holder(hold.server_id, "leaving" if leaving else "server", hold.id, record.owner)
        return Holder(hold.server_id, await self._stranger(hold.server_id), hold.id)

    async def _stranger(self, server_id: str) -> Holding:
        try:
            server = await self._cloud.compute.get_server(server_id)
        except Gone:
            return "gone"
        if server.metadata.get(HUB_KEY) != self._hub_id:
            return "foreign"
        return "off" if server.status in _OFF and server.task_state is None else "stray"

    # ---- doing ------------------------------------------------------------------------------------------------------

    async def do(self, step: Step, seen: Seen, server_id: str) -> None:
        """Carry out one step that is not a wait. Raises CloudError."""
        volumes, home = self._cloud.volumes, seen.home
        match step:
            case Attach():
                await self._cloud.compute.attach_volume(server_id, home.id)
            case Detach(holder):
                await self._cloud.compute.detach_volume(holder, home.id)
            case DropHold(hold_id):
                await volumes.drop_hold(hold_id)
            case Unreserve():
                await volumes.unreserve(home.id)
            case RollBack():
                await volumes.roll_detaching(home.id)
            case Disown():
                await volumes.disown(home.id)
        if not isinstance(step, Attach) and not (isinstance(step, Detach) and step.server_id == server_id):
            self._log.warning("volume %s was stuck (%s): %s", home.id, home.status, type(step).__name__)

    async def instance(self, server_id: str) -> None:
        """Raises Gone when there is no such instance."""
        await self._cloud.compute.get_server(server_id)


class _Way:
    """One volume on its way to one instance, or from it."""

    def __init__(
        self,
        region: Attaching,
        volume_id: str,
        server_id: str,
        rule: Callable[[Seen], Step],
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._region = region
        self._volume_id = volume_id
        self._server_id = server_id
        self._rule = rule
        self._wanted = wanted
        self._rest_s = region.pace.first_look_s
        self._asked = 0
        self._taken = False
        self._has_slot = False
        self._status = ""
        self._since = time.monotonic()
        self._last = "nothing was seen of it"

    async def go(self, within_s: float) -> Failure | None:
        try:
            async with asyncio.timeout(within_s):
                while True:
                    step = await self._step()
                    if isinstance(step, Done):
                        return None
                    if isinstance(step, GiveUp):
                        return step.failure
                    await asyncio.sleep(self._rest_s)
                    # While the cloud is at it, somebody waits for the very moment.
                    latest_s = self._region.pace.own_look_s if self._taken else self._region.pace.latest_look_s
                    self._rest_s = min(self._rest_s * _SLOWER, latest_s)
        except TimeoutError:
            return failure("home-slow", f"volume {self._volume_id}: {self._last}")
        finally:
            self._leave_slot()

    async def _step(self) -> Step:
        """Look, and do the next thing; `Wait` when it is to be looked again."""
        try:
            seen = await self._look()
            step = self._rule(seen)
            if isinstance(step, Attach | Detach) and not self._has_slot:
                await self._region.slots[self._rule].acquire()
                self._has_slot = True
                # The wait for a slot may have been long.
                seen = await self._look()
                step = self._rule(seen)
        except Gone as gone:
            return GiveUp(failure("home-missing", str(gone))) if self._rule is to_attach else Done()
        except CloudError as error:
            self._last = f"{error.name}: {error}"
            return Wait()
        if isinstance(step, Done | GiveUp):
            return step
        if isinstance(step, Wait):
            if not seen.mine:
                self._leave_slot()
            return step
        return await self._do(step, seen)

    async def _look(self) -> Seen:
        now = time.monotonic()
        taken = self._taken and now - self._since < self._region.pace.stuck_s
        seen = await self._region.look(self._volume_id, self._server_id, taken=taken)
        if seen.home.status != self._status:
            self._status, self._since = seen.home.status, now
        holders = ", ".join(f"{holder.who} {holder.server_id}" for holder in seen.holders)
        self._last = f"{self._status}, held by {holders or 'nobody'}"
        return replace(seen, stuck=now - self._since >= self._region.pace.stuck_s)

    async def _do(self, step: Step, seen: Seen) -> Step:
        if not self._wanted():
            return GiveUp(failure("cancelled", "it is not wanted any more"))
        if isinstance(step, Attach) and self._asked >= _TRIES:
            return GiveUp(failure("home-refused", f"volume {self._volume_id} came back {_TRIES} times"))
        rest_s, self._rest_s = self._rest_s, self._region.pace.first_look_s
        self._since = time.monotonic()
        try:
            await self._region.do(step, seen, self._server_id)
        except Conflict as error:
            # Something else is at work on volume or instance, or Nova stands by a hold: looked again, ever less often.
            self._rest_s, self._last = rest_s, f"{error.name}: {error}"
            return Wait()
        except Gone as gone:
            return await self._missing(step, gone)
        except (BadRequest, Forbidden, QuotaExceeded) as error:
            self._last = f"{error.name}: {error}"
            return GiveUp(failure("home-refused", self._last)) if isinstance(step, Attach) else Wait()
        except CloudError as error:
            self._last = f"{error.name}: {error}"
            self._asked += isinstance(step, Attach) and not error.certain
            return Wait()
        self._taken = isinstance(step, Attach)
        self._asked += self._taken
        return Wait()

    async def _missing(self, step: Step, gone: Gone) -> Step:
        """What was asked for named something that is no more: the instance itself, or what is gone anyway."""
        self._last = f"{gone.name}: {gone}"
        if isinstance(step, Attach):
            try:
                await self._region.instance(self._server_id)
            except Gone:
                return GiveUp(failure("vanished", str(gone)))
            except CloudError:
                return Wait()
        return Wait()

    def _leave_slot(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._region.slots[self._rule].release()
