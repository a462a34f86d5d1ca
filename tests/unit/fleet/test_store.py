"""The hub's own table: what is promised is on disk, and what is on disk comes back as it was."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from js2spawner.failures import failure
from js2spawner.fleet.records_json import UnknownRecord, dump, load
from js2spawner.fleet.store import KeptPlace, Store, StoreFailed, Timing
from js2spawner.instance import Ended, Ending, Leaving, Record
from tests.unit.lives import (
    ADDRESS,
    SERVER_ID,
    T0,
    assigned,
    at_home,
    booting,
    building,
    greeted,
    record,
    returning,
    running,
    shelved,
    shelving,
)


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'js2.sqlite'}"


@pytest.mark.parametrize(
    "rec",
    [
        record(),
        building(),
        booting(),
        greeted(),
        assigned("gpu"),
        replace(running(), api_token="token", unclaimed_since=T0, extensions=1, extended_s=600.0),
        record(Ending(T0, failure("quota", "cores"), SERVER_ID, T0 + 1)),
        at_home(record(Leaving(T0, failure("stopped"), SERVER_ID, ADDRESS, "channel-hash", "shelve"))),
        at_home(shelving(asked_at=T0), idle="shelve"),
        shelved(),
        returning(asked_at=T0, asked=2),
    ],
)
def test_a_record_comes_back_as_it_was(rec: Record) -> None:
    assert load(dump(rec)) == rec


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', "[1]", '{"version": 1, "plan": {}}'])
def test_a_row_of_another_shape_is_refused_loudly(text: str) -> None:
    with pytest.raises(UnknownRecord):
        load(text)


def test_a_record_never_shows_its_token() -> None:
    assert "hunter2" not in repr(replace(running(), api_token="hunter2"))


async def test_what_was_saved_is_found_by_the_next_process(tmp_path: Path) -> None:
    first = Store(url(tmp_path), "hub-1")
    await first.open()
    first.put(building())
    first.put(replace(building(), attempt_id="b", state=Ended(T0, failure("stopped"))))
    await first.saved()
    # No close(): the process is gone.
    second = Store(url(tmp_path), "hub-1")
    records, _ = await second.open()
    assert records == [building()]
    ended = await second.find("b")
    assert ended is not None
    assert isinstance(ended.state, Ended)
    await second.close()


async def test_the_newest_version_of_a_record_wins(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    for rec in (record(), building(), booting()):
        store.put(rec)
    await store.saved()
    assert await store.find(record().attempt_id) == booting()
    await store.close()


async def test_two_hubs_in_one_database_see_only_their_own(tmp_path: Path) -> None:
    mine, other = Store(url(tmp_path), "hub-1"), Store(url(tmp_path), "hub-2")
    await mine.open()
    mine.put(running())
    await mine.saved()
    assert (await other.open())[0] == []
    await mine.close()
    await other.close()


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    assert stat.S_IMODE((tmp_path / "js2.sqlite").stat().st_mode) == 0o600
    await store.close()


async def test_an_unusable_database_is_one_clear_sentence_without_a_password(tmp_path: Path) -> None:
    store = Store("postgresql+psycopg://js2:hunter2@127.0.0.1:1/none", "hub-1")
    with pytest.raises(StoreFailed, match=r"127\.0\.0\.1:1/none") as caught:
        await store.open()
    assert "hunter2" not in str(caught.value)


async def test_a_write_that_failed_is_kept_and_tried_again(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    real, store._engine = store._engine, Store("sqlite:////nowhere/at/all", "x")._engine
    store._write = lambda *_: (_ for _ in ()).throw(StoreFailed("disk"))  # type: ignore[method-assign]
    store.put(building())
    with pytest.raises(StoreFailed):
        await store.saved()
    store._engine = real
    del store._write
    await store.saved()
    assert await store.find(building().attempt_id) == building()
    await store.close()


async def test_a_row_of_another_version_is_one_clear_sentence_with_its_attempt(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    store.put(building())
    await store.saved()
    await store.close()
    with sqlite3.connect(tmp_path / "js2.sqlite") as database:
        database.execute("UPDATE js2_attempt SET record = replace(record, '\"version\":1', '\"version\":9')")
    with pytest.raises(StoreFailed, match=building().attempt_id):
        await Store(url(tmp_path), "hub-1").open()


async def test_nothing_to_write_is_nothing_to_wait_for(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    store.put_timings([])
    await asyncio.wait_for(store.saved(), 5)
    await store.close()


async def test_timings_come_back_oldest_first(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1", clock=lambda: T0)
    await store.open()
    rows = [Timing("minimal", "m3.small", "boot", float(n), T0 + n) for n in range(3)]
    store.put_timings(rows)
    await store.saved()
    await store.close()
    again = Store(url(tmp_path), "hub-1", clock=lambda: T0)
    assert (await again.open())[1] == rows
    await again.close()


async def test_changes_that_nobody_waits_for_share_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    written: list[list[Record]] = []
    write = store._write
    monkeypatch.setattr(
        store, "_write", lambda records, *others: (written.append(list(records.values())), write(records, *others))
    )
    for rec in (building(), booting(), greeted()):
        store.put(rec)
        # Long enough for a writer that does not wait for more.
        await asyncio.get_running_loop().run_in_executor(store._thread, lambda: None)
    await store.saved()
    assert written == [[greeted()]]


async def test_a_change_that_nobody_waits_for_is_written_all_the_same(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    store.put(building())
    async with asyncio.timeout(30):
        while await store.find(building().attempt_id) is None:
            await asyncio.sleep(0.02)
    await store.close()


async def test_places_in_the_line_are_kept_changed_and_dropped(tmp_path: Path) -> None:
    store = Store(url(tmp_path), "hub-1")
    await store.open()
    place = KeptPlace("p1", "alice", 1.0, 2.0, "[]", "{}")
    store.put_place(place)
    store.put_place(replace(place, place_id="p2"))
    store.put_place(replace(place, turn_at=3.0))
    await store.saved()
    store.drop_place("p2")
    await store.close()
    again = Store(url(tmp_path), "hub-1")
    await again.open()
    assert await again.places() == [replace(place, turn_at=3.0)]
    await again.close()
    other = Store(url(tmp_path), "hub-2")
    await other.open()
    assert await other.places() == []
    await other.close()
