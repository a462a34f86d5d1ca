"""One run of the demo: check, start, tell, keep alive until somebody asks to stop, leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import js2spawner
from js2spawner.demo.children import ChildFailed, ChildPlan, Children, Patience
from js2spawner.demo.directory import held, put_logs_aside, read_settings, this_machine, write_settings
from js2spawner.demo.node import OLDEST_MAJOR, find_node, find_proxy
from js2spawner.demo.plan import Files, Programs, catalog_of, plans, with_regions
from js2spawner.demo.settings import REGIONS, Asked, DemoError, DemoSettings, settle

Say = Callable[[str], None]


def run(asked: Asked, directory: Path, say: Say) -> None:
    """Run the demo in `directory` until SIGINT, SIGTERM or SIGHUP. Raises DemoError for what its user can put right."""
    programs = find_programs()
    files = Files(directory.resolve())
    with held(files) as lock:
        settings = settle(read_settings(files), asked, this_machine())
        write_settings(files, settings)
        if settings.regions < len(REGIONS):
            whole = catalog_of(programs.root).read_text(encoding="utf-8")
            files.catalog.write_text(with_regions(whole, REGIONS[: settings.regions]), encoding="utf-8")
        put_logs_aside(files)
        children = Children(say=say, patience=Patience(), held_files=(lock,))
        in_order = plans(settings, files, programs, os.environ)
        try:
            asyncio.run(attend(children, in_order, say, ready=lambda: say(welcome(settings, files))))
        except ChildFailed as problem:
            raise DemoError(str(problem)) from None


def find_programs() -> Programs:
    """Raises DemoError when the tree, the Node or the proxy the demo needs is missing."""
    root = Path(js2spawner.__file__).resolve().parent.parent
    if not (root / "jupyterhub_config.py").is_file():
        raise DemoError(
            f"The demo runs from the project's source tree, and {root} is none; clone it and run make demo."
        )
    node, proxy = find_node(), find_proxy(root)
    if node is None or not node.new_enough:
        raise DemoError(
            f"The proxy needs Node {OLDEST_MAJOR} or newer, and none was found; run make install in {root}."
        )
    if proxy is None:
        raise DemoError(f"configurable-http-proxy was not found; run make install in {root}.")
    return Programs(python=sys.executable, node=node.program, proxy=proxy, root=root)


async def attend(children: Children, in_order: Sequence[ChildPlan], say: Say, ready: Callable[[], None]) -> None:
    """Start the children, call `ready`, and keep them alive until a signal. However this ends, so do they."""
    ended_by_signal = _stop_on_signals(children, say)
    try:
        for plan in in_order:
            say(f"Starting the {plan.name} …")
            await children.start(plan)
        ready()
        await children.watch()
    except asyncio.CancelledError:
        if not ended_by_signal():
            raise
    finally:
        await children.stop()
    say("Stopped. No process is left; a new start with the same directory goes on from here.")


def _stop_on_signals(children: Children, say: Say) -> Callable[[], bool]:
    """The first signal cancels the current task, which then ends the children; further ones make that quick."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("signals are caught for a task, and none is running")
    seen = False

    def on_signal() -> None:
        nonlocal seen
        if seen:
            children.hurry()
            return
        seen = True
        say("Stopping …")
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return lambda: seen


def welcome(settings: DemoSettings, files: Files) -> str:
    admin, *others = settings.users
    people = f"{admin} (an admin)" + "".join(f", {name}" for name in others)
    return "\n".join(
        [
            "",
            f"The hub is ready:  {settings.address}",
            f"Sign in as         {people}",
            f"with the password  {settings.password}",
            f"REST API token     in {files.api_token}",
            f"The cloud          OS_CLIENT_CONFIG_FILE={files.clouds_yaml} openstack --os-cloud devcloud server list",
            f"Logs               {files.logs}",
            "Stop it with Ctrl-C; the next start in the same directory finds homes and settings again.",
        ]
    )
