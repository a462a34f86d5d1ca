"""What the instance of a base without a guest program is booted with: `python -I building.py FOLDER`.

No more than it takes to say hello and to carry out steps, since all of it has to fit into user-data; the rest of the
guest program comes into the image by one of the steps. Nothing is kept but in FOLDER, which is in memory.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

STOPPED, MISUSED, REFUSED = 0, 2, 3


class Terminated(BaseException):
    """SIGTERM arrived."""


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def main(options: argparse.Namespace, part: Callable[[str], Any]) -> int:
    """Be built on until the builder ends it; `part` gives a module of the guest program by name."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="js2: %(message)s")
    signal.signal(signal.SIGTERM, _terminated)
    talk, seed = part("talk"), _seed(options, part)
    channel = part("channel").Channel(seed.hub_host, seed.hub_port, seed.authority, options.source_address)
    identity = part("identity").Identity(options.folder / "state")
    line = talk.Talk(seed, channel, identity.credential(seed.attempt), time.monotonic, time.sleep)
    try:
        line.hello()
        given = line.await_assignment()
        provision = part("provision")
        if not provision.is_step(given):
            return MISUSED
        run_dir = part("rundir").RunDir(options.folder / "run")
        provision.Provision(line, run_dir, identity, time.monotonic, time.sleep).run(given)
    except talk.Refused:
        return REFUSED
    except (talk.Ended, Terminated):
        pass
    finally:
        channel.close()
    return STOPPED


def _seed(options: argparse.Namespace, part: Callable[[str], Any]) -> Any:
    """Try until it can be read; cloud-init has read it before us."""
    seeds, backoff = part("seed"), part("channel").Backoff()
    while True:
        try:
            if options.config_drive is not None:
                return seeds.from_config_drive(options.config_drive)
            return seeds.from_metadata_service(options.metadata_url, options.source_address)
        except seeds.NoSeed:
            time.sleep(backoff.next_s())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="building.py", description="An instance that becomes an image.")
    parser.add_argument("folder", type=Path, help="where it keeps what it needs, in memory")
    parser.add_argument("--config-drive", type=Path, metavar="DIR", help="read it instead of the metadata service")
    parser.add_argument("--metadata-url", default="http://169.254.169.254", help="the service (default: %(default)s)")
    parser.add_argument("--source-address", default="", metavar="IP", help="bind outgoing connections to this address")
    return parser.parse_args()


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    # Last, so that no neighbour of the folder can stand in for a module of the standard library.
    sys.path.append(str(here.parent))
    sys.exit(main(_options(), lambda name: importlib.import_module(f"{here.name}.{name}")))
