"""The list of servers and its actions over a real JupyterHub, with the fleet's records and the line behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.user import User
from tornado import web

from js2spawner.failures import failure
from js2spawner.handshake.messages import Activity, Gpu, Health, HomeReport, Report
from js2spawner.instance import HomeUse, Shelved
from js2spawner.servers_actions import NotNow, carry_out
from js2spawner.servers_seen import Servers
from js2spawner.servers_shown import row
from tests.unit.fleet.stand_ins import DEADLINE_S, eventually
from tests.unit.hubs import ALICE, CloudInMemory, Hub, hub_process, notebook_at
from tests.unit.lives import ADDRESS as CLOUD_ADDRESS
from tests.unit.test_spawner_line import SmallCloud, start_of, waits

ADDRESS = "127.99.0.23"


@pytest.fixture(autouse=True)
def _addresses_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", ADDRESS)
    assert CLOUD_ADDRESS != ADDRESS


class Asking:
    """As much of a JupyterHub handler as an action uses: it starts and stops at once."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.started: list[Any] = []

    async def stop_single_user(self, user: User, server_name: str) -> None:
        await user.stop(server_name)

    async def spawn_single_user(self, user: User, server_name: str, options: Any = None) -> None:
        self.started.append((server_name, options))


async def refused(user: User, server_name: str) -> None:
    raise web.HTTPError(403, "auth has expired")


def servers(hub: Hub, may_see: Callable[..., bool] = lambda server, kind: True) -> Servers:
    def named(names: Sequence[str]) -> list[User]:
        return [hub.user(name) for name in names]

    return Servers(hub.settings, named, may_see=may_see, may_open=lambda owner: True)


async def shown(hub: Hub) -> list[dict[str, Any]]:
    return [row(each, hub.fleet.clock()) for each in await servers(hub).everybodys()]


async def running(hub: Hub) -> None:
    start = await hub.start()
    await hub.bring_up(await hub.attempt())
    await asyncio.wait_for(start, DEADLINE_S)
    await hub.until_ready()


def on_the_shelf(hub: Hub) -> str:
    """Put alice's running attempt on the shelf, as if all had been done for that."""
    record = hub.fleet.current(ALICE)
    assert record is not None
    shelved = Shelved(hub.fleet.clock(), record.server_id, record.address, record.channel_hash)
    hub.fleet.amend(record.attempt_id, lambda r: replace(r, state=shelved, has_run=True))
    return record.attempt_id


