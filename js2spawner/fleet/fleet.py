"""All instances of this hub: stores records, carries out effects, feeds what came of them back into `instance.decide`.

One fleet per hub process, on the hub's event loop. It holds nothing it cannot read back: records come from the hub's
table, sightings from the cloud and the handshake.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from js2spawner import spending
from js2spawner.decide import begin, decide, recover
from js2spawner.failures import Failure, failure
from js2spawner.fleet import metrics, names
from js2spawner.fleet.background import Background
from js2spawner.fleet.breaker import Breaker
from js2spawner.fleet.consoles import Consoles
from js2spawner.fleet.effects import Hands, HomeHands, about_home
from js2spawner.fleet.inventory import Inventory, Pace, Picture
from js2spawner.fleet.journal import Journal
from js2spawner.fleet.reaper import Reaper
from js2spawner.fleet.records_json import STATE_NAMES, state_name
from js2spawner.fleet.regions import RegionDesk, stranded
from js2spawner.fleet.store import Store, StoreFailed, Timing
from js2spawner.fleet.typical import History
from js2spawner.handshake import tickets
from js2spawner.instance import Ended, Idle, Instant, Owner, Plan, Planned, Record, Running
from js2spawner.sightings import (
    AttachHome,
    BackWanted,
    Claimed,
    Create,
    Delete,
    DetachHome,
    Effect,
    EndWanted,
    Listed,
    Refused,
    ShelfWanted,
    Sighting,
    Step,
    Tick,
    Unanswered,
    Unclaimed,
)

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

# Attempts that ended in this process are remembered, so that a late instance of theirs is known for what it is.
_REMEMBER_ENDED = 5000


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Who this hub is and how it paces itself; times in seconds."""

    hub_id: str
    pace: Pace
    orphan_grace_s: float = 900.0


