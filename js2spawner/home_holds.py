"""Who has a home's volume, and what is to be done so that one instance gets it or lets go of it. Pure.

What an ordinary member of a project may do about a volume that is stuck, and no more (Cinder's and Nova's policies):
have Nova detach it, drop a hold that no server makes good, take back an attaching or a detaching, have Cinder see that
nobody has it. Resetting its state and detaching by force are for administrators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from js2spawner.failures import Failure, failure
from js2spawner.homes import OLD, Home, busy, unusable
from js2spawner.instance import Owner

Holding = Literal["me", "server", "leaving", "stray", "off", "foreign", "gone"]
"""Who a holder is: the instance in question; another server that somebody uses; an instance that is on its way out; one
of this hub that no record speaks for; one that is off or shelved; one that is not this hub's; one that is no more."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An instance that has the volume or is about to. `hold_id`: Cinder's note of it, empty where it tells none."""

    server_id: str
    who: Holding
    hold_id: str = ""
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The volume, who holds it, and whether it has been in this state for longer than any cloud at work takes."""

    home: Home
    holders: tuple[Holder, ...] = ()
    stuck: bool = False

    @property
    def mine(self) -> Holder | None:
        return next((holder for holder in self.holders if holder.who == "me"), None)


# ---- what is to be done ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """It is as it should be."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody is at work on it."""


@dataclass(frozen=True, slots=True)
class Attach:
    """Nobody has it."""


@dataclass(frozen=True, slots=True)
class Detach:
    """Nova is to take it from this instance."""

    server_id: str


@dataclass(frozen=True, slots=True)
class DropHold:
    """Cinder is to forget a hold that no instance makes good. Where Nova stands by it, Cinder refuses."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class Unreserve:
    """It is "attaching" to nothing."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """Its detaching never came to an end: to be begun anew."""


@dataclass(frozen=True, slots=True)
class Disown:
    """It is anything but available, and there is no note of anybody who has it: Cinder is to see that."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    failure: Failure


Step = Done | Wait | Attach | Detach | DropHold | Unreserve | RollBack | Disown | GiveUp


def to_attach(seen: Seen) -> Step:
    """The next step towards the instance in question having the volume."""
    home = seen.home
    if why := unusable(home):
        return GiveUp(why)
    if home.role == OLD:
        # A snapshot has taken its place since the start asked for it: another attempt gets that one.
        return GiveUp(failure("home-refused", f"{home.kind} {home.id} was replaced in the meantime"))
    if home.status == "available":
        return Attach()
    if home.status == "in-use" and seen.mine:
        return Done()
    for holder in seen.holders:
        if holder.who != "me" and not isinstance(step := _about(holder, home), Wait):
            return step
    if any(holder.who != "me" for holder in seen.holders) or not seen.stuck:
        return Wait()
    return _unstuck(seen)


def to_detach(seen: Seen) -> Step:
    """The next step towards the instance in question not having the volume."""
    home, mine = seen.home, seen.mine
    if unusable(home) or (home.status == "available" and not home.attached_to):
        return Done()
    if home.status in ("in-use", "reserved"):
        # Nova keeps a disk reserved for an instance that it has put on the shelf, and lets go of it when it is asked.
        return Detach(mine.server_id) if mine else Done()
    if mine is None and seen.holders:
        return Done()
    return _unstuck(seen) if seen.stuck else Wait()


def _about(holder: Holder, home: Home) -> Step:
    """What somebody else's hold means for who wants the volume."""
    match holder.who:
        case "gone":
            return DropHold(holder.hold_id) if holder.hold_id else Wait()
        case "off":
            return Detach(holder.server_id) if home.status in ("in-use", "reserved") else Wait()
        case "server":
            return GiveUp(busy(holder.owner.server if holder.owner else "", f"instance {holder.server_id} has it"))
        case "foreign":
            return GiveUp(
                failure("home-held", f"{home.kind} {home.id}: instance {holder.server_id or 'unknown'} has it")
            )
    # One that is on its way out lets go by itself; so does one that nobody speaks for, which the hub deletes.
    return Wait()


def _unstuck(seen: Seen) -> Step:
    mine = seen.mine
    match seen.home.status:
        case "reserved" | "attaching" if mine and mine.hold_id:
            return DropHold(mine.hold_id)
        case "attaching" if not seen.holders:
            return Unreserve()
        case "detaching" if seen.holders:
            return RollBack()
        case "reserved" | "detaching" | "in-use" if not seen.holders:
            return Disown()
    return Wait()