async def test_a_running_server_is_told_with_its_price_its_end_and_its_guest_s_words(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        record = hub.fleet.current(ALICE)
        assert record is not None
        hub.fleet.amend(record.attempt_id, lambda r: replace(r, plan=replace(r.plan, home=HomeUse("volume", "v"))))
        health = Health(0, 1, 2, 3, 4, 5, (Gpu("A100", 42, 10, 20),))
        home = HomeReport("mounted", 3, 10)
        hub.user().spawner.take_report(
            Report("listening", "a", "", "", health, Activity(0, "none"), True, 0, home=home)
        )
        (told,) = await shown(hub)
        assert (told["state"], told["image"], told["flavor"], told["region"]) == ("running", "Minimal", "Small", "IU")
        assert told["su_per_hour_now"] == 2
        assert told["ends"].endswith("if nobody uses it")
        assert told["gpus"][0]["utilisation_percent"] == 42
        assert told["home"]["used_gb"] == 3
        assert told["then_sentence"].startswith("The instance is then deleted. Your home stays")


async def test_nobody_is_told_of_servers_that_they_may_not_see(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        assert await servers(hub, lambda server, kind: server.user.name == "bob").everybodys() == []
        assert await servers(hub, lambda server, kind: server.user.name == "bob").one(ALICE) is None


async def test_somebody_s_own_list_has_the_stopped_ones_too(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        hub.user().get_or_create_spawner("box", "My box")
        mine = [row(each, 0) for each in await servers(hub).of(hub.user())]
        assert [(each["title"], each["state"]) for each in mine] == [
            ("Default server", "stopped"),
            ("My box", "stopped"),
        ]
        assert await shown(hub) == []


async def test_the_shelf_is_listed_though_jupyterhub_takes_it_for_stopped_and_comes_back_with_the_same_choice(
    tmp_path: Path,
) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        on_the_shelf(hub)
        await hub.user().stop("")
        (told,) = await shown(hub)
        assert (told["state"], told["actions"]) == ("shelved", ["back", "delete"])
        assert hub.user().spawner.shelf_of("")["state"] == "shelved"
        asking = Asking(hub.app.log)
        await carry_out(asking, hub.settings, hub.user(), "", "back")
        assert asking.started == [("", {})]


async def test_what_lies_on_the_shelf_is_deleted_for_good_when_its_user_says_so(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        on_the_shelf(hub)
        await hub.user().stop("")
        await carry_out(Asking(hub.app.log), hub.settings, hub.user(), "", "delete")
        await hub.until_nothing_is_left()


@pytest.mark.parametrize("wanted", ["shelve", "delete"])
async def test_who_stops_a_server_this_way_decides_what_becomes_of_it(tmp_path: Path, wanted: str) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        record = hub.fleet.current(ALICE)
        assert record is not None
        await carry_out(Asking(hub.app.log), hub.settings, hub.user(), "", wanted)
        after = hub.fleet.get(record.attempt_id)
        assert after is not None
        assert (after.on_shelf, after.over) == (wanted == "shelve", wanted == "delete")


@pytest.mark.parametrize("wanted", ["shelve", "delete"])
async def test_a_stop_that_is_refused_changes_nothing_and_the_next_one_does_what_was_chosen_at_the_start(
    tmp_path: Path, wanted: str
) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        before = hub.fleet.current(ALICE)
        assert before is not None
        refusing = Asking(hub.app.log)
        refusing.stop_single_user = refused  # type: ignore[method-assign]
        with pytest.raises(web.HTTPError):
            await carry_out(refusing, hub.settings, hub.user(), "", wanted)
        assert hub.fleet.current(ALICE) == before
        await hub.user().stop("")
        after = hub.fleet.get(before.attempt_id)
        assert after is not None
        assert after.plan.idle == before.plan.idle


async def test_what_lies_where_no_region_of_the_catalog_is_any_more_is_told_and_nobody_can_do_anything_to_it(
    tmp_path: Path,
) -> None:
    compute = CloudInMemory()
    async with hub_process(tmp_path, compute) as hub, notebook_at(ADDRESS):
        await running(hub)
        shelf = on_the_shelf(hub)
        hub.fleet.amend(shelf, lambda r: replace(r, plan=replace(r.plan, region="Left")))
        await hub.fleet.saved()
    async with hub_process(tmp_path, compute) as hub:
        (told,) = await shown(hub)
        assert (told["attempt"], told["region"], told["actions"], told["ends"]) == (shelf, "Left", [], "")
        assert "no longer in the catalog" in told["state_text"]
        assert [each["state"] for each in (row(s, 0) for s in await servers(hub).of(hub.user()))] == [
            "stopped",
            "stranded",
        ]
        assert await hub.user().spawner.poll() == 0


async def test_an_earlier_instance_that_is_still_going_is_listed_beside_the_new_one(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        first = hub.fleet.current(ALICE)
        assert first is not None
        hub.compute.deleting = asyncio.Event()
        await hub.fleet.end(first.attempt_id, failure("replaced"))
        hub.fleet.launch(ALICE, first.plan, 1)
        assert [each["state"] for each in await shown(hub)] == ["starting", "ending"]
        await eventually(lambda: hub.fleet.current(ALICE) is not None)


async def test_who_deletes_an_older_instance_from_the_shelf_keeps_the_server_that_runs(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running(hub)
        old = on_the_shelf(hub)
        await hub.user().stop("")
        record = hub.fleet.get(old)
        assert record is not None
        new = hub.fleet.launch(ALICE, replace(record.plan, idle="shelve", flavor="g3.large"), 1).attempt_id
        listed = await shown(hub)
        assert [(each["attempt"], each["earlier"]) for each in listed] == [(new, False), (old, True)]
        assert listed[1]["actions"] == ["delete"]
        seen = await servers(hub).one(ALICE, old)
        assert seen is not None
        assert seen.record == record
        await carry_out(Asking(hub.app.log), hub.settings, hub.user(), "", "delete", attempt_id=old)
        ended, kept = hub.fleet.get(old), hub.fleet.get(new)
        assert ended is not None
        assert kept is not None
        assert (ended.over, kept.over) == (True, False)
        assert kept.plan.idle == "shelve"


async def test_what_cannot_be_done_is_a_sentence(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        with pytest.raises(NotNow, match="nothing to extend"):
            await carry_out(Asking(hub.app.log), hub.settings, hub.user(), "", "extend")


async def test_who_waits_in_the_line_is_listed_with_the_number_and_may_leave(tmp_path: Path) -> None:
    async with hub_process(tmp_path, SmallCloud(1)) as hub, notebook_at(ADDRESS):
        await running(hub)
        start = await start_of(hub, "bob")
        spawner = hub.user("bob").spawner
        # As JupyterHub's handlers mark a start that is under way.
        spawner._spawn_pending, spawner._spawn_future = True, start
        start.add_done_callback(lambda _: vars(spawner).update(_spawn_pending=False, _spawn_future=None))
        await eventually(lambda: waits(hub, "bob"))
        told = (await shown(hub))[-1]
        assert (told["user"], told["state"], told["actions"]) == ("bob", "in-line", ["watch", "leave"])
        assert (told["place"]["text"], told["flavor"], told["su_so_far"]) == ("number 1 of 1", "Small", None)
        await carry_out(Asking(hub.app.log), hub.settings, hub.user("bob"), "", "leave")
        assert hub.settings.admission is not None
        assert hub.settings.admission.owners() == set()
        assert not spawner.active


async def test_a_place_that_is_kept_while_its_user_is_away_can_be_taken_again_or_given_up(tmp_path: Path) -> None:
    async with hub_process(tmp_path, SmallCloud(1)) as hub, notebook_at(ADDRESS):
        await running(hub)
        start = await start_of(hub, "bob")
        await eventually(lambda: waits(hub, "bob"))
        # The hub went down: nobody stops anything.
        start.cancel()
        await asyncio.wait([start])
        hub.user("bob").spawner.server = None
        told = (await shown(hub))[-1]
        assert (told["user"], told["actions"]) == ("bob", ["back", "leave"])
        await carry_out(Asking(hub.app.log), hub.settings, hub.user("bob"), "", "leave")
        assert hub.settings.admission is not None
        assert hub.settings.admission.owners() == set()
