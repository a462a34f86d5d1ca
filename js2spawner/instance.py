"""One instance as values: what is known and meant. What was learned and what is to do are in `sightings`.

Pure: no I/O and no clock. `decide.decide` says what follows from what. Times are POSIX seconds of the hub's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from js2spawner.failures import Failure, failure

Instant = float
Idle = Literal["delete", "shelve", "keep"]
HomeKind = Literal["volume", "share", "none"]


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
    gpu_s: float = 360
    notebook_s: float = 300
    delete_again_s: float = 30
    powered_off_s: float = 600
    unclaimed_starting_s: float = 600
    unclaimed_running_s: float = 3600
    home_s: float = 600
    leave_s: float = 60
    shelve_s: float = 3600
    return_s: float = 600
    hold_broken_s: float = 300


@dataclass(frozen=True, slots=True)
class HomeUse:
    """The home an instance is to have: a volume or a share of its region by id, or none (it goes with the instance).

    `name` is what a person sees in a dashboard. Where a share is mounted from, and its key, are asked for at the
    hand-over and stand in no record.
    """

    kind: HomeKind = "none"
    id: str = ""
    name: str = ""
    size_gb: int = 0


NO_HOME = HomeUse()


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to create the instance and to judge it; ids are OpenStack's, names are the catalog's.

    `saved`: the id of the saved image it is made from; `image` is then the one of the catalog that this comes from.
    `idle` is what becomes of the instance once nobody uses it, `shelved_s` how long it is kept when it is shelved.
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
    home: HomeUse = NO_HOME
    idle: Idle = "delete"
    shelved_s: float = 14 * 24 * 3600

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
    # Known already when it comes back from a shelf: its guest kept the credential.
    channel_hash: str = ""


@dataclass(frozen=True, slots=True)
class Greeted:
    """The guest traded its ticket; it waits for an assignment."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str


@dataclass(frozen=True, slots=True)
class Assigned:
    """The guest took the assignment; it makes the account, mounts the home, proves the GPU, starts the notebook.

    `since` is when it came to its stage, so that each has its own time.
    """

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
class Leaving:
    """The end, or the shelf, is decided and recorded; the guest is told, writes everything out and lets go of the home.

    Left when the guest says so or `leave_s` have passed.
    """

    since: Instant
    because: Failure
    server_id: str
    address: str
    channel_hash: str
    then: Literal["delete", "shelve"]


_PUT_BY = failure("shelved")


@dataclass(frozen=True, slots=True)
class Shelving:
    """The home is detached, then Nova is asked to shelve. `asked_at`: when it was asked last, `asked`: how often."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str
    asked_at: Instant | None = None
    because: Failure = _PUT_BY
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Shelved:
    """Its disk lies in the cloud and it costs nothing, until a start wants it back or `expires_at`."""

    since: Instant
    server_id: str
    address: str
    channel_hash: str
    because: Failure = _PUT_BY


@dataclass(frozen=True, slots=True)
class Returning:
    """Nova is asked to unshelve. A cloud that cannot leaves it shelved without a word: asked twice, then given up.

    `asked_at` is when Nova has answered.
    """

    since: Instant
    server_id: str
    channel_hash: str
    asked_at: Instant | None = None
    asked: int = 1


@dataclass(frozen=True, slots=True)
class Ending:
    """The end is decided and recorded: a tombstone until the cloud answers 404 for the server.

    `not_before`: a broken instance keeps its card until then, so that the next one gets another.
    """

    since: Instant
    because: Failure
    server_id: str = ""
    asked_at: Instant | None = None
    # Kept so that the guest can still be told to end what runs on it.
    address: str = ""
    channel_hash: str = ""
    not_before: Instant | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing of this attempt exists in the cloud."""

    since: Instant
    because: Failure


