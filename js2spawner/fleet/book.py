"""What the handshake asks of the fleet: which attempts are expected, what is to be delivered, what was reported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from js2spawner.failures import failure
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.saves import Saves
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import Assignment, HomeReport, Lease, Orders, Report
from js2spawner.handshake.messages import Hello as HelloMessage
from js2spawner.instance import Assigned, Ended, Ending, Greeted, Leaving, Record, Running, Shelved, Shelving
from js2spawner.sightings import Broken, Hello, Left, Listening, Progressed, Taken

# What a guest that failed says it failed at, by our names; a port that is taken is one more way in which the notebook
# does not start.
_FAILED_AT = {"account": "account", "gpu": "gpu", "home": "home-unreadable"}


class Ear(Protocol):
    """Who hears of one owner's instance: the spawner of this process."""

    def take_report(self, report: Report) -> None: ...

    def lease_notice(self) -> Lease | None: ...

    async def hand_over(self, record: Record) -> None: ...


class HomeKeeper(Protocol):
    """Who notes what guests say of their homes."""

    def took_report(self, record: Record, report: HomeReport) -> None: ...


@dataclass(slots=True)
class FleetBook:
    """`handshake.book.Book` over a fleet; `ears` are the spawners that stand for attempts, by attempt id."""

    fleet: Fleet
    saves: Saves | None = None
    homes: HomeKeeper | None = None
    ears: dict[str, Ear] = field(default_factory=dict)
    _assignments: dict[str, Assignment] = field(default_factory=dict)
    # Attempts whose instance was rebooted after it had taken its assignment, with the boot that asks for it anew.
    _returned: dict[str, str] = field(default_factory=dict)
    # What was ordered in answer to the latest report of an attempt.
    _told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fleet.when_parted(self._forget)

    async def listen(self, ear: Ear, record: Record) -> None:
        """From now on this spawner stands for the attempt; it may be waited for."""
        self.ears[record.attempt_id] = ear
        if record.attempt_id in self._returned and record.attempt_id not in self._assignments:
            await ear.hand_over(record)

    def unlisten(self, attempt_id: str) -> None:
        """Nobody stands for the attempt any longer."""
        self.ears.pop(attempt_id, None)

    def offer(self, attempt_id: str, assignment: Assignment) -> None:
        """Have this assignment delivered to the attempt's guest, unless the attempt is over by now."""
        record = self.fleet.get(attempt_id)
        if record is None or record.parted:
            return
        self._assignments[attempt_id] = assignment
        self.fleet.announce(attempt_id)

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
            # Who is told to leave may still say that it has.
            closed=record.over and not isinstance(record.state, Leaving),
            quarantined=_quarantined(record),
            assignment_taken=_was_given(record) and attempt_id not in self._returned,
        )

    async def admitted(self, attempt_id: str, channel_hash: str, hello: HelloMessage) -> None:
        if self.saves is not None:
            self.saves.hello(attempt_id)
        record = self.fleet.feed(attempt_id, Hello(channel_hash))
        if record is not None and isinstance(record.state, Assigned | Running) and record.boot_id != hello.boot_id:
            self._returned[attempt_id] = hello.boot_id
            if ear := self.ears.get(attempt_id):
                await ear.hand_over(record)
        else:
            self.fleet.amend(attempt_id, lambda r: replace(r, boot_id=hello.boot_id))
        await self.fleet.saved()

    def quarantine(self, attempt_id: str, why: str) -> None:
        self.fleet.feed(attempt_id, Broken(failure("quarantined", why)))

    def assignment(self, attempt_id: str) -> Assignment | None:
        return self._assignments.get(attempt_id)

    async def changed(self, attempt_id: str, timeout_s: float) -> None:
        await self.fleet.changed(attempt_id, timeout_s)

    def has_word(self, attempt_id: str) -> bool:
        record = self.fleet.get(attempt_id)
        return record is not None and self._order(record) != self._told.get(attempt_id, "")

    def _order(self, record: Record) -> str:
        """What a guest is to hear of without waiting for its next report, in a form that can be compared."""
        if isinstance(record.state, Leaving):
            return "leave"
        save = self.saves.under_way(record.attempt_id) if self.saves else None
        return f"save {save.id}" if save else ""

    async def report(self, attempt_id: str, report: Report) -> Orders:
        record = self.fleet.get(attempt_id)
        if record is None or isinstance(record.state, Ending | Ended):
            return Orders(stop=True)
        self._acknowledge(record, report)
        self._take_in(record, report)
        record = self.fleet.get(attempt_id)
        if record is None or isinstance(record.state, Ending | Ended):
            return Orders(stop=True)
        self._told[attempt_id] = self._order(record)
        if isinstance(record.state, Leaving | Shelving | Shelved):
            # What has left stays so until it is shut down.
            return Orders(leave_within_s=record.plan.deadlines.leave_s)
        if not isinstance(record.state, Running):
            return Orders()
        return self._orders(record, report)

    def _orders(self, record: Record, report: Report) -> Orders:
        attempt_id = record.attempt_id
        quiet, soon_s = self.saves.orders(record, report.saving) if self.saves else (None, None)
        ear = self.ears.get(attempt_id)
        if ear is None:
            return Orders(save=quiet, report_s=soon_s)
        ear.take_report(report)
        return Orders(lease=ear.lease_notice(), save=quiet, report_s=soon_s)

    def _acknowledge(self, record: Record, report: Report) -> None:
        """The first report that names the assignment: from now on it is given to nobody and need not be kept.

        One that names another was taken from a hub process that died before it noted so: the guest goes on with it.
        """
        offered = self._assignments.get(record.attempt_id)
        is_ours = offered is not None and report.assignment_id == offered.id
        is_older = report.assignment_id and isinstance(record.state, Greeted)
        if not (is_ours or is_older):
            return
        self._assignments.pop(record.attempt_id, None)
        boot_id = self._returned.pop(record.attempt_id, None)
        if boot_id is not None:
            self.fleet.amend(record.attempt_id, lambda r: replace(r, boot_id=boot_id))
        elif isinstance(record.state, Greeted):
            self.fleet.feed(record.attempt_id, Taken())

    def _take_in(self, record: Record, report: Report) -> None:
        attempt_id = record.attempt_id
        if self.homes is not None and report.home.state != "none":
            self.homes.took_report(record, report.home)
        match report.stage:
            case "listening":
                self.fleet.feed(attempt_id, Listening())
            case "left":
                self.fleet.feed(attempt_id, Left(clean=report.home.state != "busy"))
            case "failed":
                self.fleet.feed(attempt_id, Broken(failure(_FAILED_AT.get(report.problem, "notebook"), report.detail)))
            case "building" | "built":
                pass  # of an image's builder, which has a book of its own: from a user's instance it means nothing
            case stage:
                self.fleet.feed(attempt_id, Progressed(stage))

    def _forget(self, record: Record) -> None:
        """It is over for its user: nothing that was meant for its guest stays in memory."""
        for kept in (self.ears, self._assignments, self._returned, self._told):
            kept.pop(record.attempt_id, None)
        # One that leaves may report, and be answered, a last time.
        self._told = {each: told for each, told in self._told.items() if self.fleet.knows(each)}


def _quarantined(record: Record) -> bool:
    return record.because is not None and record.because.name == "quarantined"


def _was_given(record: Record) -> bool:
    """Whether its assignment is nothing to be had any more: it was taken, or nobody is to have it."""
    return isinstance(record.state, Assigned | Running | Leaving | Shelving | Shelved)
