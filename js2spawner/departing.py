"""How an instance goes: its guest is told to leave, then it is deleted or put on the shelf.

Pure, a part of `decide`. Nothing here is asked of a guest that cannot answer, and none is waited for longer than
`leave_s`. What holds somebody's work and is to be shelved is deleted only when the cloud refuses to shelve it for
`shelve_s`, when its time on the shelf is over, or when somebody who may wants its end.
"""

from __future__ import annotations

from dataclasses import replace

from js2spawner.cloud.records import Server
from js2spawner.failures import Failure, failure
from js2spawner.instance import (
    Assigned,
    Ended,
    Ending,
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
    BackWanted,
    Confirm,
    Delete,
    DeleteAnswered,
    DetachHome,
    Effect,
    HomeDetached,
    HomeTrouble,
    Left,
    Listed,
    Refused,
    Shelve,
    Sighting,
    Step,
    Unshelve,
)

ON_SHELF = ("SHELVED", "SHELVED_OFFLOADED")

# How often a cloud that does not shelve was asked before that is taken for a refusal, and after how many times its time
# one that has said for all of it that it is shelving is not believed any more.
_REFUSED_AT_LEAST = 10
_STUCK_AFTER = 4

# An instance that came back from the shelf and failed so is not brought back a second time; it stays there, and a start
# makes a new one.
_BROKEN = frozenset(
    {"boot-silent", "quarantined", "assign-slow", "account", "notebook", "notebook-slow", "build-error", "no-route"}
)


def retire(record: Record, because: Failure, now: Instant) -> Step:
    """Decide the end, from any state; a second call changes nothing."""
    if record.over:
        return Step(record)
    match record.state:
        case Planned():
            # The create is this process's own and is carried out after this record is stored: it may be on its way.
            return Step(replace(record, state=Ending(now, because)))
        case Unsure(since=since):
            return Step(replace(record, state=Ending(since, because)))
        case Leaving() as leaving:
            return Step(replace(record, wanted_back=False, state=replace(leaving, because=because, then="delete")))
        case Assigned() | Running() if record.plan.home.kind != "none" and _can_be_told(record):
            return Step(_leaving_now(record, because, now, shelve=False))
    return _end(record, because, now)


def put_by(record: Record, because: Failure, now: Instant, *, set_aside: bool = False) -> Step:
    """Decide that it goes on the shelf, if it holds anybody's work; else its end."""
    if record.over:
        return Step(record)
    if isinstance(record.state, Leaving | Shelving | Shelved):
        return Step(replace(record, wanted_back=False))
    if not record.has_run:
        return retire(record, because, now)
    record = replace(
        record,
        expires_at=now + record.plan.shelved_s,
        set_aside=record.set_aside or set_aside,
        # JupyterHub has revoked it, or will; and what comes back is another boot.
        api_token="",
        boot_id="",
    )
    if isinstance(record.state, Assigned | Running) and _can_be_told(record):
        return Step(_leaving_now(record, because, now, shelve=True))
    return _to_shelf(record, because, now)


def give_up(record: Record, because: Failure, now: Instant) -> Step:
    """It cannot go on, and nobody asked for its end: what holds work goes (back) on the shelf."""
    if record.plan.idle != "shelve" and not record.comes_back:
        return retire(record, because, now)
    if not record.comes_back or because.name == "no-return":
        return put_by(record, because, now)
    broken = because.name in _BROKEN
    # Unless it is broken another attempt would leave it behind: whoever starts again has it brought back.
    return put_by(record, because if broken else replace(because, policy="give-up"), now, set_aside=broken)


def absent(record: Record, sighting: Listed, now: Instant) -> Step:
    """Gone needs two passes and a direct 404; a picture taken before we knew of the server says nothing."""
    if sighting.confirmed:
        return Step(replace(record, state=Ended(now, failure("vanished"))))
    if sighting.as_of >= record.state.since and sighting.absences >= 2:
        return Step(record, (Confirm(record.server_id),))
    return Step(record)