State = (
    Planned
    | Unsure
    | Building
    | Booting
    | Greeted
    | Assigned
    | Running
    | Leaving
    | Shelving
    | Shelved
    | Returning
    | Ending
    | Ended
)


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt: identity, plan and state. This is what the hub's own table keeps.

    `api_token` is JupyterHub's token of the server, kept from the assignment on (as JupyterHub keeps it in its own
    state) so that a start after a hub's crash resumes the same notebook. `boot_id` is the guest's own word for the
    boot in which it took the assignment: a hello of another one comes from an instance that was rebooted. `set_aside`:
    its notebook could not be reached, so a start makes a new instance rather than take this one up.
    `unclaimed_since` is set when no spawner vouches for the attempt. `copy_id`: the image into which the cloud copies
    it for a save, and `copy_gb` how large that may become; only this image is ever taken for that save's.
    `home_attached`: the cloud has given it its home. `host_id`: Nova's word for the hypervisor. `has_run`: its server
    listened once, so its disk may hold somebody's work. `wanted_back`: it is still on its way to the shelf, and its
    user waits for it to come back from there. `active_s` and `active_since`: for how long Nova has counted it as ACTIVE
    (`spending`).
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
    home_attached: bool = False
    host_id: str = ""
    has_run: bool = False
    wanted_back: bool = False
    active_s: float = 0
    active_since: Instant | None = None

    @property
    def server_id(self) -> str:
        return "" if isinstance(self.state, Planned | Unsure | Ended) else self.state.server_id

    @property
    def address(self) -> str:
        state = self.state
        return "" if isinstance(state, Planned | Unsure | Building | Returning | Ended) else state.address

    @property
    def channel_hash(self) -> str:
        return "" if isinstance(self.state, Planned | Unsure | Building | Ended) else self.state.channel_hash

    @property
    def over(self) -> bool:
        """Its end is decided."""
        state = self.state
        return isinstance(state, Ending | Ended) or (isinstance(state, Leaving) and state.then == "delete")

    @property
    def on_shelf(self) -> bool:
        """Its server is over for its user, and can be had back."""
        state = self.state
        shelf = isinstance(state, Shelving | Shelved) or (isinstance(state, Leaving) and state.then == "shelve")
        return shelf and not self.wanted_back

    @property
    def parted(self) -> bool:
        """Its server is over for its user, one way or the other."""
        return self.over or self.on_shelf

    @property
    def comes_back(self) -> bool:
        """It was on the shelf, or is on its way there, and a start brings it up again."""
        return self.has_run and not self.parted and not isinstance(self.state, Running)

    @property
    def because(self) -> Failure | None:
        """Why it is over for its user; None while it is not."""
        state = self.state
        return state.because if isinstance(state, Leaving | Shelving | Shelved | Ending | Ended) else None

    def renewed(self, wanted: Plan) -> Record:
        """The same instance on the terms of a plan of today: what comes back from the shelf was planned long ago."""
        # A home that is still on its way from it is let go of first; one without an id is none yet.
        keeps = self.home_attached or (wanted.home.kind != "none" and not wanted.home.id)
        plan = replace(
            self.plan,
            home=self.plan.home if keeps else wanted.home,
            idle=wanted.idle,
            shelved_s=wanted.shelved_s,
            longest_s=wanted.longest_s,
            deadlines=wanted.deadlines,
        )
        return replace(self, plan=plan)

    @property
    def lacks_home(self) -> bool:
        """Its home is a volume that the cloud has not attached yet: it is handed over only then."""
        return self.plan.home.kind == "volume" and not self.home_attached

    @property
    def moving(self) -> bool:
        """The cloud is at work on it, and only the list tells of the next change: it is taken often."""
        state = self.state
        if isinstance(state, Ending):
            return state.asked_at is not None or not state.server_id
        return isinstance(state, Planned | Unsure | Building | Shelving | Returning)

    @property
    def awaits_guest(self) -> bool:
        """Its guest tells of the next change; the list tells only of its death, and is taken now and then."""
        return isinstance(self.state, Booting | Greeted | Assigned | Leaving)
