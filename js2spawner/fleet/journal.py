"""The story of one start as its progress page tells it: stages begun and done, retries, all with time stamps.

One journal per server. It replays from its beginning for every reader (each browser tab, each reconnect) and lets
them all follow. Its events are what `Spawner.progress` yields; the key `js2` holds the part our page reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from js2spawner.failures import Failure
from js2spawner.fleet.store import Timing
from js2spawner.fleet.typical import TOTAL, History
from js2spawner.instance import (
    Assigned,
    Booting,
    Building,
    Greeted,
    Leaving,
    Planned,
    Record,
    Returning,
    Running,
    Shelved,
    Shelving,
    Unsure,
)

Event = dict[str, object]

TITLES = {
    "create": "Creating the instance",
    "return": "Bringing the instance back from the shelf",
    "boot": "Starting its system",
    "assign": "Handing it over to you",
    "home": "Mounting your home",
    "gpu": "Checking the GPU",
    "notebook": "Starting JupyterLab",
}
_DONE = {
    "create": "The instance is running.",
    "return": "The instance is running again.",
    "boot": "The system is up and has proved who it is.",
    "assign": "Your account is ready.",
    "home": "Your home is there.",
    "gpu": "The GPU answers.",
    "notebook": "JupyterLab answers.",
}
# Where the bar stands when a stage begins: for screen readers and the stock page; ours shows the stages themselves.
_PERCENT = {"create": 5, "return": 5, "boot": 30, "assign": 60, "home": 65, "gpu": 70, "notebook": 75}
# What a long wait within a stage is for.
_ATTACHING = "The cloud is still attaching your home."
_STILL_SHELVING = "It is still on its way to the shelf, and is brought back as soon as it is there."
_MOST_EVENTS = 500


def stage_of(record: Record) -> str | None:
    """Which stage of the page a record is in; None when it is ready or over."""
    match record.state:
        case Planned() | Unsure() | Building():
            return "create"
        case Leaving() | Shelving() | Shelved() | Returning() if not record.parted:
            return "return"
        case Booting():
            return "boot"
        case Greeted() | Assigned(stage="account"):
            return "assign"
        case Assigned(stage="home" | "gpu" as stage):
            return stage
        case Assigned():
            return "notebook"
    return None


def stages_of(record: Record) -> list[str]:
    """The stages a start of this record goes through, in order, as far as it says by now."""
    left_out = {"create" if record.comes_back else "return"}
    if not record.plan.gpu:
        left_out.add("gpu")
    if record.plan.home.kind == "none":
        left_out.add("home")
    return [stage for stage in TITLES if stage not in left_out]


class Journal:
    """Events of the latest start of one server, over all its attempts."""

    def __init__(self, history: History, clock: Callable[[], float]) -> None:
        self._history = history
        self._clock = clock
        self._events: list[Event] = []
        self._more = asyncio.Event()
        self._closed = False
        self._attempt_id = ""
        self._order: list[str] = []
        self._waits_for = ""
        self._stage: str | None = None
        self._stage_since = 0.0
        self._attempt_since = 0.0
        self._seconds: list[tuple[str, float]] = []
        # Where it stands in the line; only the newest is ever told.
        self._place: Event | None = None
        self._places = 0

    def plan(self, record: Record) -> None:
        """A new attempt begins (or one that was found running is taken up)."""
        now = self._clock()
        self._attempt_id = record.attempt_id
        self._stage, self._seconds, self._attempt_since = None, [], now
        self._order, self._waits_for = stages_of(record), ""
        stages = []
        for name in self._order:
            typical = self._history.typical(record.plan.image, record.plan.flavor, name)
            shown = {"p50_s": round(typical.p50_s, 1), "p90_s": round(typical.p90_s, 1)} if typical else None
            stages.append({"name": name, "title": TITLES[name], "typical": shown})
        self._add(
            2,
            _opening(record),
            {
                "kind": "plan",
                "attempt": record.number,
                "image": record.plan.image_title,
                "flavor": record.plan.flavor,
                "started_at": _iso(now),
                "stages": stages,
            },
        )
        self.note(record)

    def note(self, record: Record) -> None:
        """Take in the attempt's newest record: close the stage that is over, open the one that began."""
        # The instance of an earlier attempt, or of an earlier start, may go only while this one comes.
        if self._attempt_id not in ("", record.attempt_id):
            return
        if self._closed:
            return
        stage = stage_of(record)
        # What a guest says it is at is no stage of a start that has none such.
        if stage != self._stage and (stage is None or stage in self._order):
            self._turn(record, stage)
        if (wait := _wait_of(record)) != self._waits_for:
            self._waits_for = wait
            if wait:
                self.say(wait)

    def _turn(self, record: Record, stage: str | None) -> None:
        now = self._clock()
        if self._stage is not None and not record.over:
            self._seconds.append((self._stage, now - self._stage_since))
            self._add(None, _DONE[self._stage], self._mark(self._stage, "done", now))
        elif self._stage is None and stage is not None:
            for passed in self._order[: self._order.index(stage)]:
                self._add(None, _DONE[passed], self._mark(passed, "done", now))
        elif self._stage is not None:
            self._add(None, "This did not work.", self._mark(self._stage, "failed", now))
        self._stage, self._stage_since = stage, now
        if stage is not None:
            self._add(_PERCENT[stage], TITLES[stage] + "…", self._mark(stage, "begun", now))

    def retry(self, attempt: int, why: Failure) -> None:
        """The attempt before this one failed; the page says truthfully why."""
        now = _iso(self._clock())
        text = f"{why.sentence} Trying once more."
        self._add(2, text, {"kind": "retry", "attempt": attempt, "why": why.sentence, "at": now})

    def say(self, text: str) -> None:
        """A sentence beside the stages."""
        self._add(None, text, {"kind": "note", "text": text, "at": _iso(self._clock())})

    def place(self, message: str, js2: Event) -> None:
        """Where the start stands in the line. Readers get the newest place, not how it came about."""
        event: Event = {"message": message, "progress": 1, "js2": js2}
        if event != self._place:
            self._place = event
            self._places += 1
            self._more.set()

    def out_of_line(self) -> None:
        """It does not wait any more."""
        self._place = None

    def timings(self, record: Record) -> list[Timing]:
        """What this start taught; only a start that ran through all stages here teaches."""
        if not isinstance(record.state, Running) or [name for name, _ in self._seconds] != self._order:
            return []
        now = self._clock()
        rows = list(self._seconds)
        if "return" not in self._order:
            # A start from an image takes what it takes; one from the shelf is no example of it.
            rows.append((TOTAL, now - self._attempt_since))
        return [Timing(record.plan.image, record.plan.flavor, name, seconds, now) for name, seconds in rows]

    def close(self) -> None:
        """The start is over, one way or the other: readers come to their end."""
        self._closed = True
        self._more.set()

    @property
    def closed(self) -> bool:
        return self._closed

    async def follow(self) -> AsyncIterator[Event]:
        """All events from the first on, then each as it comes, until the start is over."""
        read = places = 0
        while True:
            while read < len(self._events):
                yield self._events[read]
                read += 1
            if self._place is not None and places != self._places:
                places = self._places
                yield self._place
                continue
            if self._closed:
                return
            self._more.clear()
            await self._more.wait()

    def _mark(self, stage: str, state: str, now: float) -> Event:
        return {"kind": "stage", "stage": stage, "state": state, "at": _iso(now)}

    def _add(self, progress: int | None, message: str, js2: Event) -> None:
        if len(self._events) >= _MOST_EVENTS:
            return
        event: Event = {"message": message, "js2": js2}
        if progress is not None:
            event["progress"] = progress
        self._events.append(event)
        self._more.set()


def _opening(record: Record) -> str:
    what = f"{record.plan.image_title} on {record.plan.flavor}"
    return f"Bringing {what} back from the shelf." if record.comes_back else f"Starting {what}."


def _wait_of(record: Record) -> str:
    """What a record waits for that its stage does not say; empty for most."""
    match record.state:
        case Greeted() if record.lacks_home:
            return _ATTACHING
        case Leaving() | Shelving() if record.wanted_back:
            return _STILL_SHELVING
    return ""


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
