"""One save as values: what was meant, what was seen, what is to do. Pure, like `instance` and `decide` for an instance.

Asked → Copying → Checking → Ready, or Failed from any of them. The guest is asked to take its credential off the disk;
once it says so the cloud is asked for the copy, once; when the copy is there the guest must say once more that it
has kept quiet all along. A report that does not say so any longer ends the save: then nobody knows what is in the copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from js2spawner.cloud.errors import CloudError, Conflict, QuotaExceeded, SignInFailed, Unreachable
from js2spawner.cloud.records import Image
from js2spawner.failures import Failure, failure
from js2spawner.instance import Instant
from js2spawner.saved import Words

_GB = 1e9


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each part may last, in seconds. `guest_s`: what the guest is told at most to keep quiet for."""

    ask_s: float = 60
    copy_s: float = 3000
    look_up_s: float = 120
    check_s: float = 120

    @property
    def guest_s(self) -> float:
        return self.copy_s + self.check_s + 300


@dataclass(frozen=True, slots=True)
class Asked:
    """The guest was, or will be, told to take its credential off the disk."""

    since: Instant


@dataclass(frozen=True, slots=True)
class Copying:
    """The cloud was asked for the copy. `image_id` is empty until it has answered; `unsure`: it may never do so."""

    since: Instant
    image_id: str = ""
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Checking:
    """The copy is there. `said`: the guest has said since that it was quiet until now, so it may be sealed."""

    since: Instant
    image: Image
    said: bool = False

    @property
    def image_id(self) -> str:
        return self.image.id


@dataclass(frozen=True, slots=True)
class Ready:
    since: Instant
    image_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """`image_id`: what is to be deleted of it, if anything."""

    since: Instant
    because: Failure
    image_id: str = ""


State = Asked | Copying | Checking | Ready | Failed


@dataclass(frozen=True, slots=True)
class Save:
    """One save. `server` is JupyterHub's name of the server, `most_gb` how large the copy may become."""

    words: Words
    server: str
    server_id: str
    region: str
    flavor: str
    most_gb: float
    begun_at: Instant
    state: State
    patience: Patience = Patience()

    @property
    def id(self) -> str:
        return self.words.save_id

    @property
    def over(self) -> bool:
        return isinstance(self.state, Ready | Failed)

    @property
    def image_id(self) -> str:
        return "" if isinstance(self.state, Asked) else self.state.image_id


