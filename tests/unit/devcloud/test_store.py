from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from js2spawner.devcloud.records import Behaviour, Flavor, Interface, Operation, Project, Server, WantedInterface
from js2spawner.devcloud.store import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
SERVER = Server(
    id="s",
    number=1,
    project_id="p",
    user_id="u",
    name="n",
    hostname="n",
    flavor=Flavor("f", "m3.tiny", 1, 3072, 20, 1.0, extra_specs={"a": "b"}),
    image_id="i",
    created=NOW,
    updated=NOW,
    reservation_id="r",
    tags=("a", "b"),
    metadata={"k": "v"},
    wanted=(WantedInterface("net"),),
    interfaces=(Interface("p", "n", "net", "s", "127.16.0.2", "fa:16:3e:00:00:01"),),
    operation=Operation("req", "create", 2, {"a": "b"}),
    behaviour=Behaviour(stuck="spawning", boot_seconds=2.5),
)


def store(path: Path) -> Store:
    made = Store(path / "state.sqlite")
    made.load()
    return made


async def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.put(SERVER)
    await first.flush()
    second = store(tmp_path)
    assert second.get(Server, "s") == SERVER
    first.close()
    second.close()


async def test_records_keep_their_order_when_changed(tmp_path: Path) -> None:
    first = store(tmp_path)
    for number in range(3):
        first.put(Project(str(number), "old"))
    await first.flush()
    first.put(Project("0", "new"))
    first.close()
    second = store(tmp_path)
    assert [(each.id, each.name) for each in second.all(Project)] == [("0", "new"), ("1", "old"), ("2", "old")]
    second.close()


async def test_flush_returns_only_when_an_earlier_callers_change_is_written_too(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.put(SERVER)
    earlier = asyncio.create_task(first.flush())
    await asyncio.sleep(0)
    await first.flush()
    assert store(tmp_path).get(Server, "s") == SERVER
    await earlier
    first.close()


async def test_what_is_removed_or_cleared_is_gone(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.put(SERVER)
    first.put(replace(SERVER, id="t"))
    first.put(Project("p", "kept"))
    await first.flush()
    first.remove(SERVER)
    first.clear(keep=(Project,))
    await first.flush()
    second = store(tmp_path)
    assert (list(second.all(Server)), [each.id for each in second.all(Project)]) == ([], ["p"])
    first.close()
    second.close()