def found_on_shelf(record: Record, sighting: Listed, now: Instant) -> Step:
    """Somebody shelved it in a dashboard: it is on the shelf then, whatever its plan says."""
    on_its_way = put_by(replace(record, has_run=True), failure("shelved"), now).record
    server_id, address, channel_hash = record.server_id, record.address, record.channel_hash
    shelving = Shelving(now, server_id, address, channel_hash, because=failure("shelved"))
    return on_shelving(replace(on_its_way, state=shelving), sighting, now)


def on_leaving(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Leaving)
    match sighting:
        case Left(clean):
            return _left(record, now, clean=clean)
        case BackWanted() if state.then == "shelve":
            return Step(replace(record, wanted_back=True, unclaimed_since=None))
        case Listed(server=Server(status="SHUTOFF", task_state=None)):
            # Nobody is there any more who could be waited for, and the system has unmounted everything as it went.
            return _left(record, now, clean=True)
        case Listed(server=None):
            return absent(record, sighting, now)
    if now - state.since > record.plan.deadlines.leave_s:
        return _left(record, now, clean=False)
    return Step(record)


def on_shelving(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Shelving)
    match sighting:
        case HomeDetached() | HomeTrouble() if state.asked_at is None:
            return _ask_shelve(record, now)
        case BackWanted():
            return Step(replace(record, wanted_back=True, unclaimed_since=None))
        case Listed(server=None):
            return absent(record, sighting, now)
        case Listed(server=Server(status="SHELVED" | "SHELVED_OFFLOADED", task_state=None | "unshelving")):
            return _on_shelf(record, now)
        case Listed(server=Server(status="ERROR")):
            # It costs nothing, nobody can start it, and its disk may still be saved by somebody who runs the cloud.
            broken = replace(state, because=failure("no-return"))
            return _on_shelf(replace(record, set_aside=True, state=broken), now)
        case Listed(server=Server() as server, as_of=as_of):
            return _not_shelved_yet(record, server, as_of, now)
    return Step(record)


def _not_shelved_yet(record: Record, server: Server, as_of: Instant, now: Instant) -> Step:
    state, limits = record.state, record.plan.deadlines
    assert isinstance(state, Shelving)
    if server.status in ON_SHELF and as_of - state.since > limits.shelve_s:
        return _on_shelf(record, now)
    if _refuses(record, server, as_of):
        return _end(record, failure("no-shelf"), now)
    if server.task_state is not None:
        return Step(record)
    home = _detach(record)
    if home and state.asked_at is None and as_of - state.since <= limits.home_s:
        return Step(record, home)
    if state.asked_at is None or as_of - state.asked_at > limits.delete_again_s:
        return _ask_shelve(record, now)
    return Step(record)


def _refuses(record: Record, server: Server, as_of: Instant) -> bool:
    """Whether the cloud was asked often enough for long enough, and would let it cost for ever.

    Judged by pictures and by how often it was asked: a cloud that was away for hours has refused nothing.
    """
    state, limits = record.state, record.plan.deadlines
    assert isinstance(state, Shelving)
    waited_s = as_of - state.since
    if server.task_state is not None:
        return waited_s > _STUCK_AFTER * limits.shelve_s
    return waited_s > limits.shelve_s and state.asked >= _REFUSED_AT_LEAST


def on_shelved(record: Record, sighting: Sighting, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Shelved)
    match sighting:
        case BackWanted():
            return _bring_back(record, now)
        case Listed(server=None):
            return absent(record, sighting, now)
        case Listed(server=Server(status=status, task_state=None)) if status in ON_SHELF:
            return Step(record, _detach(record))
        case Listed(server=Server(status=status, task_state=None)) if status != "ERROR":
            # Somebody brought it back in a dashboard, where it would cost and be nobody's.
            again = Shelving(now, state.server_id, state.address, state.channel_hash, because=state.because)
            return _pursue_shelf(replace(record, state=again), now)
    return Step(record)


def on_ending(record: Record, sighting: Sighting, now: Instant) -> Step:
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
    if state.not_before is not None and now < state.not_before:
        return Step(record, _detach(record) if isinstance(sighting, Listed) else ())
    if state.server_id and (state.asked_at is None or now - state.asked_at > record.plan.deadlines.delete_again_s):
        return _ask_delete(record, now)
    return Step(record)


