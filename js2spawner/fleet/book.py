"""What the handshake asks of the fleet: which attempts are expected, what is to be delivered, what was reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from js2spawner.failures import failure
from js2spawner.fleet.fleet import Fleet
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import Assignment, Lease, Orders, Report
from js2spawner.handshake.messages import Hello as HelloMessage
from js2spawner.instance import (
    Assigned,
    Broken,
    Ended,
    Ending,
    Greeted,
    Hello,
    Listening,
    Owner,
    Progressed,
    Record,
    Running,
    Taken,
)


@dataclass(slots=True)
class FleetBook:
    """`handshake.book.Book` over a fleet.

    `on_report(owner, report)` is told of every report of a running instance (activity, health).
    `lease_of(owner)` gives what the guest may show its user about the end, or None.
    """

    fleet: Fleet
    on_report: Callable[[Owner, Report], None]
    lease_of: Callable[[Owner], Lease | None]
    _assignments: dict[str, Assignment] = field(default_factory=dict)

    def offer(self, attempt_id: str, assignment: Assignment) -> None:
        """Have this assignment delivered to the attempt's guest."""
        self._assignments[attempt_id] = assignment

    def withdraw(self, attempt_id: str) -> None:
        """Forget an assignment; its secrets need not stay in memory once the start is over."""
        self._assignments.pop(attempt_id, None)

    def expected(self, attempt_id: str) -> Expected | None:
        record = self.fleet.get(attempt_id)
        if record is None:
            return None
        return Expected(
            attempt_id=attempt_id,
            ticket_hash=record.ticket_hash,
            channel_hash=record.channel_hash,
            server_id=record.server_id,
            addresses=(record.address,) if record.address else (),
            closed=record.over,
            quarantined=_quarantined(record),
            assignment_taken=isinstance(record.state, Assigned | Running),
        )

    async def admitted(self, attempt_id: str, channel_hash: str, hello: HelloMessage) -> None:
        del hello
        self.fleet.feed(attempt_id, Hello(channel_hash))
        await self.fleet.saved()

    def quarantine(self, attempt_id: str, why: str) -> None:
        self.fleet.feed(attempt_id, Broken(failure("quarantined", why)))

    def assignment(self, attempt_id: str) -> Assignment | None:
        record = self.fleet.get(attempt_id)
        if record is None or not isinstance(record.state, Greeted):
            return None
        return self._assignments.get(attempt_id)

    async def changed(self, attempt_id: str, timeout_s: float) -> None:
        await self.fleet.changed(attempt_id, timeout_s)

    async def report(self, attempt_id: str, report: Report) -> Orders:
        record = self.fleet.get(attempt_id)
        if record is None or record.over:
            return Orders(stop=True)
        offered = self._assignments.get(attempt_id)
        if isinstance(record.state, Greeted) and offered is not None and report.assignment_id == offered.id:
            self.withdraw(attempt_id)
            self.fleet.feed(attempt_id, Taken())
        self._take_in(attempt_id, report)
        record = self.fleet.get(attempt_id)
        if record is not None and isinstance(record.state, Running):
            self.on_report(record.owner, report)
            return Orders(lease=self.lease_of(record.owner))
        return Orders(stop=record is None or record.over)

    def _take_in(self, attempt_id: str, report: Report) -> None:
        match report.stage:
            case "listening":
                self.fleet.feed(attempt_id, Listening())
            case "failed":
                # A port that is taken is one more way in which the notebook does not start.
                name = report.problem if report.problem in ("account", "gpu") else "notebook"
                self.fleet.feed(attempt_id, Broken(failure(name, report.detail)))
            case stage:
                self.fleet.feed(attempt_id, Progressed(stage))


def _quarantined(record: Record) -> bool:
    return isinstance(record.state, Ending | Ended) and record.state.because.name == "quarantined"
