"""JupyterHub's contracts, each kept against the real `User.spawn`, `User.stop` and hub start of JupyterHub itself."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from jupyterhub.spawner import SpawnException

from js2spawner.cloud.errors import Forbidden, Unreachable
from js2spawner.failures import failure
from js2spawner.fleet.configuration import FleetNotReady
from js2spawner.handshake.messages import Activity, Health, Report
from js2spawner.instance import Assigned, Ended, Ending, Greeted, Owner, Running
from js2spawner.sightings import Listening, Progressed, Taken
from tests.unit.fleet.stand_ins import DEADLINE_S, eventually, until
from tests.unit.hubs import CloudInMemory, Hub, hub_process, notebook_at
from tests.unit.lives import ADDRESS as CLOUD_ADDRESS

ADDRESS = "127.99.0.9"


@pytest.fixture(autouse=True)
def _addresses_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fleet.stand_ins.ADDRESS", ADDRESS)
    assert CLOUD_ADDRESS != ADDRESS


async def running_server(hub: Hub) -> None:
    start = await hub.start()
    await hub.bring_up(await hub.attempt())
    await asyncio.wait_for(start, DEADLINE_S)


async def test_a_start_returns_a_full_url_of_a_notebook_that_answers(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        assert hub.user().spawner.server.url == f"http://{ADDRESS}:8888/user/alice/"
        assert hub.user().spawner.ready


async def test_a_notebook_the_hub_cannot_reach_is_tried_once_more_and_then_named(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory(), reach_timeout_s=0.1) as hub:
        start = await hub.start()
        for number in (1, 2):
            await hub.bring_up(await hub.attempt(number=number))
        with pytest.raises(SpawnException) as caught:
            await asyncio.wait_for(start, DEADLINE_S)
        assert caught.value.reason == "no-route"
        await eventually(lambda: hub.compute.servers == {})


async def test_poll_never_raises_and_takes_an_unknown_fate_for_alive(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        hub.settings.ready = _raising  # type: ignore[method-assign]
        assert await spawner.poll() is None
        del hub.settings.ready


async def _raising() -> None:
    raise OSError("the table is away")


async def test_poll_answers_none_while_the_cloud_is_unreachable(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        hub.compute.faults["list"] = [Unreachable("down")] * 3
        await eventually(lambda: not hub.compute.faults["list"])
        assert await hub.user().spawner.poll() is None


async def test_poll_answers_none_until_the_deletion_is_confirmed(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        hub.compute.faults["delete"] = [Unreachable("down")] * 1000
        await spawner.stop()
        assert await spawner.poll() is None


async def test_poll_reports_an_instance_that_was_deleted_in_the_cloud(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        hub.compute.servers.clear()
        await until(hub.fleet, spawner._attempt_id, lambda r: isinstance(r.state, Ended))
        assert await spawner.poll() == 1


async def test_a_spawner_that_never_started_polls_as_stopped(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        assert await hub.user().spawner.poll() == 0


async def test_stop_returns_before_the_cloud_has_deleted_anything(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        attempt = hub.user().spawner._attempt_id
        asked = asyncio.Event()

        async def slow(server_id: str) -> None:
            await asked.wait()
            hub.compute.servers.pop(server_id)

        hub.compute.delete_server = slow  # type: ignore[method-assign]
        await asyncio.wait_for(hub.user().stop(), DEADLINE_S)
        assert hub.compute.servers
        stored = await hub.fleet.find(attempt)
        assert stored is not None
        assert stored.over
        asked.set()
        await eventually(lambda: hub.compute.servers == {})


async def test_a_stop_never_raises_even_when_its_promise_cannot_be_written(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        hub.settings.ready = _not_ready  # type: ignore[method-assign]
        await spawner.stop()
        del hub.settings.ready


async def _not_ready() -> None:
    raise FleetNotReady("the handshake cannot listen")


@pytest.mark.parametrize("phase", ["building", "greeted"])
async def test_a_start_cancelled_in_any_phase_leaves_no_instance(tmp_path: Path, phase: str) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        start = await hub.start()
        record = await hub.attempt()
        if phase == "greeted":
            await hub.boot(record)
            await until(hub.fleet, record.attempt_id, lambda r: isinstance(r.state, Greeted))
        start.cancel()
        await asyncio.wait([start], timeout=DEADLINE_S)
        # What JupyterHub does on DELETE of a pending spawn.
        await hub.user().stop()
        ended = await until(hub.fleet, record.attempt_id, lambda r: isinstance(r.state, Ended))
        assert isinstance(ended.state, Ended)
        assert ended.state.because.name == "cancelled"
        assert hub.compute.servers == {}


async def test_a_start_cancelled_while_the_create_is_in_flight_leaves_no_instance(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        go = asyncio.Event()
        create = hub.compute.create_server

        async def slow(new: object) -> str:
            await go.wait()
            return await create(new)  # type: ignore[arg-type]

        hub.compute.create_server = slow  # type: ignore[method-assign]
        start = await hub.start()
        record = await hub.attempt()
        start.cancel()
        await asyncio.wait([start], timeout=DEADLINE_S)
        await hub.user().stop()
        go.set()
        await until(hub.fleet, record.attempt_id, lambda r: isinstance(r.state, Ended))
        assert hub.compute.servers == {}


async def test_a_timeout_of_jupyterhub_leaves_no_instance(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory(), start_timeout=1) as hub:
        with pytest.raises(asyncio.TimeoutError):
            await (await hub.start())
        await eventually(lambda: len(hub.compute.created) == 1 and hub.compute.servers == {})


async def test_a_failed_start_has_a_reason_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    compute = CloudInMemory()
    compute.faults["create"] = [Forbidden("Policy doesn't allow os_compute_api:servers:create")]
    async with hub_process(tmp_path, compute) as hub:
        spawner = hub.user().spawner
        with pytest.raises(SpawnException) as caught:
            await (await hub.start())
        assert caught.value.reason == "refused"
        assert failure("refused").sentence in caught.value.message
        assert "Policy" not in caught.value.message + caught.value.message_html
        assert spawner.last_failure.name == "refused"


async def test_nothing_of_a_failed_gpu_start_is_left_for_the_next_one(tmp_path: Path) -> None:
    compute = CloudInMemory()
    compute.faults["create"] = [Forbidden("no GPUs")]
    async with hub_process(tmp_path, compute) as hub, notebook_at(ADDRESS):
        with pytest.raises(SpawnException):
            await (await hub.start(image="gpu", flavor="g3.large"))
        start = await hub.start(image="minimal", flavor="m3.small")
        record = await hub.attempt()
        assert (record.plan.flavor, record.plan.gpu) == ("m3.small", False)
        await hub.bring_up(record)
        await start
        assert hub.user().spawner.last_failure is None


async def test_a_choice_that_is_not_possible_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        with pytest.raises(SpawnException) as caught:
            await (await hub.start(image="nonsense"))
        assert caught.value.reason == "options"
        assert "nonsense" in caught.value.message
        assert hub.compute.created == []


async def test_named_servers_have_instances_of_their_own(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        user = hub.user()
        starts = [asyncio.create_task(user.spawn(name)) for name in ("one", "two")]
        records = [await hub.attempt(Owner("alice", name)) for name in ("one", "two")]
        assert records[0].attempt_id != records[1].attempt_id
        for start in starts:
            start.cancel()
        await asyncio.wait(starts)
        await user.stop("one")
        await until(hub.fleet, records[0].attempt_id, lambda r: isinstance(r.state, Ended))
        assert not hub.fleet.get(records[1].attempt_id).over
        await user.stop("two")


async def test_a_restarted_hub_finds_a_running_instance_again(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, compute) as hub:
            await running_server(hub)
            token = hub.user().spawner.api_token
        async with hub_process(tmp_path, compute) as hub:
            spawner = hub.user().spawner
            await eventually(lambda: spawner.ready)
            assert spawner.api_token == token
            assert spawner.record.unclaimed_since is None
            assert len(compute.created) == 1
            assert compute.deleted == []


async def test_a_restarted_hub_that_lost_its_own_table_finds_it_from_jupyterhubs_state(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, compute) as hub:
            await running_server(hub)
        (tmp_path / "state" / "js2.sqlite").unlink()
        async with hub_process(tmp_path, compute) as hub:
            await eventually(lambda: hub.user().spawner.ready)
            assert isinstance(hub.user().spawner.record.state, Running)
            assert compute.deleted == []


async def test_an_instance_that_does_not_answer_a_restarted_hub_is_kept_and_resumed_with_its_token(
    tmp_path: Path,
) -> None:
    compute = CloudInMemory()
    async with notebook_at(ADDRESS), hub_process(tmp_path, compute) as hub:
        await running_server(hub)
        token = hub.user().spawner.api_token
    async with hub_process(tmp_path, compute) as hub:
        await eventually(lambda: not hub.user().spawner.active)
        assert compute.deleted == []
        record = hub.fleet.current(Owner("alice", ""))
        assert record is not None
        assert record.unclaimed_since is not None
        async with notebook_at(ADDRESS):
            await asyncio.wait_for(await hub.start(), DEADLINE_S)
            assert hub.user().spawner.api_token == token
            assert hub.user().spawner._attempt_id == record.attempt_id
            assert len(compute.created) == 1


async def test_a_start_after_a_hub_killed_during_boot_takes_up_the_same_instance(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with hub_process(tmp_path, compute) as hub:
        start = await hub.start()
        attempt = (await hub.attempt()).attempt_id
        await until(hub.fleet, attempt, lambda r: bool(r.server_id))
        start.cancel()  # the process is gone: nobody stops anything
        await asyncio.wait([start])
    async with hub_process(tmp_path, compute) as hub, notebook_at(ADDRESS):
        start = await hub.start()
        record = await hub.attempt()
        assert record.attempt_id == attempt
        await hub.bring_up(record)
        await asyncio.wait_for(start, DEADLINE_S)
        assert len(compute.created) == 1


async def test_a_hub_killed_after_the_assignment_goes_on_with_the_same_token(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with hub_process(tmp_path, compute) as hub:
        start = await hub.start()
        record = await hub.attempt()
        await hub.boot(record)
        await until(hub.fleet, record.attempt_id, lambda r: bool(r.api_token))
        token = hub.fleet.get(record.attempt_id).api_token
        await hub.fleet.saved()
        start.cancel()
        await asyncio.wait([start])
    async with hub_process(tmp_path, compute) as hub, notebook_at(ADDRESS):
        start = await hub.start()
        await until(hub.fleet, record.attempt_id, lambda r: r.unclaimed_since is None)
        # The guest took the assignment from the dead hub: it reports where it is with that one.
        hub.fleet.feed(record.attempt_id, Progressed("notebook"))
        await until(hub.fleet, record.attempt_id, lambda r: isinstance(r.state, Assigned))
        hub.fleet.feed(record.attempt_id, Listening())
        await asyncio.wait_for(start, DEADLINE_S)
        assert hub.user().spawner.api_token == token


async def test_another_choice_ends_what_a_dead_hub_left(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with hub_process(tmp_path, compute) as hub:
        start = await hub.start()
        old = (await hub.attempt()).attempt_id
        await until(hub.fleet, old, lambda r: bool(r.server_id))
        start.cancel()
        await asyncio.wait([start])
    async with hub_process(tmp_path, compute) as hub:
        start = await hub.start(image="gpu", flavor="g3.large")
        await until(hub.fleet, old, lambda r: isinstance(r.state, Ending | Ended))
        await eventually(lambda: hub.fleet.current(Owner("alice", "")) is not None)
        assert hub.fleet.current(Owner("alice", "")).plan.flavor == "g3.large"
        start.cancel()
        await asyncio.wait([start])


async def test_poll_answers_none_as_soon_as_a_create_may_be_under_way(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        start = await hub.start()
        await hub.attempt()
        assert await hub.user().spawner.poll() is None
        start.cancel()
        await asyncio.wait([start])
        await hub.user().stop()


async def test_a_users_stop_after_a_late_answer_is_a_stop(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with notebook_at(ADDRESS), hub_process(tmp_path, compute) as hub:
        await running_server(hub)
    async with hub_process(tmp_path, compute, restart_patience_s=0.1, http_timeout=20) as hub, notebook_at(ADDRESS):
        await hub.until_ready()
        await hub.user().stop()
        await hub.until_nothing_is_left()


async def test_a_stop_because_the_proxy_failed_keeps_the_instance(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        hub.user().spawner._proxy_pending = True
        await hub.user().stop()
        assert hub.compute.deleted == []
        assert hub.fleet.current(Owner("alice", "")) is not None


async def test_what_was_kept_for_a_user_ends_with_the_user(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        spawner._proxy_pending = True
        await hub.user().stop()
        await spawner.delete_forever()
        await hub.until_nothing_is_left()


async def test_a_renamed_server_keeps_its_instance(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        await hub.user().spawner.rename("", "work")
        assert hub.fleet.current(Owner("alice", "")) is None
        assert hub.fleet.current(Owner("alice", "work")) is not None


async def test_jupyterhubs_own_state_holds_no_token(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        assert spawner.api_token
        assert spawner.api_token not in str(spawner.get_state())


async def test_work_that_only_the_guest_sees_moves_the_lease_and_an_extension_does_too(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        await running_server(hub)
        spawner = hub.user().spawner
        spawner.orm_spawner.last_activity -= timedelta(minutes=50)
        hub.fleet.amend(spawner._attempt_id, lambda r: replace(r, state=replace(r.state, since=r.state.since - 7200)))
        before = spawner.lease()
        assert before.why == "idle"
        health = Health(0, 0, 0, 0, 0, 0)
        spawner.take_report(Report("listening", "", "", "", health, Activity(0, "none"), True, 0))
        assert spawner.lease().ends_at == before.ends_at
        spawner.take_report(Report("listening", "", "", "", health, Activity(5, "kernel"), True, 0))
        worked = spawner.lease()
        assert worked.ends_at - before.ends_at > timedelta(minutes=49)
        extended = await spawner.extend()
        assert extended.ends_at - worked.ends_at == timedelta(seconds=worked.extend_s)
        stored = await hub.fleet.find(spawner._attempt_id)
        assert stored.extensions == 1


async def test_a_listener_that_cannot_be_had_leaves_no_second_fleet_behind(tmp_path: Path) -> None:
    compute = CloudInMemory()
    async with notebook_at(ADDRESS):
        async with hub_process(tmp_path, compute) as hub:
            await running_server(hub)
        async with hub_process(tmp_path, compute) as hub:
            await hub.settings.close()
            other = await asyncio.start_server(lambda *_: None, "127.0.0.1", hub.settings.handshake_port)
            hub.settings._opening = None
            with pytest.raises(FleetNotReady, match=str(hub.settings.handshake_port)):
                await hub.settings.ready()
            assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("inventory")]
            other.close()
            await hub.settings.ready()


async def test_the_collector_is_spared_what_a_hub_consists_of(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub:
        assert gc.get_freeze_count() > len(gc.get_objects())
        assert hub.fleet is not None
    assert gc.get_freeze_count() == 0


async def test_every_tab_sees_the_whole_progress(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        start = await hub.start()
        record = await hub.attempt()
        spawner = hub.user().spawner

        async def tab() -> list[dict]:
            return [event async for event in spawner.progress()]

        first = asyncio.create_task(tab())
        await hub.boot(record)
        second = asyncio.create_task(tab())
        await until(hub.fleet, record.attempt_id, lambda r: bool(r.api_token))
        for sighting in (Taken(), Progressed("notebook"), Listening()):
            hub.fleet.feed(record.attempt_id, sighting)
        await asyncio.wait_for(start, DEADLINE_S)
        seen = [await asyncio.wait_for(task, DEADLINE_S) for task in (first, second)]
        assert seen[0] == seen[1]
        assert [e["js2"]["stage"] for e in seen[0] if e["js2"].get("state") == "done"] == [
            "create",
            "boot",
            "assign",
            "notebook",
        ]


async def test_the_assignment_carries_the_whole_environment_and_shows_no_secret(tmp_path: Path) -> None:
    async with hub_process(tmp_path, CloudInMemory()) as hub, notebook_at(ADDRESS):
        start = await hub.start()
        record = await hub.attempt()
        await hub.boot(record)
        await eventually(lambda: hub.settings.book.assignment(record.attempt_id) is not None)
        assignment = hub.settings.book.assignment(record.attempt_id)
        token = hub.user().spawner.api_token
        assert assignment.env["JUPYTERHUB_API_TOKEN"] == token
        assert assignment.env["JUPYTERHUB_SERVICE_URL"] == f"http://{ADDRESS}:8888/user/alice/"
        assert None not in assignment.env.values()
        assert token not in repr(assignment)
        assert token not in " ".join(assignment.argv)
        assert (assignment.user_name, assignment.sudo) == ("alice", False)
        start.cancel()
        await asyncio.wait([start])
        await hub.user().stop()