def on_ended(record: Record, sighting: Sighting, now: Instant) -> Step:
    del now
    match sighting:
        case Listed(server=Server() as server):
            # A create that everybody had given up on came true after all.
            return Step(record, (Delete(server.id),))
        case Accepted(server_id):
            return Step(record, (Delete(server_id),))
    return Step(record)


# ---- the steps between them -----------------------------------------------------------------------------------------


def _can_be_told(record: Record) -> bool:
    """Whether its guest may still be there to hear it."""
    state = record.state
    return bool(record.channel_hash) and not (isinstance(state, Running) and state.off_since is not None)


def _leaving_now(record: Record, because: Failure, now: Instant, *, shelve: bool) -> Record:
    then = Leaving(
        now, because, record.server_id, record.address, record.channel_hash, "shelve" if shelve else "delete"
    )
    return replace(record, state=then)


def _left(record: Record, now: Instant, *, clean: bool) -> Step:
    state = record.state
    assert isinstance(state, Leaving)
    if state.then == "delete":
        return _end(record, state.because, now)
    if clean:
        return _to_shelf(record, state.because, now)
    # A disk that is still in use is not pulled out: the system lets go of it as Nova shuts it down.
    return _ask_shelve(_shelving_now(record, state.because, now), now)


def _end(record: Record, because: Failure, now: Instant) -> Step:
    hold_s = record.plan.deadlines.hold_broken_s if because.name == "gpu" else 0
    state = Ending(
        now,
        because,
        record.server_id,
        address=record.address,
        channel_hash=record.channel_hash,
        not_before=now + hold_s if hold_s else None,
    )
    record = replace(record, state=state, wanted_back=False)
    return Step(record, _detach(record)) if hold_s else _ask_delete(record, now)


def _ask_delete(record: Record, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Ending)
    home = record.plan.home
    # Its address is soon somebody else's, whom the share must not let in.
    shut = (DetachHome(state.server_id, home.id),) if home.kind == "share" and home.id and state.address else ()
    return Step(replace(record, state=replace(state, asked_at=now)), (Delete(state.server_id), *shut))


def _shelving_now(record: Record, because: Failure, now: Instant) -> Record:
    shelving = Shelving(now, record.server_id, record.address, record.channel_hash, because=because)
    return replace(record, state=shelving)


def _to_shelf(record: Record, because: Failure, now: Instant) -> Step:
    """From where nothing holds on to the home. Nova is asked later while it is still busy bringing it back."""
    busy = isinstance(record.state, Returning)
    record = _shelving_now(record, because, now)
    return Step(record) if busy else _pursue_shelf(record, now)


def _pursue_shelf(record: Record, now: Instant) -> Step:
    home = _detach(record)
    return Step(record, home) if home else _ask_shelve(record, now)


def _ask_shelve(record: Record, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Shelving)
    asked = replace(state, asked_at=now, asked=state.asked + 1)
    on_its_way = replace(record, state=asked, expires_at=now + record.plan.shelved_s)
    return Step(on_its_way, (Shelve(state.server_id),))


def _on_shelf(record: Record, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Shelving)
    wanted = record.wanted_back and not record.set_aside
    there = Shelved(now, state.server_id, state.address, state.channel_hash, because=state.because)
    record = replace(record, state=there, wanted_back=False, expires_at=now + record.plan.shelved_s)
    return _bring_back(record, now) if wanted else Step(record, _detach(record))


def _bring_back(record: Record, now: Instant) -> Step:
    state = record.state
    assert isinstance(state, Shelved)
    record = replace(
        record,
        state=Returning(now, state.server_id, state.channel_hash),
        expires_at=now + record.plan.longest_s,
        unclaimed_since=None,
        extensions=0,
        extended_s=0,
    )
    return Step(record, (Unshelve(state.server_id),))


def _detach(record: Record) -> tuple[Effect, ...]:
    if record.plan.home.kind != "volume" or not record.home_attached:
        return ()
    return (DetachHome(record.server_id, record.plan.home.id),)
