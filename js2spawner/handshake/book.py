"""What the handshake needs to know and to tell: the fleet's side of the counter, as a Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from js2spawner.handshake.messages import Assignment, BuildStep, Hello, Orders, Report


@dataclass(frozen=True, slots=True)
class Expected:
    """What the fleet knows about one attempt when a guest speaks for it.

    `channel_hash` is empty before the hello, `server_id` and `addresses` until Nova has told. An attempt that is
    `quarantined` showed its ticket twice before the assignment was taken.
    """

    attempt_id: str
    ticket_hash: str
    channel_hash: str
    server_id: str
    addresses: tuple[str, ...]
    closed: bool
    quarantined: bool
    assignment_taken: bool


class Book(Protocol):
    """The attempts of this hub. It must know all of them before the handshake server starts to listen."""

    def expected(self, attempt_id: str) -> Expected | None:
        """The attempt, or None when there is no such attempt."""

    async def admitted(self, attempt_id: str, channel_hash: str, hello: Hello) -> None:
        """Note the channel, durably: the guest is told only after this returns. Called for each admitted hello.

        A hello of another boot than the one that took the assignment asks for it anew: the instance was rebooted.
        """

    def quarantine(self, attempt_id: str, why: str) -> None:
        """The attempt's ticket was shown twice before the assignment was taken: nothing may be given to it."""

    def assignment(self, attempt_id: str) -> Assignment | BuildStep | None:
        """What is to be delivered now, if anything."""

    async def changed(self, attempt_id: str, timeout_s: float) -> None:
        """Return when something about the attempt has changed, or after `timeout_s` seconds."""

    def has_word(self, attempt_id: str) -> bool:
        """Whether the attempt's orders have changed since it last reported."""

    async def report(self, attempt_id: str, report: Report) -> Orders:
        """Take in a report. The first that names the assignment's id acknowledges the assignment."""
