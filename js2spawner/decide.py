"""What follows from what was seen of an instance.

Pure. `decide(record, sighting, now)` returns the next record and the effects to carry out; it performs no I/O and reads
no clock. Every effect is safe to carry out twice, so a hub that died anywhere loads its records, takes a sighting and
goes on. How an instance goes again is in `departing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from js2spawner.cloud.faults import fault_of
from js2spawner.cloud.records import Server
from js2spawner.departing import (
    ON_SHELF,
    absent,
    found_on_shelf,
    give_up,
    on_ended,
    on_ending,
    on_leaving,
    on_shelved,
    on_shelving,
    put_by,
    retire,
)
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Ended,
    Ending,
    Greeted,
    Instant,
    Leaving,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    Unsure,
)
from js2spawner.sightings import (
    Accepted,
    AttachHome,
    Broken,
    Claimed,
    Create,
    EndWanted,
    Hello,
    HomeAttached,
    HomeDetached,
    HomeTrouble,
    Listed,
    Listening,
    Progressed,
    Refused,
    ShelfWanted,
    Sighting,
    Step,
    Taken,
    TellEnd,
    Tick,
    Unanswered,
    Unclaimed,
    Unshelve,
    UnshelveAnswered,
)

# How often the cloud is asked to bring one back that stays on its shelf.
_ASKED_AT_MOST = 2

_STAGES = {"account": 0, "home": 1, "gpu": 2, "notebook": 3}


def begin(record: Record) -> Step:
    """The first step of a fresh attempt."""
    return Step(record, (Create(),))


def recover(record: Record, now: Instant) -> Record:
    """What a record means to a hub process that has just loaded it.

    A create that another process may have sent is unsure; nobody vouches for anything, and nobody waits for what is on
    its way to the shelf, until a spawner does.
    """
    match record.state:
        case Planned():
            record = replace(record, state=Unsure(now, "the hub restarted while the create was under way"))
        case Ending() as state:
            record = replace(record, state=replace(state, asked_at=None))
        case Building() | Booting() | Greeted() | Assigned() | Returning() | Leaving() | Shelving() as state:
            # The time the hub was away is nobody's fault: the phase begins anew, and `unclaimed` bounds them all.
            record = replace(record, state=replace(state, since=now))
        case Running() if not record.has_run:
            record = replace(record, has_run=True)  # written down before there was such a mark
    unclaimed_since = now if record.unclaimed_since is None else record.unclaimed_since
    return replace(record, unclaimed_since=unclaimed_since, wanted_back=False)


def decide(record: Record, sighting: Sighting, now: Instant) -> Step:
    """What follows from one sighting. Total: any sighting in any state gives a step."""
    match sighting:
        case Claimed():
            return Step(replace(record, unclaimed_since=None))
        case Unclaimed():
            return Step(record if record.unclaimed_since is not None else replace(record, unclaimed_since=now))
        case EndWanted(because):
            return retire(record, because, now)
        case ShelfWanted(because):
            return put_by(record, because, now)
    record = _noted(record, sighting, now)
    overdue = _overdue(record, now)
    if overdue is not None:
        return retire(record, overdue, now) if isinstance(record.state, Shelved) else give_up(record, overdue, now)
    return _seeking_home(_DECISIONS[type(record.state)](record, sighting, now), sighting)


def _noted(record: Record, sighting: Sighting, now: Instant) -> Record:
    """What is so in any state once it was seen."""
    match sighting:
        case HomeAttached():
            # The time for taking the assignment begins when there can be one.
            waited = isinstance(record.state, Greeted) and record.lacks_home
            state = replace(record.state, since=now) if waited else record.state
            return replace(record, state=state, home_attached=True)
        case HomeDetached():
            return replace(record, home_attached=False)
        case Listed(server=Server(host_id=host_id)) if host_id not in ("", record.host_id):
            return replace(record, host_id=host_id)
    return record


def _seeking_home(step: Step, sighting: Sighting) -> Step:
    """The home is attached while the system boots; asked for again with each look, until it is."""
    record = step.record
    state = record.state
    if isinstance(state, Booting | Greeted) and record.lacks_home and isinstance(sighting, Listed | Tick):
        return replace(step, effects=(*step.effects, AttachHome(state.server_id, record.plan.home.id)))
    return step


def _overdue(record: Record, now: Instant) -> Failure | None:
    """The deadline this record has passed, if any. Nova builds for ever if nobody stops it, so we do."""
    state, limits = record.state, record.plan.deadlines
    if isinstance(state, Leaving | Shelving | Ending | Ended):
        return None  # they judge for themselves: `departing`
    waited = now - state.since
    if now >= record.expires_at:
        return failure("expired")
    if isinstance(state, Shelved):
        return None
    if record.unclaimed_since is not None:
        kept = limits.unclaimed_running_s if isinstance(state, Running) else limits.unclaimed_starting_s
        if now - record.unclaimed_since > kept:
            return failure("unclaimed")
    match state:
        case Planned() | Unsure() if waited > limits.build_s:
            return failure("create-lost")
        case Building() if waited > limits.build_s:
            return failure("build-slow")
        case Returning() if waited > limits.return_s:
            return failure("no-return")
        case Booting() if waited > limits.boot_s:
            return failure("boot-silent")
        case Greeted() if record.lacks_home:
            return failure("home-slow") if waited > limits.home_s else None
        case Greeted() if waited > limits.assign_s and record.unclaimed_since is None:
            return failure("assign-slow")
        case Assigned(stage="home"):
            return failure("home-slow") if waited > limits.home_s else None
        case Assigned(stage="gpu"):
            return failure("gpu", "nothing was said of it in time") if waited > limits.gpu_s else None
        case Assigned() if waited > limits.notebook_s:
            return failure("notebook-slow")
    return None


def _planned(record: Record, sighting: Sighting, now: Instant) -> Step:
    match sighting:
        case Accepted(server_id):
            return Step(replace(record, state=Building(now, server_id)))
        case Refused(reason):
            return Step(replace(record, state=Ended(now, reason)))
        case Unanswered(detail):
            return Step(replace(record, state=Unsure(now, detail)))
        case Listed(server=Server() as server):
            # The list can be faster than the answer of the create.
            return _building(replace(record, state=Building(now, server.id)), sighting, now)
    return Step(record)


def _unsure(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Unsure)
    match sighting:
        case Accepted(server_id):
            return Step(replace(record, state=Building(now, server_id)))
        case Listed(server=Server() as server):
            return _building(replace(record, state=Building(now, server.id)), sighting, now)
        case Listed(server=None, as_of=as_of) if as_of - state.since > record.plan.deadlines.look_up_s:
            return Step(replace(record, state=Ended(now, failure("create-lost", state.detail))))
    return Step(record)


def _building(record: Record, sighting: Sighting, now: Instant) -> Step:
    match sighting:
        case Listed(server=Server(status="ERROR") as server):
            error = fault_of(server)
            reason = failure_of(error) if error else failure("build-error")
            if reason.name in ("create-lost", "refused"):
                reason = failure("build-error", reason.detail)
            return retire(record, reason, now)
        case Listed(server=Server(status="ACTIVE", task_state=None, addresses=[address, *_]) as server):
            # A server deleted while spawning shows ACTIVE for a second, without addresses: that is not booted.
            return Step(replace(record, state=Booting(now, server.id, address)))
        case Listed(server=None):
            return absent(record, sighting, now)
    return Step(record)


def _booting(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Booting)
    match sighting:
        case Hello(channel_hash):
            return Step(replace(record, state=Greeted(now, state.server_id, state.address, channel_hash)))
        case Broken(reason) | HomeTrouble(reason):
            return give_up(record, reason, now)
        case Listed():
            return _hosted_in_cloud(record, sighting, now)
    return Step(record)


def _greeted(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Greeted)
    match sighting:
        case Taken() | Progressed():
            stage = sighting.stage if isinstance(sighting, Progressed) else "account"
            return Step(replace(record, state=Assigned(now, state.server_id, state.address, state.channel_hash, stage)))
        case Broken(reason) | HomeTrouble(reason):
            return give_up(record, reason, now)
        case Listed():
            return _hosted_in_cloud(record, sighting, now)
    return Step(record)


def _assigned(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Assigned)
    match sighting:
        case Progressed(stage) if stage != state.stage:
            # A stage is begun once: a guest that goes back gains no time by it.
            since = now if _STAGES.get(stage, 0) > _STAGES.get(state.stage, 0) else state.since
            return Step(replace(record, state=replace(state, stage=stage, since=since)))
        case Listening():
            running = Running(now, state.server_id, state.address, state.channel_hash)
            return Step(replace(record, state=running, has_run=True))
        case Broken(reason):
            return give_up(record, reason, now)
        case Listed():
            return _hosted_in_cloud(record, sighting, now)
    return Step(record)


def _running(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Running)
    match sighting:
        case Listed(server=Server(status="SHUTOFF", task_state=None), as_of=as_of):
            if state.off_since is None:
                return Step(replace(record, state=replace(state, off_since=as_of)))
            # Judged by fresh pictures only: a cloud that does not answer must not end anything.
            if as_of - state.off_since > record.plan.deadlines.powered_off_s:
                return give_up(record, failure("powered-off"), now)
        case Listed(server=Server(status=status)) if status in ON_SHELF:
            return found_on_shelf(record, sighting, now)
        case Listed(server=Server(status=status)) if status != "SHUTOFF" and state.off_since is not None:
            return Step(replace(record, state=replace(state, off_since=None)))
        case Listed(server=None):
            return absent(record, sighting, now)
    # A Broken notebook on a running instance is the user's to see and to stop; it is never a reason to delete.
    return Step(record)


def _hosted_in_cloud(record: Record, sighting: Listed, now: Instant) -> Step:
    """What the list can say of an instance that is ACTIVE but not handed over yet."""
    match sighting.server:
        case None:
            return absent(record, sighting, now)
        case Server(status="ERROR", fault=fault):
            return give_up(record, failure("build-error", fault.message if fault else ""), now)
        case Server(status=status) if status in ON_SHELF and record.has_run:
            return found_on_shelf(record, sighting, now)
    return Step(record)


def _returning(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Returning)
    match sighting:
        case UnshelveAnswered(taken=False, why=Failure(name="quota") as why):
            # What is on the shelf takes no cores and no memory, so there may be none left. It stays where it is.
            return give_up(record, why, now)
        case UnshelveAnswered():
            # Taken or refused: the next pictures tell what became of it.
            return Step(replace(record, state=replace(state, asked_at=now)))
        case Listed(server=None):
            return absent(record, sighting, now)
        case Listed(server=Server(status="ACTIVE", task_state=None, addresses=[address, *_]) as server):
            back = replace(record, state=Booting(now, server.id, address, state.channel_hash))
            return Step(back, (TellEnd(server.id),))
        case Listed(server=Server(status="ERROR", fault=fault)):
            return give_up(record, failure("no-return", fault.message if fault else ""), now)
        case Listed(server=Server(task_state=None, status=status), as_of=as_of) if status in ON_SHELF:
            return _still_on_shelf(record, as_of, now)
    return Step(record)


def _still_on_shelf(record: Record, as_of: Instant, now: Instant) -> Step:
    """Nova marks a server that it brings back before it answers: one without that mark was given up without a word."""
    state = record.state
    assert isinstance(state, Returning)
    if state.asked_at is None:
        return Step(record, (Unshelve(state.server_id),))
    if as_of <= state.asked_at:
        return Step(record)
    if state.asked >= _ASKED_AT_MOST:
        return give_up(record, failure("no-return"), now)
    again = replace(state, asked_at=None, asked=state.asked + 1)
    return Step(replace(record, state=again), (Unshelve(state.server_id),))


_DECISIONS: dict[type, Callable[[Record, Sighting, Instant], Step]] = {
    Planned: _planned,
    Unsure: _unsure,
    Building: _building,
    Booting: _booting,
    Greeted: _greeted,
    Assigned: _assigned,
    Running: _running,
    Leaving: on_leaving,
    Shelving: on_shelving,
    Shelved: on_shelved,
    Returning: _returning,
    Ending: on_ending,
    Ended: on_ended,
}
