"""The life of one guest: say hello, wait to become somebody's, run their server, say how it goes, leave, end.

One thread. Every wait has a deadline, and a hub that is away changes nothing for the user: the server runs on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from . import account, assignment, gpu, launch, mounts, processes, vitals
from .account import Account, AccountProblem, Made
from .activity import Activity
from .assignment import Assignment, BadAssignment
from .classdata import ClassData
from .gpu import Gpus, NoGpu
from .home import Home, HomeProblem
from .identity import Identity
from .launch import CannotStart
from .machine import Machine
from .notebook import GaveUp, Notebook
from .provision import Provision, is_step
from .rundir import RunDir
from .saving import Saving
from .seeding import Seeding
from .shell import Shell
from .standby import Standby
from .talk import Ended, Talk
from .word import Word

log = logging.getLogger("js2")

GPU_PATIENCE_S = 180.0
PORT_PATIENCE_S = 600.0
TICK_S = 0.25
# Somebody waits for the server's first answer, and each look costs a refused connection.
TICK_UNTIL_LISTENING_S = 0.05
# A look at the server's kernels may cost the hub a check of the token, so it comes with every third report of the
# usual pace, and no more often while a save has reports come every second.
REPORTS_PER_KERNEL_LOOK = 3
LEAST_LEAVE_S, MOST_LEAVE_S = 5.0, 600.0
# Of the time there is to leave, most is for what is to be written out.
GRACE_S, KILLING_S = 10.0, 5.0
LET_GO_S = 20.0
_LEFT, _PROVEN = "left", "gpu"


class Leave(Exception):
    """The hub says that this instance goes: end what runs, let go of the home by then, and say so."""

    def __init__(self, within_s: float) -> None:
        super().__init__(f"within {within_s:.0f} s")
        self.within_s = within_s


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
        machine: Machine,
        standby: Standby | None = None,
        word: Word | None = None,
    ) -> None:
        self._talk = talk
        self._run_dir = run_dir
        self._identity = identity
        self._saving = saving
        self._machine = machine
        self._clock = machine.clock
        self._sleep = machine.sleep
        self._standby = standby
        self._word = word
        self._stage = Stage("account", "")
        self._home = Home(run_dir, machine, Shell(machine.clock, machine.sleep, lambda _line: self._meanwhile()))
        self._data = ClassData(machine)
        self._seeding = Seeding(machine, launch.search_path(os.environ))
        self._gpus = Gpus()
        self._held: Exception | None = None
        self._notebook: Notebook | None = None
        self._activity = Activity(machine.clock())
        self._usual_report_s = 0.0
        self._next_kernel_look = machine.clock()
        self._kernel_busy = False

    def run(self) -> None:
        """Live until the hub ends this attempt. Raises talk.Refused when it never accepts us."""
        for name in ("lease", "home", "gpus"):
            self._run_dir.publish(name, {})
        try:
            try:
                self._live()
            except Leave as order:
                self._leave(order.within_s)
        except Ended:
            log.info("the hub ends this instance's attempt")
            self.end_processes()
            self._home.let_go(self._clock() + LET_GO_S)
            self._data.let_go()
            self._run_dir.forget()
            mounts.take_memory(self._run_dir.runtime)
            self._identity.forget()
        finally:
            if self._word is not None:
                self._word.end()

    def end_processes(self, grace_s: float = GRACE_S, killing_s: float = KILLING_S) -> None:
        """End whatever runs for the user."""
        if self._notebook is not None:
            processes.end(self._notebook.users_processes, self._clock, self._sleep, grace_s, killing_s)

    def _live(self) -> NoReturn:
        given = self._run_dir.kept("assignment")
        if given is not None:
            log.info("going on where an earlier agent of this boot was")
            self._become(given, resumed=True)
        taken = self._wait()
        if is_step(taken):
            self._make_an_image(taken)
        self._become(taken, resumed=False)

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
        if not self._machine.privileged:
            self._fail("build", "An image is made by root, and this guest program is unprivileged.")
        Provision(self._talk, self._run_dir, self._identity, self._clock, self._sleep).run(first)

    def _become(self, given: Mapping[str, Any], *, resumed: bool) -> NoReturn:
        """Do what the assignment says and watch over it until the hub ends it (Ended)."""
        told_id = given.get("id")
        self._stage = Stage("account", told_id if isinstance(told_id, str) else "")
        left = self._run_dir.kept(_LEFT)
        if left is not None:
            self._home.left_before(str(left.get("home", "none")))
            self._stay_left()
        try:
            wanted = assignment.from_json(given)
            if not resumed:
                self._say("account")
            if self._word is not None:
                self._word.listen(self._talk.poll_s)
            owner = self._account(wanted)
            owner = self._move_in(wanted, owner, resumed=resumed)
            self._saving.account = owner
            if wanted.gpu and self._run_dir.kept(_PROVEN) is None:
                self._prove_gpu(owner)
            self._notebook = Notebook(wanted, owner, self._run_dir, self._clock, self._standby)
            if not self._notebook.adopt():
                self._notebook.start()
            self._say("notebook")
            self._watch_over(self._notebook, wanted)
        except BadAssignment as problem:
            self._fail("account", f"The hub's assignment is malformed: {problem}.")
        except AccountProblem as problem:
            self._fail("account", str(problem))
        except HomeProblem as problem:
            self._fail("home", str(problem))
        except NoGpu as problem:
            self._fail("gpu", str(problem))
        except (CannotStart, GaveUp) as problem:
            self._fail("notebook", str(problem))

    def _account(self, wanted: Assignment) -> Account:
        if not self._machine.privileged:
            return account.ours(wanted.user_name)
        return account.ensure(wanted, Made(self._identity.path))

    def _move_in(self, wanted: Assignment, owner: Account, *, resumed: bool) -> Account:
        """The user's files: their home, what it is to hold at first, and what the class reads. Raises HomeProblem."""
        if wanted.home is not None and not resumed:
            self._say("home")
        owner = self._home.open(owner, wanted.home, self._meanwhile)
        self._data.open(wanted.data, self._meanwhile)
        if self._held is not None:
            raise self._held
        seed = None if wanted.home is None else wanted.home.seed
        if seed is not None and not resumed:
            self._seeding.start(seed, owner)
            if self._home.is_new:
                self._seeding.wait(self._report_if_due)
        return owner

    def _prove_gpu(self, owner: Account) -> None:
        """Raises NoGpu."""
        self._say("gpu")
        self._gpus.wait_for(self._machine, self._report_if_due, GPU_PATIENCE_S)
        shell = Shell(self._clock, self._sleep, lambda _line: self._report_if_due())
        by = gpu.prove(shell, owner, self._clock() + gpu.PROOF_S)
        log.info("the GPU computes, says %s" if by else "the GPU answers%s; no environment here computes on it", by)
        self._run_dir.keep(_PROVEN, {"by": by})

    def _watch_over(self, notebook: Notebook, wanted: Assignment) -> NoReturn:
        silent_since = self._clock()
        while True:
            self._seeding.under_way()
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

    def _leave(self, within_s: float) -> NoReturn:
        """End what runs for the user, have everything written out, let go of the home, and say so until the end."""
        log.info("the hub wants this instance to leave within %.0f s", within_s)
        until = self._clock() + within_s
        self.end_processes(min(GRACE_S, within_s / 3), min(KILLING_S, within_s / 6))
        self._home.let_go(until)
        self._data.let_go()
        self._run_dir.keep(_LEFT, {"home": self._home.report()["state"]})
        self._stay_left()

    def _stay_left(self) -> NoReturn:
        self._stay(Stage("left", self._stage.assignment_id))

    def _fail(self, problem: str, detail: str) -> NoReturn:
        """Say so, and keep saying so, until the hub ends this attempt."""
        log.info("failed: %s", problem)
        self._stay(Stage("failed", self._stage.assignment_id, problem, " ".join(detail.split())[:500]))

    def _stay(self, stage: Stage) -> NoReturn:
        self._stage = stage
        self._report()
        while True:
            processes.reap()
            self._report_if_due()
            self._sleep(TICK_S)

    def _say(self, stage: str) -> None:
        log.info("stage: %s", stage)
        self._stage = Stage(stage, self._stage.assignment_id)
        self._report()

    def _meanwhile(self) -> None:
        """Report while something is done that must not be broken off; what the hub orders is done afterwards."""
        if self._held is None:
            try:
                self._report_if_due()
            except (Ended, Leave) as order:
                self._held = order

    def _report_if_due(self) -> None:
        heard = self._word is not None and self._word.heard()
        if heard or self._talk.report_is_due() or self._saving.has_news():
            self._report()

    def _report(self) -> None:
        answer = self._talk.report(self._message())
        if answer is not None:
            self._run_dir.publish("lease", assignment.lease_from_json(answer.get("lease")))
            self._saving.obey(answer)
            if not self._saving.word():
                self._usual_report_s = self._talk.report_s
            within_s = assignment.leave_from_json(answer)
            if within_s is not None and self._stage.name != "left":
                raise Leave(min(max(within_s, LEAST_LEAVE_S), MOST_LEAVE_S))

    def _message(self) -> Mapping[str, Any]:
        gpus = self._gpus.now()
        self._home.look()
        self._publish(gpus)
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
            "detail": self._stage.detail or " ".join(self._shortcomings())[:500],
            "health": vitals.health(self._home.usage_gb, gpus),
            "activity": self._activity.to_json(self._clock()),
            "notebook": {
                "alive": notebook is not None and notebook.alive(),
                "restarts": 0 if notebook is None else notebook.restarts,
            },
            "home": self._home.report(),
            "saving": self._saving.word(),
        }

    def _publish(self, gpus: list[vitals.Gpu]) -> None:
        """For the page of the user's own server. Anybody who reaches that can read it: figures and our own words."""
        home = self._home.report()
        notices = [*self._home.notices(), *self._shortcomings()]
        figures = {name: home[name] for name in ("state", "used_gb", "total_gb")}
        self._run_dir.publish("home", {**figures, "notices": notices})
        self._run_dir.publish("gpus", {"gpus": [vars(each) for each in gpus]})

    def _shortcomings(self) -> list[str]:
        """What the user was to have and has not."""
        return [*self._data.notices, *([self._seeding.notice] if self._seeding.notice else [])]
