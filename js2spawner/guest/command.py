"""The agent's command line: options, the log on the console, signals, exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import VERSION, launch, standby
from . import seed as seeds
from .channel import SOON_S, Backoff, Channel
from .disks import Disks
from .identity import Identity
from .life import Life
from .machine import Machine
from .rundir import RunDir, UnsafeRunDir
from .saving import Saving
from .seed import NoSeed, Seed
from .standby import Standby
from .system import SYSTEM_PATH, CannotRun, run
from .talk import Refused, Talk
from .word import Word

log = logging.getLogger("js2")

STOPPED, FAILED, MISUSED, REFUSED = 0, 1, 2, 3
LONGEST_PAUSE_S = 30.0
ASK_SYSTEM_S = 10.0
# A drive that is mounted a moment later must not wait for a pause that a metadata service asks for.
LONGEST_SEED_PAUSE_S = 2.0
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Terminated(BaseException):
    """SIGTERM or SIGINT arrived; raised wherever the one thread is waiting."""


def main(argv: Sequence[str]) -> int:
    """Run the agent.

    0: the hub ended the attempt. 1: something failed that may pass. 2: cannot run like this. 3: the hub will never
    accept us.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="js2: %(message)s")
    if not options.unprivileged and os.geteuid() != 0:
        return _misused("the agent needs root to make accounts; use --unprivileged to run everything as yourself.")
    if options.unprivileged and os.geteuid() == 0:
        return _misused("--unprivileged is not for root: the server would run as root.")
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, _terminated)
    os.umask(0o022)
    log.info("guest %s", VERSION)
    try:
        return _live(options, *_places(options))
    except UnsafeRunDir as problem:
        return _misused(str(problem))
    except OSError as problem:
        # A disk that is full, say: with this status the service manager starts another agent, which goes on.
        sys.stderr.write(f"js2: {problem.strerror or type(problem).__name__}: {problem.filename or 'no file'}\n")
        return FAILED
    except Refused as problem:
        log.info("%s; this instance is of no use", problem)
        return REFUSED
    except Terminated:
        return STOPPED


def _places(options: argparse.Namespace) -> tuple[RunDir, Identity]:
    try:
        return RunDir(options.run_dir), Identity(options.state_dir)
    except OSError as problem:
        raise UnsafeRunDir(f"{problem.strerror}: {problem.filename}") from problem


def _live(options: argparse.Namespace, run_dir: RunDir, identity: Identity) -> int:
    if options.unprivileged:
        # What outlives its parent comes to us instead of to init: there is no account to find it by.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # First of all: importing takes longer than all else, and can be done while the network comes up.
    waiting = None
    if options.preload and run_dir.kept("assignment") is None:
        waiting = standby.begin(launch.search_path(os.environ), time.monotonic)
    try:
        return _serve(options, run_dir, identity, waiting)
    finally:
        if waiting is not None:
            waiting.abandon()


def _serve(options: argparse.Namespace, run_dir: RunDir, identity: Identity, waiting: Standby | None) -> int:
    seed = _read_seed(options)
    channel = Channel(seed.hub_host, seed.hub_port, seed.authority, options.source_address)
    saving = Saving(identity, run_dir, seed.attempt, time.monotonic)
    talk = Talk(seed, channel, saving.credential, time.monotonic, time.sleep)
    # A line of its own: the hub keeps a question waiting there while reports go on.
    word = Word(Channel(seed.hub_host, seed.hub_port, seed.authority, options.source_address), talk.bearer)
    machine = _machine(options)
    life = Life(talk, run_dir, identity, saving, machine, waiting, word)
    try:
        life.run()
    except Terminated:
        # Perhaps a reboot: it must come back, and the hub throws the copy away that may hold the credential now.
        saving.be_ordinary()
        # As root only the agent stops (it may be replaced while the server runs on), unless the whole system does:
        # who is asked to end once there is no network any more may not, and is waited for (systemd: 90 s).
        if options.unprivileged or _system_stops():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            life.end_processes()
        raise
    finally:
        channel.close()
    if options.power_off and not options.unprivileged:
        _power_off()
    return STOPPED


def _system_stops() -> bool:
    """Whether the system is going down. Where there is no systemd it is not told from here."""
    with contextlib.suppress(CannotRun):
        return run("systemctl", "is-system-running", timeout_s=ASK_SYSTEM_S).said.strip() == "stopping"
    return False


def _machine(options: argparse.Namespace) -> Machine:
    disks = Disks(time.monotonic, time.sleep, options.disks)
    return Machine(time.monotonic, time.sleep, not options.unprivileged, disks)


def _read_seed(options: argparse.Namespace) -> Seed:
    """Try until there is a seed: drive, network and metadata service may come up after us."""
    backoff = Backoff(most_s=LONGEST_SEED_PAUSE_S if options.or_metadata else LONGEST_PAUSE_S)
    said = ""
    while True:
        try:
            return _find_seed(options)
        except NoSeed as problem:
            if str(problem) != said:
                said = str(problem)
                log.info("%s; trying again", said)
            time.sleep(SOON_S if problem.soon else backoff.next_s())


def _find_seed(options: argparse.Namespace) -> Seed:
    """From the config drive, or from the metadata service, or from whichever of them is there. Raises NoSeed."""
    if options.config_drive is not None:
        try:
            return seeds.from_config_drive(options.config_drive)
        except NoSeed:
            if not options.or_metadata:
                raise
    return seeds.from_metadata_service(options.metadata_url, options.source_address)


def _power_off() -> None:
    program = shutil.which("poweroff", path=SYSTEM_PATH)
    if program is None:
        log.info("this image has no poweroff; the hub deletes the instance")
        return
    os.sync()
    subprocess.run([program], timeout=60.0, check=False)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _misused(sentence: str) -> int:
    sys.stderr.write(f"js2: {sentence}\n")
    return MISUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agent.py", description="The js2spawner agent of one instance.")
    add = parser.add_argument
    add("--metadata-url", default="http://169.254.169.254", help="the metadata service (default: %(default)s)")
    add("--config-drive", type=Path, metavar="DIR", help="read a config drive instead of the metadata service")
    add(
        "--or-metadata",
        action="store_true",
        help="with --config-drive: ask the metadata service, too, until one is there",
    )
    add("--source-address", default="", metavar="IP", help="bind outgoing connections to this address")
    add("--run-dir", type=Path, default=Path("/run/js2"), metavar="DIR", help="own directory (default: %(default)s)")
    add(
        "--state-dir",
        type=Path,
        default=Path("/var/lib/js2"),
        metavar="DIR",
        help="what survives a reboot (default: %(default)s)",
    )
    add(
        "--disks",
        type=Path,
        metavar="DIR",
        help="find disks by the links in this folder and nowhere else (default: /dev/disk/by-id, and the kernel)",
    )
    add("--unprivileged", action="store_true", help="make no account; run the server as yourself (not root)")
    add("--preload", action="store_true", help="import the notebook server ahead of time, in a process that stands by")
    add("--power-off", action="store_true", help="turn the machine off when the hub ends the attempt")
    return parser
