"""Power on: `python -m inside SERVER_ID`, with the plan on standard input.

Says "on" on standard output once the machine is there, or why it cannot be, and closes it. Runs until the machine is
off. The argument is for people who read `ps`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

from .console import Console
from .init import Init
from .linux import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    KEPT_CAPABILITIES,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    keep_capabilities,
    prctl,
    sethostname,
    unshare,
)
from .plan import Plan
from .view import make_view


def say(word: str) -> None:
    """Our one answer to whoever powers the machine on; afterwards the pipe is gone."""
    os.write(1, word.encode(errors="replace"))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def guard(child: int) -> int:
    """Outside the PID namespace: pass signals on to its first process, wait for its end. Our death is its death.

    The kernel ends a namespace with its first process, and that process only after all others (pid_namespaces(7)).
    """
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGKILL))
    say("")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def enter_private_view(plan: Plan) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    sethostname(plan.hostname)
    make_view(plan)
    keep_capabilities(frozenset(KEPT_CAPABILITIES.values()))


def main() -> int:
    plan = Plan.from_json(sys.stdin.read())
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        console = Console(Path(plan.directory, "console.log"))
        if plan.private:
            unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
            if child := os.fork():
                return guard(child)
            enter_private_view(plan)
        else:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
    except OSError as problem:
        say(problem.strerror or str(problem))
        return 1
    init = Init(plan, console)
    say("on")
    init.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
