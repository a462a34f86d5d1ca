"""Power on: `python -m inside SERVER_ID`, with the plan on standard input.

Says "on" on standard output once the machine is there, or why it cannot be, and closes it. Runs until the machine is
off. The argument is for people who read `ps`.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path

from .console import Console
from .guard import Guard, control_socket
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


def enter_private_view(plan: Plan) -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    sethostname(plan.hostname)
    make_view(plan)
    keep_capabilities(frozenset(KEPT_CAPABILITIES.values()))


def divide(plan: Plan) -> int | None:
    """Become two: the guard, which returns the machine's exit code when it is off, and the first process (None).

    The guard serves requests from within the view, and the first process starts nothing before they are served.
    """
    control = control_socket(Path(plan.directory))
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC)
    # Who stands in the root of the host stands in that of the view once it has changed places (pivot_root(2)).
    os.chdir("/")
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child:
        theirs.close()
        say("")
        if not ours.recv(1):
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Guard(child, control, dict(plan.disks), serving=lambda: ours.send(b"1")).run()
    ours.close()
    enter_private_view(plan)
    for _, descriptor in plan.disks:
        os.close(descriptor)
    control.close()
    theirs.send(b"1")
    theirs.recv(1)
    theirs.close()
    return None


def main() -> int:
    plan = Plan.from_json(sys.stdin.read())
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        console = Console(Path(plan.directory, "console.log"))
        if plan.private:
            code = divide(plan)
            if code is not None:
                return code
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
