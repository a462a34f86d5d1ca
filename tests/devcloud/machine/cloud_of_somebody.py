"""Run by test_unprivileged.py as an ordinary account: boot one machine, look at it, destroy it, say what was seen."""

import asyncio
import json
import logging
import os
import urllib.request
from pathlib import Path

from js2spawner.devcloud.hypervisor import MachineSpec
from js2spawner.devcloud.machine import Machines
from js2spawner.devcloud.machine.inside.processes import descendants

ADDRESS = "127.199.7.7"


async def main() -> None:
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("js2spawner").addHandler(handler)
    guest = Path(__file__).with_name("stub_guest.py")
    machines = Machines(Path.home() / "cloud", "http://127.0.0.1:9/metadata", guest=guest)
    await machines.start()
    print("they run as you" + heard[0].partition("they run as you")[2].rstrip("."))
    spec = MachineSpec(
        *("a1", "a1", ADDRESS, "fa:16:3e:00:00:01", "p", "i", "m3.tiny", 1, 1024, b"", {}, None, False, (), 0.0, False),
        gpu=None,
    )
    await machines.boot(spec)
    while "guest: here" not in machines.console("a1", None):
        await asyncio.sleep(0.05)
    print(machines.console("a1", 1), end="")
    with urllib.request.urlopen(f"http://{ADDRESS}:8888/", timeout=10) as answer:
        print("uid", json.load(answer)["uid"])
    await machines.destroy("a1")
    print("on" if machines.running("a1") else "off")
    await machines.shutdown()
    print("processes left:", len(descendants(os.getpid())))


asyncio.run(asyncio.wait_for(main(), 60))
