"""Homes as values: what is said of one in the cloud, whose it is, what its state means.

Pure. The cloud is the record: a home is a volume or a share with the items below as metadata, and it belongs to the
person of `js2_user_id`, whatever anybody is called. Metadata of volumes is kept to 255 characters a value; everybody on
the allocation can read and write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from js2spawner.catalog_entries import Home as Terms
from js2spawner.cloud.records import Share, Volume
from js2spawner.failures import Failure, failure
from js2spawner.fleet.names import HUB_KEY
from js2spawner.instance import HomeUse, Instant

Kind = Literal["volume", "share"]

ROLE = "js2_home"
"""What a volume or share is to its owner: `CURRENT`, `OLD` (replaced, kept for a while), `COMING` (being restored)."""
CURRENT, OLD, COMING = "home", "old", "restoring"
USER = "js2_user"
USER_ID = "js2_user_id"
FORMATTED = "js2_formatted"
USED_AT = "js2_used_at"
USED_GB = "js2_used_gb"
DELETE_AT = "js2_delete_at"
MOST_GB = "js2_most_gb"
GRACE_DAYS = "js2_grace_days"
SNAPSHOTS = "js2_snapshots"
"""The terms of the profile with which the home was last used, so that they are known without its hub and catalog."""

SERIAL_LENGTH = 20
"""How much of a volume's id a guest sees as its disk's serial: what QEMU keeps."""

_DAY_S = 24 * 3600.0
_GRACE_DAYS = float(Terms.model_fields["grace_days"].default)
_MARK_USED_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Home:
    """One home as the cloud shows it. `attached_to` are instances' ids."""

    kind: Kind
    id: str
    region: str
    name: str
    status: str
    size_gb: int
    metadata: Mapping[str, str]
    created: Instant
    attached_to: tuple[str, ...] = ()
    protocol: str = ""
    snapshot_id: str = ""

    @property
    def user(self) -> str:
        return self.metadata.get(USER, "")

    @property
    def user_id(self) -> str:
        return self.metadata.get(USER_ID, "")

    @property
    def role(self) -> str:
        return self.metadata.get(ROLE, "")

    @property
    def formatted(self) -> bool:
        """A guest has made its file system: nobody may ever do so again. A share comes with one."""
        return self.kind == "share" or self.metadata.get(FORMATTED) == "yes"

    @property
    def used_at(self) -> Instant | None:
        return instant_of(self.metadata.get(USED_AT, ""))

    @property
    def delete_at(self) -> Instant | None:
        return instant_of(self.metadata.get(DELETE_AT, ""))

    @property
    def most_gb(self) -> int:
        said = self.metadata.get(MOST_GB, "")
        return int(said) if re.fullmatch(r"\d{1,6}", said) else 0

    @property
    def used_gb(self) -> float | None:
        """How full it was when a guest last told; None before."""
        said = self.metadata.get(USED_GB, "")
        return float(said) if re.fullmatch(r"\d{1,7}(\.\d{1,3})?", said) else None

    @property
    def grace_s(self) -> float:
        said = self.metadata.get(GRACE_DAYS, "")
        return (float(said) if re.fullmatch(r"\d{1,4}(\.\d{1,6})?", said) else _GRACE_DAYS) * _DAY_S

    @property
    def schedule(self) -> Schedule | None:
        return schedule_of(self.metadata.get(SNAPSHOTS, ""))

    @property
    def use(self) -> HomeUse:
        """What an instance's plan says of it."""
        return HomeUse(kind=self.kind, id=self.id, name=self.name, size_gb=self.size_gb)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A snapshot every so many seconds in which a home was used; the last `keep` stay."""

    every_s: float
    keep: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of several things is somebody's home, and what else claims to be it."""

    home: Home | None
    others: tuple[Home, ...] = field(default=())


# ---- reading --------------------------------------------------------------------------------------------------------


def home_of_volume(volume: Volume, region: str) -> Home:
    return Home(
        kind="volume",
        id=volume.id,
        region=region,
        name=volume.name,
        status=volume.status,
        size_gb=volume.size_gb,
        metadata=volume.metadata,
        created=volume.created.timestamp(),
        attached_to=volume.attached_to,
        snapshot_id=volume.snapshot_id,
    )


def home_of_share(share: Share, region: str) -> Home:
    return Home(
        kind="share",
        id=share.id,
        region=region,
        name=share.name,
        status=share.status,
        size_gb=share.size_gb,
        metadata=share.metadata,
        created=share.created.timestamp(),
        protocol=share.protocol,
    )


def is_home(metadata: Mapping[str, str], hub_id: str) -> bool:
    """Whether something in the cloud is, was or becomes a home of this hub."""
    return metadata.get(HUB_KEY) == hub_id and metadata.get(ROLE) in (CURRENT, OLD, COMING)


def choose(homes: Iterable[Home], user_id: str, kind: Kind) -> Chosen:
    """A person's home. Where two claim to be it, the one that holds data wins, then the older one.

    The others are never touched by themselves: an operator looks at them. What is being deleted is nobody's home any
    more.
    """
    mine = [
        home
        for home in homes
        if home.user_id == user_id and home.kind == kind and home.role == CURRENT and meaning(home) != "gone"
    ]
    mine.sort(key=lambda home: (not home.formatted, home.used_at is None, home.created, home.id))
    return Chosen(mine[0], tuple(mine[1:])) if mine else Chosen(None)


# ---- what is said of one --------------------------------------------------------------------------------------------


