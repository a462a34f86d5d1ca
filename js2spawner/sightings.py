"""What was learned of one instance (sightings) and what is to be done about it (effects).

Pure values, beside `instance`: `decide.decide` says what follows from what.
"""

from __future__ import annotations

from dataclasses import dataclass

from js2spawner.cloud.records import Server
from js2spawner.failures import Failure
from js2spawner.instance import Instant, Record

# ---- sightings: what was learned ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """The cloud's picture, asked for at `as_of`. `server` None: not in it; `confirmed`: a direct GET said 404 too."""

    server: Server | None
    as_of: Instant
    absences: int = 0
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """Nova answered the create with an id."""

    server_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The create surely had no effect."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The create may or may not have had an effect."""

    detail: str


@dataclass(frozen=True, slots=True)
class Hello:
    """The handshake admitted the guest."""

    channel_hash: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The guest acknowledged the assignment."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """The guest is at `stage` (account, home, gpu, notebook)."""

    stage: str


@dataclass(frozen=True, slots=True)
class Listening:
    """The guest's notebook answers."""


@dataclass(frozen=True, slots=True)
class HomeAttached:
    """The cloud shows the home's volume as attached to this instance."""


@dataclass(frozen=True, slots=True)
class HomeDetached:
    """No home is attached to this instance any more."""


@dataclass(frozen=True, slots=True)
class HomeTrouble:
    """The home cannot be had: the effect has tried what it may."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class ShelfWanted:
    """Somebody who may wants it shelved."""

    because: Failure


@dataclass(frozen=True, slots=True)
class Left:
    """The guest has ended what ran for the user, written everything out and let go of the home. `clean`: all of it."""

    clean: bool


@dataclass(frozen=True, slots=True)
class ShelveAnswered:
    """Nova took the request to shelve (`taken`) or refused it."""

    taken: bool


@dataclass(frozen=True, slots=True)
class BackWanted:
    """Its user wants it back from the shelf."""


@dataclass(frozen=True, slots=True)
class UnshelveAnswered:
    """Nova took the request to unshelve (`taken`) or refused it, for a reason."""

    taken: bool
    why: Failure | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The guest, or the handshake, says it cannot go on."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class EndWanted:
    """Somebody who may has decided the end."""

    because: Failure


@dataclass(frozen=True, slots=True)
class DeleteAnswered:
    """Nova accepted the delete (`gone` False) or knows no such server (`gone` True)."""

    gone: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """A spawner vouches for the attempt."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """No spawner vouches for it: the hub restarted, or let go of it because it could not be reached."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing new but the time."""


Sighting = (
    Listed
    | Accepted
    | Refused
    | Unanswered
    | Hello
    | Taken
    | Progressed
    | Listening
    | HomeAttached
    | HomeDetached
    | HomeTrouble
    | ShelfWanted
    | Left
    | ShelveAnswered
    | BackWanted
    | UnshelveAnswered
    | Broken
    | EndWanted
    | DeleteAnswered
    | Claimed
    | Unclaimed
    | Tick
)


# ---- effects: what is to be done ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Create:
    """Send the create, once the record is safely stored."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask for this server directly: the list no longer shows it."""

    server_id: str


@dataclass(frozen=True, slots=True)
class Delete:
    server_id: str


@dataclass(frozen=True, slots=True)
class AttachHome:
    """See to it that the plan's volume is attached to this instance, whatever state it is found in."""

    server_id: str
    volume_id: str


@dataclass(frozen=True, slots=True)
class DetachHome:
    """See to it that it is not attached any more."""

    server_id: str
    volume_id: str


@dataclass(frozen=True, slots=True)
class TellEnd:
    """Write the record's end into the instance's metadata, for others to read."""

    server_id: str


@dataclass(frozen=True, slots=True)
class Shelve:
    """Put it on the shelf. There its metadata cannot be changed, so they are told its end before."""

    server_id: str


@dataclass(frozen=True, slots=True)
class Unshelve:
    server_id: str


Effect = Create | Confirm | Delete | AttachHome | DetachHome | TellEnd | Shelve | Unshelve


@dataclass(frozen=True, slots=True)
class Step:
    record: Record
    effects: tuple[Effect, ...] = ()
