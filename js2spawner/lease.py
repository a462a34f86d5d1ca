"""How long a running server may stay: until nobody has used it for a while, or until it has run its longest.

Pure. A policy is the profile's, a lease is what it means for one server at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from js2spawner.numbers_shown import counted

Why = Literal["idle", "age"]

# Asked for anew with every look, as long as there is a reason.
_HELD_FOR = timedelta(minutes=5)

_REASONS: dict[Why, str] = {
    "idle": "because nobody has used it",
    "age": "because it has then run as long as it may",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a profile allows.

    `idle_s`: seconds without use after which the server ends. `longest_s`: seconds after its start at which it ends
    however busy it is. `warn_s`: seconds before the end from which the user is warned. `extend_s`: seconds one
    extension adds. `extensions`: how many of them a server may have in its life.
    """

    idle_s: float
    longest_s: float
    warn_s: float
    extend_s: float
    extensions: int

    @property
    def longest_ever_s(self) -> float:
        """Seconds after which a server has surely ended: its longest with all its extensions."""
        return self.longest_s + self.extend_s * self.extensions


@dataclass(frozen=True, slots=True)
class Lease:
    """When a server ends and what can be done about it. `why`: "idle" nobody uses it, "age" it ran its longest."""

    ends_at: datetime
    why: Why
    warn: bool
    can_extend: bool
    extensions_left: int
    extend_s: float

    def ended(self, now: datetime) -> bool:
        return now >= self.ends_at

    def seconds_left(self, now: datetime) -> float:
        """Seconds until the end, 0 once it has passed."""
        return max(0.0, (self.ends_at - now).total_seconds())


def lease(
    policy: Policy,
    *,
    started: datetime,
    last_activity: datetime,
    extended_s: float,
    extensions_used: int,
    latest: datetime,
    now: datetime,
    held: bool = False,
    idles: bool = True,
) -> Lease:
    """The lease of one server. `extended_s` is what all its extensions so far add up to; it moves both ends.

    `latest`: the instant its instance was promised to end at when it was made, whatever the policy says by now.
    `held`: it is being saved as an image, and does not end before that is done. `idles`: it ends when nobody uses it;
    without that its longest is its only end.
    """
    extended = timedelta(seconds=extended_s)
    age_end = min(started + timedelta(seconds=policy.longest_s) + extended, latest)
    # The hub knows no activity before the start, and a reused record may still hold that of an earlier life.
    idle_end = max(started, last_activity) + timedelta(seconds=policy.idle_s) + extended
    why: Why = "idle" if idles and idle_end < age_end else "age"
    ends_at = idle_end if why == "idle" else age_end
    if held:
        ends_at = max(ends_at, now + _HELD_FOR)
    left = max(0, policy.extensions - extensions_used)
    return Lease(
        ends_at=ends_at,
        why=why,
        warn=now >= ends_at - timedelta(seconds=policy.warn_s),
        # An end that passed may still be moved until the server is really stopped, if that brings it back to life.
        can_extend=left > 0 and ends_at < latest and now < ends_at + timedelta(seconds=policy.extend_s),
        extensions_left=left,
        extend_s=policy.extend_s,
    )


def sentence(current: Lease, now: datetime) -> str:
    """What the lease means, for the user."""
    if current.ended(now):
        return f"Your server is about to end {_REASONS[current.why]}."
    span = duration(current.seconds_left(now))
    if current.why == "idle" and not current.warn:
        return f"Your server ends in {span} unless you use it."
    return f"Your server ends in {span} {_REASONS[current.why]}."


def duration(seconds: float) -> str:
    """A span of time as a person says it: "40 seconds", "12 minutes", "2 hours 5 minutes"."""
    if seconds < 90:
        return counted(round(seconds), "second")
    minutes = round(seconds / 60)
    if minutes < 60:
        return counted(minutes, "minute")
    hours, rest = divmod(minutes, 60)
    return counted(hours, "hour") + (f" {counted(rest, 'minute')}" if rest else "")
