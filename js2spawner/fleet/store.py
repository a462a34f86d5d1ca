"""The hub's own table of attempts, written by one thread so that the event loop never waits for a disk.

Writes that arrive while one is under way go into the next transaction together: a class that starts at nine costs few
commits. `saved()` is the barrier the fleet waits at before it asks a cloud for anything that must not be forgotten.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, delete, event, insert, make_url, select, update
from sqlalchemy.exc import SQLAlchemyError

from js2spawner.fleet.records_json import dump, load, state_name
from js2spawner.fleet.tables import attempts, timings
from js2spawner.instance import Record

T = TypeVar("T")

_KEEP_ENDED_S = 30 * 24 * 3600.0
_KEEP_TIMINGS_S = 90 * 24 * 3600.0


class StoreFailed(RuntimeError):
    """The database could not be read or written. The message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one stage of one finished start took."""

    image: str
    flavor: str
    stage: str
    seconds: float
    at: float


class Store:
    """Attempts and timings of one hub in one database. `url` is SQLAlchemy's; SQLite files are made 0600."""

    def __init__(self, url: str, hub_id: str, *, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self.hub_id = hub_id
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="js2-store")
        self._engine: Engine | None = None
        self._records: dict[str, Record] = {}
        self._timings: list[Timing] = []
        self._writing: asyncio.Task[None] | None = None
        # Counts of puts and of those that are committed: saved() waits for its own, not for everybody's after it.
        self._asked = 0
        self._written = 0

    async def open(self) -> tuple[list[Record], list[Timing]]:
        """Bring the schema up to date; give the attempts that are not over and the timings to learn from."""
        return await self._run(self._open)

    def put(self, *records: Record) -> None:
        """Have these records written soon; the newest version of each wins."""
        for record in records:
            self._records[record.attempt_id] = record
        self._asked += 1
        self._ensure_writing()

    def put_timings(self, rows: Sequence[Timing]) -> None:
        """Have these timings written soon."""
        self._timings.extend(rows)
        self._asked += 1
        self._ensure_writing()

    async def saved(self) -> None:
        """Wait until all that was put before now is committed. Raises StoreFailed; a later write tries it again."""
        mine = self._asked
        while self._written < mine:
            self._ensure_writing()
            assert self._writing is not None
            await asyncio.shield(self._writing)

    async def find(self, attempt_id: str) -> Record | None:
        """The stored record of an attempt, over or not."""
        return await self._run(lambda: self._find(attempt_id))

    async def close(self) -> None:
        """Write what is left and let go of the database."""
        try:
            await self.saved()
        finally:
            if self._engine is not None:
                self._engine.dispose()
            self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except SQLAlchemyError as error:
            # The statement's parameters hold records, and those a token: only the driver's own sentence goes on.
            reason = str(getattr(error, "orig", None) or type(error).__name__)
            raise StoreFailed(f"the hub's own table at {make_url(self.url)!r} cannot be used: {reason}") from None

    def _ensure_writing(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
            self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _write_all(self) -> None:
        while self._records or self._timings:
            records, self._records = self._records, {}
            rows, self._timings = self._timings, []
            asked = self._asked
            try:
                await self._run(lambda records=records, rows=rows: self._write(records, rows))  # type: ignore[misc]
            except StoreFailed:
                self._records = {**records, **self._records}
                self._timings = rows + self._timings
                raise
            self._written = asked

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _open(self) -> tuple[list[Record], list[Timing]]:
        engine = self._engine = _engine(self.url)
        with engine.begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(files("js2spawner.fleet") / "migrations"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        now = self._clock()
        with engine.begin() as connection:
            connection.execute(
                delete(attempts).where(attempts.c.state == "Ended", attempts.c.changed_at < now - _KEEP_ENDED_S)
            )
            connection.execute(delete(timings).where(timings.c.at < now - _KEEP_TIMINGS_S))
            live = connection.execute(
                select(attempts.c.record).where(attempts.c.hub_id == self.hub_id, attempts.c.state != "Ended")
            )
            records = [load(row.record) for row in live]
            learned = connection.execute(select(timings).order_by(timings.c.at.desc()).limit(2000))
            rows = [Timing(row.image, row.flavor, row.stage, row.seconds, row.at) for row in learned]
        return records, rows[::-1]

    def _find(self, attempt_id: str) -> Record | None:
        assert self._engine is not None
        with self._engine.connect() as connection:
            row = connection.execute(select(attempts.c.record).where(attempts.c.attempt_id == attempt_id)).first()
        return load(row.record) if row else None

    def _write(self, records: Mapping[str, Record], rows: Sequence[Timing]) -> None:
        assert self._engine is not None
        now = self._clock()
        with self._engine.begin() as connection:
            for attempt_id, record in records.items():
                values = {
                    "hub_id": self.hub_id,
                    "owner": str(record.owner),
                    "state": state_name(record),
                    "changed_at": now,
                    "record": dump(record),
                }
                changed = connection.execute(
                    update(attempts).where(attempts.c.attempt_id == attempt_id).values(**values)
                )
                if changed.rowcount == 0:
                    connection.execute(insert(attempts).values(attempt_id=attempt_id, **values))
            if rows:
                connection.execute(
                    insert(timings),
                    [
                        {"image": t.image, "flavor": t.flavor, "stage": t.stage, "seconds": t.seconds, "at": t.at}
                        for t in rows
                    ],
                )


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True, pool_size=1, max_overflow=0, hide_parameters=True)
    if parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)
    engine = create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _durable(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL, not NORMAL: a promise that a power cut can undo is none.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    return engine