# ---- sightings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A report of the guest: whether it keeps quiet for this save."""

    quiet: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """The cloud answered the request for a copy with the image's id."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The request surely had no effect."""

    because: Failure


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The request may have had an effect."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The copy as the cloud shows it; None: there is no such image."""

    image: Image | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """The image carries its seal: it is somebody's now."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Somebody who may has ended it, or something did: the server was stopped, the instance was rebooted."""

    because: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing new but the time."""


Sighting = Said | Begun | Refused | Unanswered | Looked | Sealed | Dropped | Tick


# ---- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Copy:
    """Ask the cloud for the copy: once, and never again."""


@dataclass(frozen=True, slots=True)
class Look:
    """See what became of the copy; by the save's id while the image's is not known."""


@dataclass(frozen=True, slots=True)
class Seal:
    image_id: str


@dataclass(frozen=True, slots=True)
class Discard:
    image_id: str


Effect = Copy | Look | Seal | Discard


@dataclass(frozen=True, slots=True)
class Step:
    save: Save
    effects: tuple[Effect, ...] = ()


# ---- decisions ------------------------------------------------------------------------------------------------------


def decide(save: Save, sighting: Sighting, now: Instant) -> Step:
    """What follows from one sighting. Total: any sighting in any state gives a step, and what is over stays so."""
    if save.over:
        return _late(save, sighting)
    if isinstance(sighting, Dropped) and not _settled(save):
        return _fail(save, sighting.because, now)
    if (overdue := _overdue(save, now)) is not None:
        return _fail(save, overdue, now)
    return _DECISIONS[type(save.state)](save, sighting, now)


def _settled(save: Save) -> bool:
    """All is known that the seal needs: from here on nothing that becomes of the instance matters to the copy."""
    return isinstance(save.state, Checking) and save.state.said


def _fail(save: Save, because: Failure, now: Instant) -> Step:
    image_id = save.image_id
    failed = replace(save, state=Failed(now, because, image_id))
    return Step(failed, (Discard(image_id),) if image_id else ())


def _late(save: Save, sighting: Sighting) -> Step:
    """An image that comes into being after its save was given up goes away again."""
    match save.state, sighting:
        case Failed(image_id=""), Begun(image_id):
            return Step(replace(save, state=replace(save.state, image_id=image_id)), (Discard(image_id),))
    return Step(save)


def _overdue(save: Save, now: Instant) -> Failure | None:
    state, limits = save.state, save.patience
    waited = now - state.since
    match state:
        case Asked() if waited > limits.ask_s:
            return failure("save-silent")
        case Copying() if waited > limits.copy_s:
            return failure("save-slow")
        case Checking() if waited > limits.check_s:
            return failure("save-lost") if state.said else failure("save-interrupted")
    return None


def _asked(save: Save, sighting: Sighting, now: Instant) -> Step:
    if sighting == Said(quiet=True):
        return Step(replace(save, state=Copying(now)), (Copy(),))
    return Step(save)


def _copying(save: Save, sighting: Sighting, now: Instant) -> Step:
    state = save.state
    assert isinstance(state, Copying)
    match sighting:
        case Said(quiet=False):
            return _fail(save, failure("save-interrupted"), now)
        case Begun(image_id):
            return Step(replace(save, state=replace(state, image_id=image_id, unsure=False)))
        case Refused(because):
            return _fail(save, because, now)
        case Unanswered():
            return Step(replace(save, state=replace(state, unsure=True)))
        case Looked(image):
            return _looked(save, image, now)
        case Tick() if state.image_id or state.unsure:
            return Step(save, (Look(),))
    return Step(save)


def _looked(save: Save, image: Image | None, now: Instant) -> Step:
    state = save.state
    assert isinstance(state, Copying)
    if image is None:
        if state.image_id:
            # Nova deletes the image of a copy that failed.
            return _fail(save, failure("save-failed"), now)
        return _fail(save, failure("save-lost"), now) if now - state.since > save.patience.look_up_s else Step(save)
    save = replace(save, state=replace(state, image_id=image.id, unsure=False))
    if image.status == "active":
        if image.size_bytes > save.most_gb * _GB:
            return _fail(save, failure("save-too-large"), now)
        return Step(replace(save, state=Checking(now, image)))
    if image.status in ("queued", "saving", "uploading", "importing"):
        return Step(save)
    return _fail(save, failure("save-failed", f"image {image.id} is {image.status}"), now)


def _checking(save: Save, sighting: Sighting, now: Instant) -> Step:
    state = save.state
    assert isinstance(state, Checking)
    match sighting:
        case Said(quiet=True) if not state.said:
            return Step(replace(save, state=replace(state, said=True)), (Seal(state.image_id),))
        case Said(quiet=False) if not state.said:
            return _fail(save, failure("save-interrupted"), now)
        case Tick() if state.said:
            return Step(save, (Seal(state.image_id),))
        case Looked(image=None):
            return _fail(save, failure("save-failed"), now)
        case Sealed():
            return Step(replace(save, state=Ready(now, state.image_id)))
    return Step(save)


_DECISIONS: dict[type, Callable[[Save, Sighting, Instant], Step]] = {
    Asked: _asked,
    Copying: _copying,
    Checking: _checking,
}


def refusal_of(error: CloudError) -> Failure:
    """What a refused request for a copy means for the user."""
    names: tuple[tuple[type[CloudError], str], ...] = (
        (Conflict, "save-busy"),
        (QuotaExceeded, "save-quota"),
        (Unreachable, "unreachable"),
        (SignInFailed, "sign-in"),
    )
    name = next((name for kind, name in names if isinstance(error, kind)), "save-refused")
    return failure(name, error.detail or str(error))
