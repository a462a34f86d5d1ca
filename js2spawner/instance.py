"""One instance as values: what is known and meant (records), what was learned (sightings), what is to do (effects).

Pure: no I/O and no clock. `decide.decide` says what follows from what. Times are POSIX seconds of the hub's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from js2spawner.cloud.records import Server
from js2spawner.failures import Failure

Instant = float


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose instance it is, in JupyterHub's words: a user's name and a server's name ("" is the default one)."""

    user: str
    server: str

    def __str__(self) -> str:
        return f"{self.user}/{self.server}" if self.server else self.user


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each phase may last, in seconds, and how long an instance is kept that nobody claims."""

    look_up_s: float = 120
    build_s: float = 600
    boot_s: float = 600
    assign_s: float = 120
    notebook_s: float = 300
    delete_again_s: float = 30
    powered_off_s: float = 600
    unclaimed_starting_s: float = 600
    unclaimed_running_s: float = 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to create the instance and to judge it; ids are OpenStack's, names are the catalog's.

    `saved`: the id of the saved image it is made from; `image` is then the one of the catalog that this comes from.
    """

    region: str
    image: str
    image_id: str
    image_title: str
    flavor: str
    flavor_id: str
    network_id: str
    security_groups: tuple[str, ...]
    gpu: bool
    sudo: bool
    config_drive: bool
    longest_s: float
    deadlines: Deadlines = Deadlines()
    saved: str = ""

    @property
    def choice(self) -> tuple[str, str, str, str]:
        """What the user asked for, as far as an instance that is there already can be the answer."""
        return self.region, self.image, self.saved, self.flavor


# ---- states: one per wait -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """Recorded; the create has not been sent. Only this hub process knows the ticket it would carry."""

    since: Instant


@dataclass(frozen=True, slots=True)
class Unsure:
    """A create was (perhaps) sent and nobody knows what became of it. Looked up by attempt id, never repeated."""

    since: Instant
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Building:
    """Nova accepted the create; the server is not ACTIVE with an address yet."""

    since: Instant
    server_id: str


@dataclass(frozen=True, slots=True)
class Booting:
    """The server is ACTIVE; its system starts. We wait for its hello."""

    since: Instant
    server_id: str
    address: str


@dataclass(frozen=True, slots=True)
class Greeted:
    """The guest traded its ticket; it waits for an assignment."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The guest took the assignment; it makes the account, proves the GPU, starts the notebook."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str
    stage: str = "account"


@dataclass(frozen=True, slots=True)
class Running:
    """The notebook listens. `off_since` is when Nova first showed the server as switched off."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str
    off_since: Instant | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """The end is decided and recorded: a tombstone until the cloud answers 404 for the server."""

    since: Instant
    because: Failure
    server_id: str = ""
    asked_at: Instant | None = None
    # Kept so that the guest can still be told to end what runs on it.
    address: str = ""
    channel_hash: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of this attempt exists in the cloud."""

    since: Instant
    because: Failure


State = Planned | Unsure | Building | Booting | Greeted | Assigned | Running | Ending | Ended


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt: identity, plan and state. This is what the hub's own table keeps.

    `api_token` is JupyterHub's token of the server, kept from the assignment on (as JupyterHub keeps it in its own
    state) so that a start after a hub's crash resumes the same notebook. `boot_id` is the guest's own word for the
    boot in which it took the assignment: a hello of another one comes from an instance that was rebooted. `set_aside`:
    its notebook could not be reached, so a start makes a new instance rather than take this one up.
    `unclaimed_since` is set when no spawner vouches for the attempt. `copy_id`: the image into which the cloud copies
    it for a save, and `copy_gb` how large that may become; only this image is ever taken for that save's.
    """

    attempt_id: str
    owner: Owner
    plan: Plan
    number: int
    begun_at: Instant
    expires_at: Instant
    ticket_hash: str
    state: State
    api_token: str = field(default="", repr=False)
    boot_id: str = ""
    extensions: int = 0
    extended_s: float = 0
    unclaimed_since: Instant | None = None
    set_aside: bool = False
    copy_id: str = ""
    copy_gb: float = 0

    @property
    def server_id(self) -> str:
        return "" if isinstance(self.state, Planned | Unsure | Ended) else self.state.server_id

    @property
    def address(self) -> str:
        return self.state.address if isinstance(self.state, Booting | Greeted | Assigned | Running | Ending) else ""

    @property
    def channel_hash(self) -> str:
        return self.state.channel_hash if isinstance(self.state, Greeted | Assigned | Running | Ending) else ""

    @property
    def over(self) -> bool:
        return isinstance(self.state, Ending | Ended)

    @property
    def moving(self) -> bool:
        """The cloud is at work on it, and only the list tells of the next change: it is taken often."""
        return isinstance(self.state, Planned | Unsure | Building | Ending)

    @property
    def awaits_guest(self) -> bool:
        """Its guest tells of the next change; the list tells only of its death, and is taken now and then."""
        return isinstance(self.state, Booting | Greeted | Assigned)


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
    """The guest is at `stage` (account, gpu, notebook)."""

    stage: str


@dataclass(frozen=True, slots=True)
class Listening:
    """The guest's notebook answers."""


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


Effect = Create | Confirm | Delete


@dataclass(frozen=True, slots=True)
class Step:
    record: Record
    effects: tuple[Effect, ...] = ()
