"""Who may pass: every decision of the handshake as a pure function (the tables of docs/handshake.md).

The ticket or credential is looked at first, so that a stranger learns no more than whether an id is an attempt's.
"""

from __future__ import annotations

from enum import Enum

from js2spawner.handshake import tickets
from js2spawner.handshake.book import Expected
from js2spawner.handshake.messages import Hello


class Verdict(Enum):
    """An HTTP status, a stable word for metrics, and a sentence for the guest's own log."""

    ADMIT = (200, "admitted", "Welcome.")
    AGAIN = (200, "repeated", "Welcome, as before.")
    PASS = (200, "passed", "")
    EARLY = (425, "early", "The cloud has not told the hub about this instance yet.")
    STRANGER = (403, "stranger", "This address or instance is not the attempt's, or the ticket is wrong.")
    REPLAY = (409, "replay", "This ticket was shown before with another credential.")
    UNKNOWN = (401, "unknown", "No such channel.")
    TAKEN = (409, "taken", "The assignment was taken before.")
    ENDED = (410, "ended", "There is no such attempt, or it has ended.")

    def __init__(self, status: int, outcome: str, sentence: str) -> None:
        self.status = status
        self.outcome = outcome
        self.sentence = sentence


def admit(expected: Expected | None, hello: Hello, source: str) -> Verdict:
    """Answer a hello from the address `source`. REPLAY asks for quarantine, see `quarantines`."""
    if expected is None:
        return Verdict.ENDED
    if not tickets.matches(hello.ticket, expected.ticket_hash):
        return Verdict.STRANGER
    if expected.closed:
        return Verdict.ENDED
    if not expected.server_id or not expected.addresses:
        return Verdict.EARLY
    if not _is_at_home(expected, source) or hello.instance_id != expected.server_id:
        return Verdict.STRANGER
    if expected.quarantined:
        return Verdict.REPLAY
    if not expected.channel_hash:
        return Verdict.ADMIT
    # The answer to the first hello may have been lost: the same two secrets are the same hello.
    return Verdict.AGAIN if tickets.matches(hello.credential, expected.channel_hash) else Verdict.REPLAY


def quarantines(expected: Expected | None, verdict: Verdict) -> bool:
    """Whether a verdict on a hello ends the attempt.

    Two parties know the ticket, so before the assignment is taken neither may have it. Afterwards a second hello is
    only somebody reading user-data, which every process of the instance can: it must not cost the user their work.
    """
    return (
        verdict is Verdict.REPLAY
        and expected is not None
        and not expected.assignment_taken
        and not expected.quarantined
    )


def authorise(expected: Expected | None, credential: str, source: str) -> Verdict:
    """Answer a message on the channel: PASS or why not.

    ENDED makes a guest end its user's processes, so only an attempt that we know, and a guest that proves to be its
    own, is ever told so.
    """
    if expected is None or not tickets.matches(credential, expected.channel_hash):
        return Verdict.UNKNOWN
    if not expected.addresses:
        return Verdict.EARLY  # a hub that has just started may know its attempts before it has seen the cloud
    if not _is_at_home(expected, source):
        return Verdict.STRANGER
    if expected.closed or expected.quarantined:
        return Verdict.ENDED
    return Verdict.PASS


def _is_at_home(expected: Expected, source: str) -> bool:
    return source.removeprefix("::ffff:") in expected.addresses