class Fleet:
    """The shell around `instance.decide`."""

    def __init__(
        self,
        settings: FleetSettings,
        store: Store,
        desks: Mapping[str, RegionDesk],
        *,
        user_data: Callable[[str, str], str],
        log: Log,
        clock: Callable[[], Instant] = time.time,
        breaker: Breaker | None = None,
        homes: HomeHands | None = None,
    ) -> None:
        """`breaker` is the one that hears the desks' clients; without one every region counts as up.

        `homes` attaches and detaches volumes; without it no instance gets a home.
        """
        self.settings = settings
        self.desks = desks
        self.breaker = breaker or Breaker(desks, log=log)
        self.history = History()
        self.clock = clock
        self._store = store
        self._log = log
        self._records: dict[str, Record] = {}
        # Where no region of the catalog is: they are told of, and never acted on.
        self.stranded: tuple[Record, ...] = ()
        self._ended: OrderedDict[str, Record] = OrderedDict()
        self._consoles = Consoles()
        self._tickets: dict[str, str] = {}
        self._journals: dict[Owner, Journal] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._busy: set[tuple[str, Effect]] = set()
        self._background = Background(log)
        self._on_parted: list[Callable[[Record], None]] = []
        self._on_changed: list[Callable[[Record | None, Record], None]] = []
        self.homes = homes
        self._reapers = {name: Reaper(settings.hub_id, settings.orphan_grace_s) for name in desks}
        self._hands = {name: Hands(desk.cloud, settings.hub_id, user_data, log) for name, desk in desks.items()}
        self.inventories = {name: self._inventory(name, desk) for name, desk in desks.items()}

    # ---- life of the fleet ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what was meant, then keep looking at what is."""
        stored, timings = await self._store.open()
        records = [record for record in stored if record.plan.region in self.desks]
        self.stranded = stranded(stored, self.desks, self._log)
        self.history.learn(timings)
        now = self.clock()
        for record in records:
            self._records[record.attempt_id] = recover(record, now)
        if records:
            self._log.info("%d attempts found again: %s", len(records), dict(Counter(map(state_name, records))))
        for inventory in self.inventories.values():
            self._background.spawn(inventory.run(), f"inventory of {inventory.region}")

    async def stop(self) -> None:
        """Let go. Nothing is deleted: instances outlive the hub's process."""
        await self._background.end()
        self.breaker.close()
        await self._store.close()
        for desk in self.desks.values():
            await desk.cloud.close()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def get(self, attempt_id: str) -> Record | None:
        """An attempt that is not over, or one that ended in this process's life."""
        return self._records.get(attempt_id) or self._ended.get(attempt_id)

    def knows(self, attempt_id: str) -> bool:
        """Whether it may have something in the cloud."""
        return attempt_id in self._records

    def live(self) -> list[Record]:
        """All attempts that may have something in the cloud."""
        return list(self._records.values())

    def recorded(self) -> list[Record]:
        """The same, and those in regions that have left the catalog: a region of another name may be the same cloud."""
        return [*self._records.values(), *self.stranded]

    def current(self, owner: Owner) -> Record | None:
        """The owner's newest attempt that is not over and was not set aside; what is on the shelf comes last."""
        mine = [r for r in self.of(owner) if not r.over and not r.set_aside]
        return max(mine, key=lambda record: (not record.on_shelf, record.begun_at), default=None)

    def of(self, owner: Owner) -> list[Record]:
        """All of the owner's attempts that may have something in the cloud."""
        return [record for record in self._records.values() if record.owner == owner]

    def journal(self, owner: Owner) -> Journal:
        """The story of the owner's current or latest start."""
        if owner not in self._journals:
            self._journals[owner] = Journal(self.history, self.clock)
        return self._journals[owner]

    def journal_of_start(self, owner: Owner) -> Journal:
        """The journal of a start that begins now: what an earlier one told is over, who waits for this one goes on."""
        self.forget_journal(owner)
        return self.journal(owner)

    @property
    def store(self) -> Store:
        """The hub's own tables."""
        return self._store

    @property
    def log(self) -> Log:
        return self._log

    async def find(self, attempt_id: str) -> Record | None:
        """What the table says of an attempt, over or not."""
        return await self._store.find(attempt_id)

    def forget_journal(self, owner: Owner) -> None:
        """What a start told that is over: the next one tells its own story."""
        if owner in self._journals and self._journals[owner].closed:
            del self._journals[owner]

    def console(self, attempt_id: str) -> str:
        """The end of the console log of an instance that failed to come up; empty for any other."""
        return self._consoles.of(attempt_id)

    def announce(self, attempt_id: str) -> None:
        """Something about the attempt has changed: wake who waits for that."""
        if event := self._changed.pop(attempt_id, None):
            event.set()

    async def changed(self, attempt_id: str, timeout_s: float | None) -> None:
        """Wait until anything about the attempt changes, at most `timeout_s`; returning early is harmless."""
        event = self._changed.setdefault(attempt_id, asyncio.Event())
        # Not wait_for: until Python 3.12 it can swallow a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()

    # ---- changing ---------------------------------------------------------------------------------------------------

    def launch(self, owner: Owner, plan: Plan, number: int) -> Record:
        """Begin an attempt: it is recorded, then created."""
        now = self.clock()
        attempt_id, ticket = secrets.token_hex(8), tickets.mint()
        record = Record(
            attempt_id=attempt_id,
            owner=owner,
            plan=plan,
            number=number,
            begun_at=now,
            expires_at=now + plan.longest_s,
            ticket_hash=tickets.hashed(ticket),
            state=Planned(now),
        )
        self._tickets[attempt_id] = ticket
        self._take(None, begin(record))
        return record

    def feed(self, attempt_id: str, sighting: Sighting) -> Record | None:
        """Take in one sighting; None when no such attempt is known."""
        before = self._records.get(attempt_id)
        if before is None:
            ended = self._ended.get(attempt_id)
            if ended is not None:
                self._carry_out(ended, decide(ended, sighting, self.clock()).effects)
            return ended
        return self._take(before, decide(before, sighting, self.clock()))

    def amend(self, attempt_id: str, change: Callable[[Record], Record]) -> Record | None:
        """Change what is meant (token, expiry) without a change of state."""
        before = self._records.get(attempt_id)
        return None if before is None else self._take(before, Step(change(before)))

    def adopt(self, record: Record) -> Record | None:
        """Take up a record that another place kept (JupyterHub's own state) and our table lost."""
        return self._take(None, Step(record)) if record.plan.region in self.desks else None

    def when_changed(self, told: Callable[[Record | None, Record], None]) -> None:
        """Have `told` called with what was known before and each new or changed record."""
        self._on_changed.append(told)

    def when_parted(self, told: Callable[[Record], None]) -> None:
        """Have `told` called with each record that is over for its user, so that nothing of its server is kept."""
        self._on_parted.append(told)

    async def end(self, attempt_id: str, because: Failure) -> None:
        """Decide the end. Returns when it is durable: from then on it happens, whatever becomes of this process."""
        self.feed(attempt_id, EndWanted(because))
        await self._store.saved()

    async def part(self, attempt_id: str, because: Failure, then: Idle | None = None) -> None:
        """Decide what its plan says for a server that nobody needs now: the shelf, or its end. As durable as `end`.

        `then`: what its plan is to say from now on. What lies on the shelf already stays there.
        """
        record = self._records.get(attempt_id)
        if then is not None and record is not None and not record.parted:
            record = self.amend(attempt_id, lambda r: replace(r, plan=replace(r.plan, idle=then)))
        shelves = record is not None and (record.plan.idle == "shelve" or record.comes_back or record.on_shelf)
        self.feed(attempt_id, ShelfWanted(because) if shelves else EndWanted(because))
        await self._store.saved()

    def bring_back(self, attempt_id: str) -> Record | None:
        """Have it brought back from the shelf; a spawner vouches for it from now on."""
        self.feed(attempt_id, Claimed())
        return self.feed(attempt_id, BackWanted())

    async def saved(self) -> None:
        """Wait until all changes until now are durable."""
        await self._store.saved()

    def claim(self, attempt_id: str) -> Record | None:
        """A spawner vouches for the attempt."""
        record = self._records.get(attempt_id)
        return record if record is None or record.unclaimed_since is None else self.feed(attempt_id, Claimed())

    def let_go(self, attempt_id: str, *, set_aside: bool = False) -> Record | None:
        """No spawner vouches for it any longer, and nobody wants its end either: kept for a while.

        `set_aside`: the next start makes a new instance all the same, and needs the disk that this one may have.
        """
        record = self.amend(attempt_id, lambda r: replace(r, set_aside=r.set_aside or set_aside))
        to_shelf = set_aside and record is not None and record.plan.home.kind == "volume"
        return self.feed(attempt_id, ShelfWanted(failure("no-route")) if to_shelf else Unclaimed())

    def learn(self, timings: Sequence[Timing]) -> None:
        """Take in how long stages took, and keep it."""
        self.history.learn(timings)
        self._store.put_timings(timings)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _take(self, before: Record | None, step: Step) -> Record:
        record = spending.counted(before, step.record, self.clock())
        if isinstance(record.state, Ended):
            # JupyterHub has revoked it, or will: what is over keeps no secret.
            record = replace(record, api_token="")
        if record != before:
            if before is not None and type(before.state) is not type(record.state):
                self._log.info(
                    "%s: attempt %s: %s → %s", record.owner, record.attempt_id, state_name(before), state_name(record)
                )
            self._remember(record)
            self._store.put(record)
            if record.moving and (before is None or not before.moving):
                self._hurry(record.plan.region)
            self._tell(before, record)
            for told in self._on_changed:
                told(before, record)
            if record.parted and (before is None or not before.parted):
                self._parted(record)
            self.announce(record.attempt_id)
        self._carry_out(record, step.effects)
        return record

    def _parted(self, record: Record) -> None:
        if record.because is not None and record.because.name == "gpu":
            metrics.count_broken_gpu(record.host_id)
        for told in self._on_parted:
            told(record)

    def _remember(self, record: Record) -> None:
        if not isinstance(record.state, Ended):
            self._records[record.attempt_id] = record
            return
        self._records.pop(record.attempt_id, None)
        self._tickets.pop(record.attempt_id, None)
        metrics.ATTEMPT_ENDS.labels(reason=record.state.because.name).inc()
        self._ended[record.attempt_id] = record
        while len(self._ended) > _REMEMBER_ENDED:
            self._ended.popitem(last=False)

    def _tell(self, before: Record | None, record: Record) -> None:
        journal = self._journals.get(record.owner)
        if journal is None or before is None or before.state == record.state:
            return
        journal.note(record)
        if isinstance(record.state, Running) and not isinstance(before.state, Running):
            learned = journal.timings(record)
            self.learn(learned)
            for timing in learned:
                metrics.STAGE_SECONDS.labels(stage=timing.stage).observe(timing.seconds)

    def _carry_out(self, record: Record, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            key = (record.attempt_id, effect)
            if key not in self._busy:
                self._busy.add(key)
                self._background.spawn(self._perform(record, effect), f"{type(effect).__name__} of {record.attempt_id}")

    async def _perform(self, record: Record, effect: Effect) -> None:
        attempt_id, hands = record.attempt_id, self._hands[record.plan.region]
        sighting: Sighting | None = None
        try:
            # Whatever is asked of a cloud was written down before: a crash from here on is found again.
            await self._store.saved()
            match effect:
                case Create():
                    sighting = await hands.create(
                        record, self._tickets.pop(attempt_id), lambda: self._still_wanted(attempt_id)
                    )
                case AttachHome() | DetachHome():
                    sighting = await about_home(self.homes, self._records.get(attempt_id), effect)
                case _:
                    if isinstance(effect, Delete):
                        await self._consoles.keep(record, self.desks[record.plan.region].console)
                    sighting = await hands.ask(effect, record, self.clock)
        except StoreFailed as error:
            self._log.error("%s: attempt %s: %s", record.owner, attempt_id, error)
            sighting = Refused(failure("hub", str(error))) if isinstance(effect, Create) else None
        except Exception as error:  # noqa: BLE001
            # Whatever went wrong in our own code: a create may have been sent, all else is asked for again.
            self._log.exception("%s: attempt %s: %s failed", record.owner, attempt_id, type(effect).__name__)
            sighting = Unanswered(type(error).__name__) if isinstance(effect, Create) else None
        finally:
            self._busy.discard((attempt_id, effect))
        if sighting is not None:
            self.feed(attempt_id, sighting)

    def _still_wanted(self, attempt_id: str) -> bool:
        record = self._records.get(attempt_id)
        return record is not None and not record.over

    def _inventory(self, name: str, desk: RegionDesk) -> Inventory:
        tag = names.hub_tag(self.settings.hub_id)
        return Inventory(
            name,
            lambda: desk.cloud.compute.list_servers(tag=tag),
            attempt_key=names.ATTEMPT_KEY,
            pace=self.settings.pace,
            moving=lambda: any(r.moving for r in self._records.values() if r.plan.region == name),
            likely_s=lambda: self._likely_s(name),
            awaits_guests=lambda: any(r.awaits_guest for r in self._records.values() if r.plan.region == name),
            watched=lambda: {r.server_id for r in self._records.values() if r.plan.region == name and r.server_id},
            on_round=lambda picture: self._look(name, picture),
            clock=self.clock,
            log=self._log,
        )

    def _likely_s(self, region: str) -> float | None:
        mine = [r for r in self._records.values() if r.plan.region == region]
        return self.history.likely_s(mine, self.clock())

    def _look(self, region: str, picture: Picture | None) -> None:
        """Resolve everybody who waits from one picture; without one, only the time has passed."""
        for record in [r for r in self._records.values() if r.plan.region == region]:
            if picture is None:
                self.feed(record.attempt_id, Tick())
                continue
            server = picture.find(record.attempt_id, record.server_id)
            absences = picture.absences.get(record.server_id, 0)
            self.feed(record.attempt_id, Listed(server, picture.as_of, absences))
        if picture is not None:
            self._reap(region, picture)
        self._count(region)

    def _reap(self, region: str, picture: Picture) -> None:
        recorded = {record.attempt_id: record for record in self.recorded()}
        for server in self._reapers[region].orphans(picture, recorded, self._ended):
            self._log.warning("instance %s (%s) belongs to no attempt any more: deleting it", server.id, server.name)
            metrics.ORPHANS.labels(region=region).inc()
            self._background.spawn(self._delete_orphan(region, server.id), f"delete of {server.id}")

    async def _delete_orphan(self, region: str, server_id: str) -> None:
        await self._hands[region].delete(server_id)

    def _count(self, region: str) -> None:
        states = Counter(state_name(r) for r in self._records.values() if r.plan.region == region)
        for state in STATE_NAMES:
            metrics.INSTANCES.labels(region=region, state=state).set(states[state])
        age = self.inventories[region].age_s()
        if age is not None:
            metrics.INVENTORY_AGE.labels(region=region).set(age)

    def _hurry(self, region: str) -> None:
        if region in self.inventories:
            self.inventories[region].hurry()
