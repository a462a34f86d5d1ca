"""The hub's own tables, written by one thread so that the event loop never waits for a disk.

Writes that arrive together go into one transaction: a class that starts at nine costs few commits, and so do the last
stages of one start. `saved()` is the barrier the fleet waits at before it asks a cloud for anything that must not be
forgotten; what nobody waits for may come a moment later, since a hub that dies in between learns it again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, Table, TextClause, create_engine, delete, event, insert, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from js2spawner.fleet.records_json import UnknownRecord, dump, load, state_name
from js2spawner.fleet.tables import attempts, places, timings
from js2spawner.instance import Record

T = TypeVar("T")

_KEEP_ENDED_S = 30 * 24 * 3600.0
_SAVE_TIMEOUT_S = 30.0
# How long a change that nobody waits for may wait for others to be written with it.
_LINGER_S = 0.5
_KEEP_TIMINGS_S = 90 * 24 * 3600.0


def _keeping(table: Table, key: str) -> TextClause:
    """New or known, in one statement that SQLite and PostgreSQL read alike."""
    columns = table.c.keys()
    return text(
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)}) "  # noqa: S608
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in columns)}"
    )


# Made once: every start writes some ten records, and making it anew each time cost more than carrying it out.
_KEEP = _keeping(attempts, "attempt_id")
_KEEP_PLACE = _keeping(places, "place_id")


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


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """A place in the line; `candidates` and `wish` are JSON."""

    place_id: str
    owner: str
    since: float
    turn_at: float
    candidates: str
    wish: str


class Store:
    """Attempts, timings and places of one hub in one database. `url` is SQLAlchemy's; SQLite files are made 0600."""

    def __init__(self, url: str, hub_id: str, *, clock: Callable[[], float] = time.time) -> None:
        self.url = url
        self.hub_id = hub_id
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="js2-store")
        self._engine: Engine | None = None
        self._records: dict[str, Record] = {}
        self._timings: list[Timing] = []
        self._places: dict[str, KeptPlace | None] = {}
        self._writing: asyncio.Task[None] | None = None
        # Counts of puts and of those that are committed: saved() waits for its own, not for everybody's after it.
        self._asked = 0
        self._written = 0
        self._awaited = 0
        self._urgent = asyncio.Event()

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
        if not rows:
            return
        self._timings.extend(rows)
        self._asked += 1
        self._ensure_writing()

    def put_place(self, place: KeptPlace) -> None:
        """Have this place written soon."""
        self._change_place(place.place_id, place)

    def drop_place(self, place_id: str) -> None:
        """Have this place forgotten soon."""
        self._change_place(place_id, None)

    def _change_place(self, place_id: str, place: KeptPlace | None) -> None:
        self._places[place_id] = place
        self._asked += 1
        self._ensure_writing()

    async def places(self) -> list[KeptPlace]:
        """All places that are kept. Raises StoreFailed."""
        return await self._run(self._find_places)

    async def saved(self) -> None:
        """Wait until all that was put before now is committed. Raises StoreFailed; a later write tries it again."""
        mine = self._asked
        self._awaited = mine
        self._urgent.set()
        try:
            async with asyncio.timeout(_SAVE_TIMEOUT_S):
                while self._written < mine:
                    self._ensure_writing()
                    assert self._writing is not None
                    await asyncio.shield(self._writing)
        except TimeoutError:
            raise StoreFailed(f"{self._where} did not take a change within {_SAVE_TIMEOUT_S:.0f} s") from None

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
            raise StoreFailed(f"{self._where} cannot be used: {reason}") from None
        except CommandError as error:
            raise StoreFailed(f"{self._where} was made by another version of this hub: {error}") from None
        except OSError as error:
            raise StoreFailed(f"{self._where} cannot be used: {error.strerror}") from None

    @property
    def _where(self) -> str:
        return f"the hub's own table at {make_url(self.url)!r}"

    def _ensure_writing(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
            self._writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _write_all(self) -> None:
        while self._records or self._timings or self._places:
            await self._linger()
            records, self._records = self._records, {}
            rows, self._timings = self._timings, []
            changed, self._places = self._places, {}
            asked = self._asked
            try:
                await self._run(partial(self._write, records, rows, changed))
            except StoreFailed:
                self._records = {**records, **self._records}
                self._timings = rows + self._timings
                self._places = {**changed, **self._places}
                raise
            self._written = asked

    async def _linger(self) -> None:
        if self._awaited > self._written:
            return
        self._urgent.clear()
        # Not wait_for: in Python 3.11 it loses a cancellation that comes in the same moment as the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._urgent.wait()

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
            mine, ended = attempts.c.hub_id == self.hub_id, attempts.c.state == "Ended"
            connection.execute(delete(attempts).where(mine, ended, attempts.c.changed_at < now - _KEEP_ENDED_S))
            my_timings = timings.c.hub_id == self.hub_id
            connection.execute(delete(timings).where(my_timings, timings.c.at < now - _KEEP_TIMINGS_S))
            live = connection.execute(select(attempts.c.attempt_id, attempts.c.record).where(mine, ~ended))
            records = [self._load(row.attempt_id, row.record) for row in live]
            learned = connection.execute(select(timings).where(my_timings).order_by(timings.c.at.desc()).limit(2000))
            rows = [Timing(row.image, row.flavor, row.stage, row.seconds, row.at) for row in learned]
        return records, rows[::-1]

    def _find(self, attempt_id: str) -> Record | None:
        assert self._engine is not None
        wanted = select(attempts.c.record).where(attempts.c.hub_id == self.hub_id, attempts.c.attempt_id == attempt_id)
        with self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        return self._load(attempt_id, row.record) if row else None

    def _load(self, attempt_id: str, kept: str) -> Record:
        try:
            return load(kept)
        except UnknownRecord as error:
            raise StoreFailed(
                f"{self._where} has a record of attempt {attempt_id} that this version cannot read ({error}): "
                "run the version that wrote it until its instance has ended"
            ) from None

    def _find_places(self) -> list[KeptPlace]:
        assert self._engine is not None
        mine = select(places).where(places.c.hub_id == self.hub_id)
        with self._engine.connect() as connection:
            return [
                KeptPlace(row.place_id, row.owner, row.since, row.turn_at, row.candidates, row.wish)
                for row in connection.execute(mine)
            ]

    def _write(
        self, records: Mapping[str, Record], rows: Sequence[Timing], changed: Mapping[str, KeptPlace | None]
    ) -> None:
        assert self._engine is not None
        now = self._clock()
        with self._engine.begin() as connection:
            if records:
                connection.execute(_KEEP, [self._row(record, now) for record in records.values()])
            if rows:
                connection.execute(
                    insert(timings),
                    [
                        {
                            "hub_id": self.hub_id,
                            "image": t.image,
                            "flavor": t.flavor,
                            "stage": t.stage,
                            "seconds": t.seconds,
                            "at": t.at,
                        }
                        for t in rows
                    ],
                )
            if kept := [place for place in changed.values() if place is not None]:
                connection.execute(_KEEP_PLACE, [{"hub_id": self.hub_id, **asdict(place)} for place in kept])
            if dropped := [place_id for place_id, place in changed.items() if place is None]:
                connection.execute(delete(places).where(places.c.place_id.in_(dropped)))

    def _row(self, record: Record, now: float) -> dict[str, object]:
        return {
            "attempt_id": record.attempt_id,
            "hub_id": self.hub_id,
            "owner": str(record.owner),
            "state": state_name(record),
            "changed_at": now,
            "record": dump(record),
        }


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # A database that is switched off without a word would else be waited for by every stop and every hello.
        patience = {"connect_timeout": 10, "options": "-c statement_timeout=10000"}
        if parsed.get_backend_name() != "postgresql":
            patience = {}
        return create_engine(
            url, pool_pre_ping=True, pool_size=1, max_overflow=0, hide_parameters=True, connect_args=patience
        )
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
