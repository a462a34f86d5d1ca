"""The cloud's memory: every record in a dictionary, every change on disk before its answer leaves.

Reading costs a dictionary look-up, so a list of hundreds of servers needs no query. Writing marks a record; `flush`
commits all marked ones in a thread, and callers that flush at the same time share a commit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pydantic import TypeAdapter
from sqlalchemy import Column, MetaData, String, Table, Text, create_engine, delete, select, text
from sqlalchemy.dialects.sqlite import insert

from js2spawner.devcloud import records


class Stored(Protocol):
    """Anything with an `id` that is unique within its class."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Stored)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        records.Setup,
        records.Project,
        records.User,
        records.AppCredential,
        records.Token,
        records.Image,
        records.SpentImage,
        records.Keypair,
        records.Network,
        records.Subnet,
        records.Port,
        records.SecurityGroup,
        records.FloatingIp,
        records.Volume,
        records.Snapshot,
        records.Share,
        records.Quota,
        records.Server,
    )
}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for name, kind in _KINDS.items()}
_ROWS = Table(
    "records",
    MetaData(),
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("body", Text, nullable=False),
)


_OF_ALL_REGIONS = ("Project", "User", "AppCredential", "Token")


class Store:
    """All records of one cloud. Made by `Store(path)`; reading the file happens in `load`.

    With `people` another region's store has what belongs to Keystone, and this one only shows it.
    """

    def __init__(self, path: Path, people: Store | None = None) -> None:
        self._path = path
        self._people = people
        self._records: dict[str, dict[str, Any]] = {name: {} for name in _KINDS}
        self._marked: dict[tuple[str, str], Any | None] = {}
        self._flushing = asyncio.Lock()
        self._engine = create_engine(f"sqlite:///{path}")

    def load(self) -> None:
        """Read everything. Called once, before the cloud answers. Creates the file readable by its owner only."""
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        _ROWS.metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            for kind, key, body in connection.execute(select(_ROWS).order_by(text("rowid"))):
                self._records[kind][key] = _ADAPTERS[kind].validate_json(body)

    def _home(self, kind: str) -> Store:
        return self._people if self._people is not None and kind in _OF_ALL_REGIONS else self

    def get(self, kind: type[R], key: str) -> R | None:
        return cast("R | None", self._home(kind.__name__)._records[kind.__name__].get(key))

    def all(self, kind: type[R]) -> Iterable[R]:
        """Every record of a class, oldest first."""
        return tuple(self._home(kind.__name__)._records[kind.__name__].values())

    def put(self, record: R) -> R:
        kind = type(record).__name__
        home = self._home(kind)
        home._records[kind][record.id] = record
        home._marked[kind, record.id] = record
        return record

    def remove(self, record: Stored) -> None:
        kind = type(record).__name__
        home = self._home(kind)
        home._records[kind].pop(record.id, None)
        home._marked[kind, record.id] = None

    def clear(self, *, keep: tuple[type[Any], ...]) -> None:
        """Forget every record but those of the classes to `keep`."""
        kept = {kind.__name__ for kind in keep}
        for name, kind in self._records.items():
            for record in tuple(kind.values()) if name not in kept else ():
                self.remove(record)

    async def flush(self) -> None:
        """Return once all that was changed before the call is on disk."""
        if not self._marked and not self._flushing.locked():
            return
        async with self._flushing:
            if marked := self._marked:
                self._marked = {}
                try:
                    await asyncio.to_thread(self._write, marked)
                except BaseException:
                    self._marked = marked | self._marked
                    raise

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self._write(self._marked)
        self._marked = {}
        self._engine.dispose()

    def _write(self, marked: dict[tuple[str, str], Any | None]) -> None:
        with self._engine.begin() as connection:
            for (kind, key), record in marked.items():
                if record is None:
                    connection.execute(delete(_ROWS).where(_ROWS.c.kind == kind, _ROWS.c.id == key))
                else:
                    row = {"kind": kind, "id": key, "body": _ADAPTERS[kind].dump_json(record).decode()}
                    connection.execute(
                        insert(_ROWS).values(row).on_conflict_do_update(index_elements=["kind", "id"], set_=row)
                    )
