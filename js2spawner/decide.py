"""What follows from what was seen of an instance.

Pure. `decide(record, sighting, now)` returns the next record and the effects to carry out; it performs no I/O and reads
no clock. Every effect is safe to carry out twice, so a hub that died anywhere loads its records, takes a sighting and
goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from js2spawner.cloud.faults import fault_of
from js2spawner.cloud.records import Server
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Ended,
    Ending,
    Greeted,
    Instant,
    Planned,
    Record,
    Running,
    Unsure,
)
from js2spawner.sightings import (
    Accepted,
    Broken,
    Claimed,
    Confirm,
    Create,
    Delete,
    DeleteAnswered,
    EndWanted,
    Hello,
    Listed,
    Listening,
    Progressed,
    Refused,
    Sighting,
    Step,
    Taken,
    Unanswered,
    Unclaimed,
)


def begin(record: Record) -> Step:
    """The first step of a fresh attempt."""
    return Step(record, (Create(),))


def recover(record: Record, now: Instant) -> Record:
    """What a record means to a hub process that has just loaded it.

    A create that another process may have sent is unsure; nobody vouches for anything until a spawner does.
    """
    if isinstance(record.state, Planned):
        record = replace(record, state=Unsure(now, "the hub restarted while the create was under way"))
    if isinstance(record.state, Ending):
        record = replace(record, state=replace(record.state, asked_at=None))
    if isinstance(record.state, Building | Booting | Greeted | Assigned):
        # The time the hub was away is nobody's fault: the phase begins anew, and `unclaimed` bounds them all.
        record = replace(record, state=replace(record.state, since=now))
    return replace(record, unclaimed_since=now if record.unclaimed_since is None else record.unclaimed_since)


def decide(record: Record, sighting: Sighting, now: Instant) -> Step:
    """What follows from one sighting. Total: any sighting in any state gives a step."""
    match sighting:
        case Claimed():
            return Step(replace(record, unclaimed_since=None))
        case Unclaimed():
            return Step(record if record.unclaimed_since is not None else replace(record, unclaimed_since=now))
        case EndWanted(because):
            return retire(record, because, now)
    overdue = _overdue(record, now)
    if overdue is not None:
        return retire(record, overdue, now)
    return _DECISIONS[type(record.state)](record, sighting, now)


def retire(record: Record, because: Failure, now: Instant) -> Step:
    """Decide the end, from any state; a second call changes nothing."""
    if record.over:
        return Step(record)
    if isinstance(record.state, Planned):
        # The create is this process's own and is carried out after this record is stored: it may be on its way.
        return Step(replace(record, state=Ending(now, because)))
    if isinstance(record.state, Unsure):
        return Step(replace(record, state=Ending(record.state.since, because)))
    ending = Ending(now, because, record.server_id, address=record.address, channel_hash=record.channel_hash)
    return _ask_delete(replace(record, state=ending), now)


def _ask_delete(record: Record, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Ending)
    return Step(replace(record, state=replace(state, asked_at=now)), (Delete(state.server_id),))


def _overdue(record: Record, now: Instant) -> Failure | None:
    """The deadline this record has passed, if any. Nova builds for ever if nobody stops it, so we do."""
    state, limits = record.state, record.plan.deadlines
    if isinstance(state, Ending | Ended):
        return None
    waited = now - state.since
    if now >= record.expires_at:
        return failure("expired")
    if record.unclaimed_since is not None:
        kept = limits.unclaimed_running_s if isinstance(state, Running) else limits.unclaimed_starting_s
        if now - record.unclaimed_since > kept:
            return failure("unclaimed")
    match state:
        case Planned() | Unsure() if waited > limits.build_s:
            return failure("create-lost")
        case Building() if waited > limits.build_s:
            return failure("build-slow")
        case Booting() if waited > limits.boot_s:
            return failure("boot-silent")
        case Greeted() if waited > limits.assign_s and record.unclaimed_since is None:
            return failure("assign-slow")
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
            return _absent(record, sighting, now)
    return Step(record)


def _absent(record: Record, sighting: Listed, now: Instant) -> Step:
    """Gone needs two passes and a direct 404; a picture taken before we knew of the server says nothing."""
    if sighting.confirmed:
        return Step(replace(record, state=Ended(now, failure("vanished"))))
    if sighting.as_of >= record.state.since and sighting.absences >= 2:
        return Step(record, (Confirm(record.server_id),))
    return Step(record)


def _booting(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Booting)
    match sighting:
        case Hello(channel_hash):
            return Step(replace(record, state=Greeted(now, state.server_id, state.address, channel_hash)))
        case Broken(reason):
            return retire(record, reason, now)
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
        case Broken(reason):
            return retire(record, reason, now)
        case Listed():
            return _hosted_in_cloud(record, sighting, now)
    return Step(record)


def _assigned(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Assigned)
    match sighting:
        case Progressed(stage) if stage != state.stage:
            return Step(replace(record, state=replace(state, stage=stage)))
        case Listening():
            running = Running(now, state.server_id, state.address, state.channel_hash)
            return Step(replace(record, state=running))
        case Broken(reason):
            return retire(record, reason, now)
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
                return retire(record, failure("powered-off"), now)
        case Listed(server=Server(status=status)) if status != "SHUTOFF" and state.off_since is not None:
            return Step(replace(record, state=replace(state, off_since=None)))
        case Listed(server=None):
            return _absent(record, sighting, now)
    # A Broken notebook on a running instance is the user's to see and to stop; it is never a reason to delete.
    return Step(record)


def _hosted_in_cloud(record: Record, sighting: Listed, now: Instant) -> Step:
    """What the list can say of an instance that is ACTIVE but not handed over yet."""
    match sighting.server:
        case None:
            return _absent(record, sighting, now)
        case Server(status="ERROR", fault=fault):
            return retire(record, failure("build-error", fault.message if fault else ""), now)
    return Step(record)


def _ending(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Ending)
    match sighting:
        case Accepted(server_id) if not state.server_id:
            return _ask_delete(replace(record, state=replace(state, server_id=server_id)), now)
        case Refused(reason):
            return Step(replace(record, state=Ended(now, state.because.because(reason.detail or reason.name))))
        case DeleteAnswered(gone=True):
            return Step(replace(record, state=Ended(now, state.because)))
        case Listed(server=Server() as server) if not state.server_id:
            return _ask_delete(replace(record, state=replace(state, server_id=server.id)), now)
        case Listed(server=None, confirmed=True):
            return Step(replace(record, state=Ended(now, state.because)))
        case Listed(server=None, as_of=as_of) if not state.server_id:
            if as_of - state.since > record.plan.deadlines.look_up_s:
                return Step(replace(record, state=Ended(now, state.because)))
        case Listed(server=None, as_of=as_of) if state.asked_at is not None and as_of >= state.asked_at:
            return Step(record, (Confirm(state.server_id),))
    if state.server_id and (state.asked_at is None or now - state.asked_at > record.plan.deadlines.delete_again_s):
        return _ask_delete(record, now)
    return Step(record)


def _ended(record: Record, sighting: Sighting, now: Instant) -> Step:
    del now
    match sighting:
        case Listed(server=Server() as server):
            # A create that everybody had given up on came true after all.
            return Step(record, (Delete(server.id),))
        case Accepted(server_id):
            return Step(record, (Delete(server_id),))
    return Step(record)


_DECISIONS: dict[type, Callable[[Record, Sighting, Instant], Step]] = {
    Planned: _planned,
    Unsure: _unsure,
    Building: _building,
    Booting: _booting,
    Greeted: _greeted,
    Assigned: _assigned,
    Running: _running,
    Ending: _ending,
    Ended: _ended,
}
