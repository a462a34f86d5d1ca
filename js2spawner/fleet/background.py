"""Work that goes on beside the event loop's callers: kept alive, told of when it fails, ended together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine


class Background:
    """The tasks of one owner. A task that nobody holds may be collected in the middle of its work, so all are held."""

    def __init__(self, log: logging.Logger | logging.LoggerAdapter[logging.Logger]) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None], what: str) -> None:
        """Begin `work`; a failure is logged with `what` it was."""
        task = asyncio.get_running_loop().create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def end(self) -> None:
        """Cancel everything and wait until it has ended."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.error("%s failed: %s", task.get_name(), error, exc_info=error)