def user_key(number: int, created: datetime | None) -> str:
    """A person's own mark: JupyterHub's number of a user, which SQLite gives to the next one when the newest is
    deleted, together with the second in which that user was made."""
    if created is None:
        return str(number)
    made = created if created.tzinfo else created.replace(tzinfo=UTC)
    return f"{number}-{int(made.timestamp())}"


def new_metadata(hub_id: str, user: str, user_id: str, terms: Terms) -> dict[str, str]:
    """What a new home says of itself."""
    return {HUB_KEY: hub_id, ROLE: CURRENT, USER_ID: user_id, **current_words(user, terms)}


def current_words(user: str, terms: Terms) -> dict[str, str]:
    """What may change from one use to the next: what its owner is called, and on which terms it is used."""
    snapshots = terms.snapshots
    return {
        USER: user[:255],
        MOST_GB: str(max(terms.most_gb, terms.size_gb)),
        GRACE_DAYS: f"{terms.grace_days:g}",
        SNAPSHOTS: f"{snapshots.every_hours:g}h/{snapshots.keep}" if snapshots else "none",
    }


def changed(metadata: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The items that are not yet as wanted."""
    return {key: value for key, value in wanted.items() if metadata.get(key) != value}


def restored_metadata(home: Home, hub_id: str) -> dict[str, str]:
    """What a volume made from a snapshot of the home says of itself until it takes the home's place."""
    kept = {key: value for key, value in home.metadata.items() if key in (MOST_GB, GRACE_DAYS, SNAPSHOTS)}
    return {HUB_KEY: hub_id, ROLE: COMING, USER: home.user, USER_ID: home.user_id, FORMATTED: "yes", **kept}


def schedule_of(words: str) -> Schedule | None:
    """`24h/7` as a schedule; None for "none" and for what somebody else wrote."""
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,6})?)h/(\d{1,3})", words)
    if not match or float(match[1]) <= 0:
        return None
    return Schedule(float(match[1]) * 3600, max(1, int(match[2])))


def text_of(instant: Instant) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds")


def instant_of(text: str) -> Instant | None:
    """An instant as `text_of` writes it; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


# ---- what its state means -------------------------------------------------------------------------------------------

Meaning = Literal["ready", "used", "moving", "broken", "gone"]

# Cinder's and Manila's own words. What is not here is on its way to somewhere.
_MEANINGS: dict[str, Meaning] = {
    "available": "ready",
    "in-use": "used",
    "deleting": "gone",
    "deleted": "gone",
    "error": "broken",
    "error_deleting": "broken",
    "error_extending": "broken",
    "error_restoring": "broken",
    "error_managing": "broken",
    "error_backing-up": "broken",
    # A share that could not grow or shrink is as it was.
    "extending_error": "ready",
    "shrinking_error": "ready",
    "shrinking_possible_data_loss_error": "ready",
}


def meaning(home: Home) -> Meaning:
    """What a home's state in the cloud means for who wants it."""
    if home.kind == "share" and home.status in ("extending", "shrinking"):
        return "ready"
    return _MEANINGS.get(home.status, "moving")


def never_held_data(home: Home) -> bool:
    """It was made and nothing was ever written to it: nothing is lost with it."""
    untouched = FORMATTED not in home.metadata and USED_AT not in home.metadata and not home.attached_to
    return home.kind == "volume" and home.role == CURRENT and untouched and not home.snapshot_id


def unusable(home: Home) -> Failure | None:
    """Why nobody can have the home as it is; None when they can, or soon can."""
    match meaning(home):
        case "gone":
            known = failure("home-missing", f"{home.kind} {home.id} is {home.status}")
            return replace(known, sentence="Your home is being deleted in the cloud.")
        case "broken":
            return failure("home-broken", f"{home.kind} {home.id} is {home.status}")
    return None


# ---- copies and ends ------------------------------------------------------------------------------------------------


def worth_marking(home_used_at: Instant | None, now: Instant) -> bool:
    """Whether it is time to write down anew that a home is used."""
    return home_used_at is None or now - home_used_at >= _MARK_USED_EVERY_S


def end_is_due(home: Home, now: Instant) -> bool:
    """Whether the grace of a home that is to be deleted is over and nobody has it."""
    return home.delete_at is not None and home.delete_at <= now and not home.attached_to and meaning(home) != "used"


def not_this_region(home: Home, shown: str) -> Failure:
    """The start was to be somewhere else than where the home lies."""
    known = failure("home-elsewhere", f"{home.kind} {home.id} is in region {home.region}")
    return replace(known, sentence=f"Your home is in {shown}, and homes cannot move.")


def left_the_catalog(region: str, detail: str) -> Failure:
    """The home lies where this hub starts nothing any more."""
    return replace(
        failure("home-elsewhere", detail),
        sentence=f"Your home is in region {region}, where this hub starts nothing any more.",
        remedy="Start without your home, or tell the people who run this hub: your files are still there.",
    )


def never_confirmed(shown: str, detail: str) -> Failure:
    """A home may have been made there: none is made anywhere before that is known."""
    sentence = f"The cloud never confirmed that it made your home in {shown}."
    return replace(failure("home-slow", detail), sentence=sentence)


def busy(server: str, detail: str) -> Failure:
    """Another server of the same person has the home."""
    which = f"your server “{server}”" if server else "your default server"
    return replace(failure("home-busy", detail), sentence=f"Your home is in use by {which}.")
