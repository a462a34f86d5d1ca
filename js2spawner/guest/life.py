"""The life of one guest: say hello, wait to become somebody's, run their server, say how it goes, end.

One thread. Every wait has a deadline, and a hub that is away changes nothing for the user: the server runs on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import account, assignment, mounts, processes, vitals
from .account import Account, AccountProblem, Made
from .activity import Activity
from .assignment import Assignment, BadAssignment
from .identity import Identity
from .launch import CannotStart
from .notebook import GaveUp, Notebook
from .provision import Provision, is_step
from .rundir import RunDir
from .saving import Saving
from .standby import Standby
from .talk import Ended, Talk

log = logging.getLogger("js2")

GPU_PATIENCE_S = 180.0
PORT_PATIENCE_S = 600.0
TICK_S = 0.25
# Somebody waits for the server's first answer, and each look costs a refused connection.
TICK_UNTIL_LISTENING_S = 0.05
# A look at the server's kernels may cost the hub a check of the token, so it comes with every third report of the
# usual pace, and no more often while a save has reports come every second.
REPORTS_PER_KERNEL_LOOK = 3


@dataclass(frozen=True)
class Stage:
    """How far we are, as the next report says it."""

    name: str
    assignment_id: str
    problem: str = ""
    detail: str = ""


class Life:
    """Everything between the boot and the end of one attempt."""

    def __init__(
        self,
        talk: Talk,
        run_dir: RunDir,
        identity: Identity,
        saving: Saving,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        privileged: bool,
        standby: Standby | None = None,
    ) -> None:
        self._talk = talk
        self._run_dir = run_dir
        self._identity = identity
        self._saving = saving
        self._clock = clock
        self._sleep = sleep
        self._privileged = privileged
        self._standby = standby
        self._stage = Stage("account", "")
        self._home = "/"
        self._notebook: Notebook | None = None
        self._activity = Activity(clock())
        self._usual_report_s = 0.0
        self._next_kernel_look = clock()
        self._kernel_busy = False

    def run(self) -> None:
        """Live until the hub ends this attempt. Raises talk.Refused when it never accepts us."""
        self._run_dir.publish({})
        try:
            given = self._run_dir.kept("assignment")
            if given is None:
                taken = self._wait()
                if is_step(taken):
                    self._make_an_image(taken)
                self._become(taken, resumed=False)
            else:
                log.info("going on where an earlier agent of this boot was")
                self._become(given, resumed=True)
        except Ended:
            log.info("the hub ends this instance's attempt")
            self.end_processes()
            self._run_dir.forget()
            mounts.take_memory(self._run_dir.runtime)
            self._identity.forget()

    def end_processes(self) -> None:
        """End whatever runs for the user."""
        if self._notebook is not None:
            processes.end(self._notebook.users_processes, self._clock, self._sleep)

    def _wait(self) -> Mapping[str, Any]:
        self._talk.hello()
        log.info("waiting for an assignment")
        given = self._talk.await_assignment()
        if is_step(given):
            return given
        # Kept before anything is done about it: the hub gives it once.
        self._run_dir.keep("assignment", given)
        log.info("assignment received")
        return given

    def _make_an_image(self, first: Mapping[str, Any]) -> NoReturn:
        """This instance is nobody's: it is built into an image, step by step, until the builder ends it (Ended)."""
        if not self._privileged:
            self._fail("build", "An image is made by root, and this guest program is unprivileged.")
        Provision(self._talk, self._run_dir, self._identity, self._clock, self._sleep).run(first)

    def _become(self, given: Mapping[str, Any], *, resumed: bool) -> NoReturn:
        """Do what the assignment says and watch over it until the hub ends it (Ended)."""
        told_id = given.get("id")
        self._stage = Stage("account", told_id if isinstance(told_id, str) else "")
        try:
            wanted = assignment.from_json(given)
            if not resumed:
                self._say("account")
            owner = self._account(wanted)
            self._home = owner.home
            self._saving.account = owner
            if wanted.gpu and not resumed:
                self._say("gpu")
                self._await_gpu()
            self._notebook = Notebook(wanted, owner, self._run_dir, self._clock, self._standby)
            if not self._notebook.adopt():
                self._notebook.start()
            self._say("notebook")
            self._watch_over(self._notebook, wanted)
        except BadAssignment as problem:
            self._fail("account", f"The hub's assignment is malformed: {problem}.")
        except AccountProblem as problem:
            self._fail("account", str(problem))
        except (CannotStart, GaveUp) as problem:
            self._fail("notebook", str(problem))

    def _account(self, wanted: Assignment) -> Account:
        if not self._privileged:
            return account.ours(wanted.user_name)
        return account.ensure(wanted, Made(self._identity.path))

    def _await_gpu(self) -> None:
        until = self._clock() + GPU_PATIENCE_S
        while not vitals.gpus():
            if self._clock() >= until:
                self._fail("gpu", "No GPU answered nvidia-smi in time.")
            self._report_if_due()
            self._sleep(1.0)

    def _watch_over(self, notebook: Notebook, wanted: Assignment) -> NoReturn:
        silent_since = self._clock()
        while True:
            alive = notebook.watch(processes.reap())
            if not alive and self._stage.name == "listening":
                log.info("the server ended; starting it again")
                silent_since = self._clock()
                self._say("notebook")
            if alive and self._stage.name == "notebook":
                if notebook.answers():
                    self._say("listening")
                elif self._clock() - silent_since >= PORT_PATIENCE_S:
                    self._fail("port", f"The server runs but does not answer on port {wanted.port}.")
            self._report_if_due()
            self._sleep(TICK_UNTIL_LISTENING_S if self._stage.name == "notebook" else TICK_S)

    def _fail(self, problem: str, detail: str) -> NoReturn:
        """Say so, and keep saying so, until the hub ends this attempt."""
        log.info("failed: %s", problem)
        self._stage = Stage("failed", self._stage.assignment_id, problem, " ".join(detail.split())[:500])
        self._report()
        while True:
            processes.reap()
            self._report_if_due()
            self._sleep(TICK_S)

    def _say(self, stage: str) -> None:
        log.info("stage: %s", stage)
        self._stage = Stage(stage, self._stage.assignment_id)
        self._report()

    def _report_if_due(self) -> None:
        if self._talk.report_is_due() or self._saving.has_news():
            self._report()

    def _report(self) -> None:
        answer = self._talk.report(self._message())
        if answer is not None:
            self._run_dir.publish(assignment.lease_from_json(answer.get("lease")))
            self._saving.obey(answer)
            if not self._saving.word():
                self._usual_report_s = self._talk.report_s

    def _message(self) -> Mapping[str, Any]:
        gpus = vitals.gpus()
        notebook = self._notebook
        if notebook is not None and self._stage.name == "listening":
            if self._clock() >= self._next_kernel_look:
                self._next_kernel_look = self._clock() + REPORTS_PER_KERNEL_LOOK * self._usual_report_s
                self._kernel_busy = notebook.kernel_is_busy()
            self._activity.observe(self._clock(), notebook.users_processes(), notebook.pid, gpus, self._kernel_busy)
        return {
            "stage": self._stage.name,
            "assignment": self._stage.assignment_id,
            "problem": self._stage.problem,
            "detail": self._stage.detail,
            "health": vitals.health(self._home, gpus),
            "activity": self._activity.to_json(self._clock()),
            "notebook": {
                "alive": notebook is not None and notebook.alive(),
                "restarts": 0 if notebook is None else notebook.restarts,
            },
            "saving": self._saving.word(),
        }
