"""What the instance of a base without a guest program is booted with: `python -I building.py FOLDER`.

No more than it takes to say hello and to carry out steps, since all of it has to fit into user-data; the rest of the
guest program comes into the image by one of the steps. Nothing is kept but in FOLDER, which is in memory.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

METADATA = "http://169.254.169.254"
STOPPED, MISUSED, REFUSED = 0, 2, 3


class Terminated(BaseException):
    """SIGTERM arrived."""


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def main(folder: Path, part: Callable[[str], Any], metadata: str = METADATA, source: str = "") -> int:
    """Be built on until the builder ends it; `part` gives a module of the guest program by name."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="js2: %(message)s")
    signal.signal(signal.SIGTERM, _terminated)
    talk, seed = part("talk"), _seed(part, metadata, source)
    channel = part("channel").Channel(seed.hub_host, seed.hub_port, seed.authority, source)
    identity = part("identity").Identity(folder / "state")
    line = talk.Talk(seed, channel, identity.credential(seed.attempt), time.monotonic, time.sleep)
    try:
        line.hello()
        given = line.await_assignment()
        provision = part("provision")
        if not provision.is_step(given):
            return MISUSED
        run_dir = part("rundir").RunDir(folder / "run")
        provision.Provision(line, run_dir, identity, time.monotonic, time.sleep).run(given)
    except talk.Refused:
        return REFUSED
    except (talk.Ended, Terminated):
        pass
    finally:
        channel.close()
    return STOPPED


def _seed(part: Callable[[str], Any], metadata: str, source: str) -> Any:
    """Try until the metadata service answers; cloud-init has reached it before us."""
    seeds, backoff = part("seed"), part("channel").Backoff()
    while True:
        try:
            return seeds.from_metadata_service(metadata, source)
        except seeds.NoSeed:
            time.sleep(backoff.next_s())


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path.append(str(here.parent))
    sys.exit(main(Path(sys.argv[1]), lambda name: importlib.import_module(f"{here.name}.{name}"), *sys.argv[2:4]))
