"""What is left of each region's quotas: the cloud's figures, and what this hub has done since they were asked for.

Nova counts an instance from the moment its create is accepted until it is gone. Both are known here, so figures stay
good for as long as nobody else uses the allocation, and a start that has obviously room costs no question. Where a
moment is in doubt (it fell between question and answer) an instance is counted twice rather than not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from js2spawner.cloud.records import Limits
from js2spawner.instance import Building, Ended, Instant, Planned, Record, Unsure
from js2spawner.line import EVERYTHING, NOTHING, Candidate, Place, Size

_LONG_AGO: Instant = float("-inf")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one region's cloud said. `freed`: what has ended since of all it counted."""

    used: Size
    most: Size
    asked_at: Instant
    freed: Size = NOTHING


@dataclass(frozen=True, slots=True)
class _Counted:
    """One attempt. `accepted_at`: when its create was answered; None before. `sent`: a create is under way.

    `ending_at`: when its deletion began. From then on nobody knows whether the cloud still counts it.
    """

    candidate: Candidate
    size: Size
    accepted_at: Instant | None
    sent: bool
    settled: bool
    ending_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """What was granted to somebody."""

    user: str
    candidate: Candidate
    size: Size


@dataclass(slots=True)
class Ledger:
    """`size_of` says how much of the quotas a candidate takes."""

    size_of: Callable[[Candidate], Size]
    clock: Callable[[], Instant]
    figures: dict[str, Figures] = field(default_factory=dict)
    # Regions in which something has ended that the figures may count or not.
    unsure: set[str] = field(default_factory=set)
    _counted: dict[str, _Counted] = field(default_factory=dict)
    # Granted, and not launched yet: by place.
    _held: dict[str, _Held] = field(default_factory=dict)

    def learn(self, region: str, limits: Limits, asked_at: Instant) -> None:
        """Take in an answer of the cloud. An older one than what is known says nothing."""
        known = self.figures.get(region)
        if known is not None and asked_at <= known.asked_at:
            return
        self.figures[region] = Figures(
            Size(limits.instances_used, limits.cores_used, limits.ram_mb_used),
            Size(_most(limits.instances_max), _most(limits.cores_max), _most(limits.ram_mb_max)),
            asked_at,
        )
        self.unsure.discard(region)

    def hold(self, place: Place, candidate: Candidate) -> None:
        """A place was granted."""
        self._held[place.id] = _Held(place.owner.user, candidate, self.size_of(candidate))

    def holders(self) -> list[str]:
        """The users of what is granted and not launched yet."""
        return [held.user for held in self._held.values()]

    def held_by(self, user: str) -> list[Candidate]:
        """What is granted to one user and not launched yet."""
        return [held.candidate for held in self._held.values() if held.user == user]

    def release(self, place_id: str) -> None:
        """Its attempt is counted by itself now, or there is none."""
        self._held.pop(place_id, None)

    def begin_with(self, record: Record) -> None:
        """An attempt that an earlier hub process made: whatever the cloud says includes it."""
        self._note(record, accepted_at=_LONG_AGO)

    def note(self, record: Record) -> None:
        """An attempt's newest record."""
        if isinstance(record.state, Ended):
            self._end(record.attempt_id)
            return
        before = self._counted.get(record.attempt_id)
        accepted_at = before.accepted_at if before else None
        if accepted_at is None and record.server_id:
            accepted_at = self.clock()
        self._note(record, accepted_at)

    def _note(self, record: Record, accepted_at: Instant | None) -> None:
        before = self._counted.get(record.attempt_id)
        candidate = Candidate(record.plan.region, record.plan.flavor)
        self._counted[record.attempt_id] = _Counted(
            candidate,
            before.size if before else self.size_of(candidate),
            accepted_at,
            sent=isinstance(record.state, Planned),
            settled=not isinstance(record.state, Planned | Unsure | Building),
            ending_at=self._ending_at(before, record),
        )

    def _ending_at(self, before: _Counted | None, record: Record) -> Instant | None:
        if before is not None and before.ending_at is not None:
            return before.ending_at
        return self.clock() if record.over else None

    def _end(self, attempt_id: str) -> None:
        counted = self._counted.pop(attempt_id, None)
        if counted is None or counted.accepted_at is None:
            return
        region = counted.candidate.region
        figures = self.figures.get(region)
        if figures is None or counted.accepted_at > figures.asked_at:
            return
        if counted.ending_at is not None and counted.ending_at > figures.asked_at:
            self.figures[region] = replace(figures, freed=figures.freed.plus(counted.size))
        else:
            self.unsure.add(region)

    def room(self, region: str) -> tuple[Size, Size]:
        """What is free in a region, and the most there is; everything where nothing is known."""
        figures = self.figures.get(region)
        if figures is None:
            return EVERYTHING, EVERYTHING
        used = figures.used.less(figures.freed)
        for size in self._unseen(region, figures.asked_at):
            used = used.plus(size)
        return figures.most.less(used), figures.most

    def _unseen(self, region: str, asked_at: Instant) -> list[Size]:
        held = [held.size for held in self._held.values() if held.candidate.region == region]
        return held + [
            counted.size
            for counted in self._counted.values()
            if counted.candidate.region == region and (counted.accepted_at is None or counted.accepted_at > asked_at)
        ]

    def alone(self, region: str) -> bool:
        """Whether nothing else is on its way in the region."""
        return not any(held.candidate.region == region for held in self._held.values()) and all(
            counted.settled for counted in self._counted.values() if counted.candidate.region == region
        )

    def creating(self) -> dict[str, int]:
        """Creates that are under way or about to be, by region."""
        found: defaultdict[str, int] = defaultdict(int)
        for held in self._held.values():
            found[held.candidate.region] += 1
        for counted in self._counted.values():
            found[counted.candidate.region] += counted.sent
        return found

    def unsettled(self, candidate: Candidate) -> int:
        """How many of a candidate are on their way to a hypervisor."""
        held = sum(held.candidate == candidate for held in self._held.values())
        return held + sum(c.candidate == candidate and not c.settled for c in self._counted.values())


def _most(value: int | None) -> float:
    return inf if value is None else value
