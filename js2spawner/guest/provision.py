"""An instance that becomes an image: it is given one step after another, does each, and says how each ended.

A step comes as an assignment, over the channel that is pinned like any other's; docs/handshake.md, "Building an image".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from . import build_end, build_steps, vitals
from .build_site import Site
from .identity import Identity
from .rundir import RunDir
from .shell import Shell, StepFailed

log = logging.getLogger("js2")

TICK_S = 0.25
LONGEST_STEP_S = 4 * 3600.0
MOST_DETAIL, MOST_RESULT = 500, 8192
_KEPT = "build"

Step = Callable[[Site, Mapping[str, Any], float], str]
LAST = "clean"
KINDS: Mapping[str, Step] = {
    "piece": build_steps.piece,
    "unpack": build_steps.unpack,
    "packages": build_steps.packages,
    "environment": build_steps.environment,
    "command": build_steps.command,
    "smoke": build_steps.smoke,
    "software": build_end.software,
    LAST: build_end.clean,
}


class Line(Protocol):
    """What is needed of `talk.Talk`."""

    def await_assignment(self) -> Mapping[str, Any]: ...

    def report_is_due(self) -> bool: ...

    def report(self, message: Mapping[str, Any]) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True)
class Outcome:
    """How a step ended: stage `building` (go on), `built` (that was the last) or `failed`."""

    stage: str
    detail: str = ""
    result: str = ""


def is_step(given: Mapping[str, Any]) -> bool:
    """Whether an assignment is a step of a build rather than somebody's server."""
    return isinstance(given.get("provision"), dict)


class Provision:
    """The making of one image. `run` ends only by what the conversation raises (talk.Ended)."""

    def __init__(
        self,
        talk: Line,
        run_dir: RunDir,
        identity: Identity,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        root: Path = Path("/"),
    ) -> None:
        self._talk = talk
        self._run_dir = run_dir
        self._clock = clock
        self._sleep = sleep
        self._doing = ""
        shell = Shell(clock, sleep, self._meanwhile)
        self._site = Site(root, shell, clock, identity.forget)

    def run(self, given: Mapping[str, Any]) -> NoReturn:
        """Carry out steps from this one on; after the last, or one that failed, only go on reporting."""
        while True:
            told_id = given.get("id")
            step_id = told_id if isinstance(told_id, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", told_id) else ""
            outcome = self._known(step_id) or self._carry_out(step_id, given)
            self._tell(step_id, outcome)
            if outcome.stage != "building":
                self._stay(outcome)
            given = self._talk.await_assignment()

    def _known(self, step_id: str) -> Outcome | None:
        """What an earlier agent of this boot noted about the step: no step is done twice."""
        kept = self._run_dir.kept(_KEPT) or {}
        if not step_id or kept.get("id") != step_id:
            return None
        if kept.get("stage") is None:
            return Outcome("failed", "The guest program ended in the middle of this step.")
        return Outcome(kept["stage"], kept["detail"], kept["result"])

    def _carry_out(self, step_id: str, given: Mapping[str, Any]) -> Outcome:
        self._run_dir.keep(_KEPT, {"id": step_id})
        try:
            outcome = self._do(given["provision"])
        except StepFailed as problem:
            log.info("a step of the build failed")
            outcome = Outcome("failed", _one_line(f"{problem}."), problem.said[-MOST_RESULT:])
        except OSError as problem:
            outcome = Outcome("failed", _one_line(f"{problem.strerror}: {problem.filename}."))
        # The run directory is in memory: nothing of this gets into the image.
        self._run_dir.keep(_KEPT, {"id": step_id, **vars(outcome)})
        return outcome

    def _do(self, step: Mapping[str, Any]) -> Outcome:
        kind = step.get("kind")
        do = KINDS.get(kind) if isinstance(kind, str) else None
        if do is None:
            raise StepFailed("this guest program knows no such step; build from a newer base")
        log.info("step %s of %s: %s", step.get("number"), step.get("of"), kind)
        deadline_s = step.get("deadline_s")
        if isinstance(deadline_s, bool) or not isinstance(deadline_s, (int, float)) or not 0 < deadline_s < 1e6:
            raise StepFailed("the step has no deadline")
        self._doing = str(kind)
        until = self._clock() + min(float(deadline_s), LONGEST_STEP_S)
        result = do(self._site, step, until)
        if kind == LAST:
            return Outcome("built")
        return Outcome("building", "", result[-MOST_RESULT:])

    def _meanwhile(self, line: str) -> None:
        if self._talk.report_is_due():
            self._talk.report(_message(Outcome("building", _one_line(line or self._doing)), ""))

    def _tell(self, step_id: str, outcome: Outcome) -> None:
        """Say it until it is heard: the next step is given only after that."""
        while self._talk.report(_message(outcome, step_id)) is None:
            while not self._talk.report_is_due():
                self._sleep(TICK_S)

    def _stay(self, outcome: Outcome) -> NoReturn:
        log.info("the build is %s", "done" if outcome.stage == "built" else "over")
        while True:
            if self._talk.report_is_due():
                self._talk.report(_message(outcome, ""))
            self._sleep(TICK_S)


def _message(outcome: Outcome, step_id: str) -> Mapping[str, Any]:
    return {
        "stage": outcome.stage,
        "assignment": step_id,
        "problem": "build" if outcome.stage == "failed" else "",
        "detail": outcome.detail,
        "result": outcome.result,
        "health": vitals.health(vitals.usage(Path("/"))[:2], []),
        "activity": {"idle_s": 0, "because": "none"},
        "notebook": {"alive": False, "restarts": 0},
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MOST_DETAIL]
