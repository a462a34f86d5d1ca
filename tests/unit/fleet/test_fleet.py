"""The fleet over a cloud in memory: what it promises whatever the cloud and its own process do."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from js2spawner.cloud.errors import NoAnswer, QuotaExceeded, ServerFault, Throttled, Unreachable
from js2spawner.failures import failure
from js2spawner.fleet import metrics, names
from js2spawner.fleet.inventory import Pace
from js2spawner.fleet.store import Timing
from js2spawner.instance import Booting, Building, Ended, Ending, Greeted, Idle, Owner, Record, Unsure
from js2spawner.sightings import Hello
from tests.unit.fleet.stand_ins import ALICE, DEADLINE_S, HUB_ID, Compute, booted, eventually, fleet_over, is_, until
from tests.unit.lives import ADDRESS, PLAN, record, server

STOPPED = failure("stopped")


def reason(record: Record) -> str:
    assert isinstance(record.state, Ending | Ended)
    return record.state.because.name


async def test_a_start_costs_one_create_and_no_other_call_of_its_own(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.boot("server-1")
        record = await until(fleet, attempt, is_(Booting))
        assert record.address == ADDRESS
        assert len(compute.created) == 1


async def test_an_instance_is_looked_for_when_others_like_it_were_built(tmp_path: Path) -> None:
    compute = Compute()
    # Without the history nobody would look again within the time a test waits.
    async with fleet_over(compute, tmp_path, clock=time.time, pace=Pace(10 * DEADLINE_S, 10 * DEADLINE_S)) as fleet:
        fleet.history.learn([Timing(PLAN.image, PLAN.flavor, "create", 2.0, 0.0)])
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.boot("server-1")
        await until(fleet, attempt, is_(Booting))


async def test_no_list_is_taken_for_what_cannot_show_yet(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path, pace=Pace(10 * DEADLINE_S, 10 * DEADLINE_S)) as fleet:
        await eventually(lambda: compute.lists == 1)
        await until(fleet, fleet.launch(ALICE, PLAN, 1).attempt_id, is_(Building))
        assert compute.lists == 1


async def test_the_record_is_on_disk_before_the_create_is_sent(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        seen: list[object] = []
        create = compute.create_server

        async def looking(new: object) -> str:
            seen.append(await fleet.find(dict(new.metadata)[names.ATTEMPT_KEY]))  # type: ignore[attr-defined]
            return await create(new)  # type: ignore[arg-type]

        compute.create_server = looking  # type: ignore[method-assign]
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        assert seen[0] is not None


async def test_a_create_whose_answer_is_lost_is_found_by_its_attempt_and_never_repeated(tmp_path: Path) -> None:
    compute = Compute()
    compute.works_all_the_same = True
    compute.faults["create"] = [NoAnswer("timeout")]
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        record = await until(fleet, attempt, is_(Building))
        assert record.server_id == "server-1"
        assert len(compute.created) == 1


async def test_a_server_error_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    compute = Compute()
    compute.faults["create"] = [ServerFault("503")]
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Unsure))


async def test_a_quota_refusal_ends_the_attempt_with_its_reason(tmp_path: Path) -> None:
    compute = Compute()
    compute.faults["create"] = [QuotaExceeded("instances")]
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        assert reason(await until(fleet, attempt, is_(Ended))) == "quota"


async def test_a_throttled_create_was_not_done_and_is_sent_again(tmp_path: Path) -> None:
    compute = Compute()
    compute.faults["create"] = [Throttled(retry_after_s=0.01)]
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        assert len(compute.servers) == 1


async def test_an_end_is_durable_when_end_returns_even_if_the_cloud_is_away(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.faults["delete"] = [Unreachable("down")] * 1000
        await fleet.end(attempt, STOPPED)
        stored = await fleet.find(attempt)
        assert stored is not None
        assert reason(stored) == "stopped"
    # The hub is gone before the cloud came back: the next one keeps the promise.
    compute.faults["delete"] = []
    async with fleet_over(compute, tmp_path):
        await eventually(lambda: compute.servers == {})


async def test_an_unreachable_cloud_ends_nothing(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.faults["list"] = [Unreachable("down")] * 5
        await eventually(lambda: not compute.faults["list"])
        record = fleet.get(attempt)
        assert record is not None
        assert isinstance(record.state, Building)
        assert compute.deleted == []


async def test_an_instance_missing_from_the_list_but_found_directly_is_not_gone(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        hidden, looks = compute.servers["server-1"], []

        async def short_list(*, tag: str) -> list:
            del tag
            return []

        async def found(server_id: str) -> object:
            looks.append(server_id)
            return hidden

        compute.list_servers, compute.get_server = short_list, found  # type: ignore[method-assign]
        await eventually(lambda: len(looks) >= 2)
        record = fleet.get(attempt)
        assert record is not None
        assert isinstance(record.state, Building)


async def test_an_instance_deleted_behind_our_back_is_noticed(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.servers.clear()
        assert reason(await until(fleet, attempt, is_(Ended))) == "vanished"


async def test_a_hub_killed_while_an_instance_boots_finds_it_again(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
    async with fleet_over(compute, tmp_path) as fleet:
        compute.boot("server-1")
        await until(fleet, attempt, is_(Booting))
        fleet.feed(attempt, Hello("channel"))
        assert fleet.current(ALICE) == await until(fleet, attempt, is_(Greeted))
        assert len(compute.created) == 1


async def test_a_hub_killed_between_record_and_create_makes_no_second_instance(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:

        async def never(new: object) -> str:
            compute.created.append(new)  # type: ignore[arg-type]
            compute.servers["server-1"] = server(
                "BUILD",
                id="server-1",
                addresses=(),
                metadata=dict(new.metadata),  # type: ignore[attr-defined]
            )
            raise NoAnswer("the hub died here")

        compute.create_server = never  # type: ignore[method-assign]
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await eventually(lambda: bool(compute.created))
    del compute.create_server
    async with fleet_over(compute, tmp_path) as fleet:
        record = await until(fleet, attempt, is_(Building))
        assert record.server_id == "server-1"
        assert len(compute.created) == 1


async def test_an_instance_without_any_record_is_deleted_after_its_grace_and_others_are_not_touched(
    tmp_path: Path,
) -> None:
    compute = Compute()
    ours = {names.HUB_KEY: HUB_ID, names.ATTEMPT_KEY: "lost"}
    compute.servers["orphan"] = server(id="orphan", metadata=ours)
    compute.servers["other"] = server(id="other", metadata={names.HUB_KEY: "another-hub"})
    compute.servers["tagged"] = server(id="tagged", metadata={})
    async with fleet_over(compute, tmp_path, orphan_grace_s=0.05):
        await eventually(lambda: "orphan" not in compute.servers)
        assert set(compute.servers) == {"other", "tagged"}


async def test_an_orphan_on_the_shelf_is_left_alone_for_it_costs_nothing_and_may_be_somebodys_only_copy(
    tmp_path: Path,
) -> None:
    compute = Compute()
    ours = {names.HUB_KEY: HUB_ID, names.ATTEMPT_KEY: "lost"}
    compute.servers["shelved"] = server("SHELVED_OFFLOADED", id="shelved", metadata=ours)
    compute.servers["running"] = server(id="running", metadata=ours)
    async with fleet_over(compute, tmp_path, orphan_grace_s=0.05):
        await eventually(lambda: "running" not in compute.servers)
        lists = compute.lists
        await eventually(lambda: compute.lists > lists + 3)
        assert set(compute.servers) == {"shelved"}


async def test_how_long_an_orphan_has_lain_on_the_shelf_is_the_cloud_s_word_whenever_the_hub_was_started(
    tmp_path: Path,
) -> None:
    compute, now = Compute(), time.time()
    ours = {names.HUB_KEY: HUB_ID, names.ATTEMPT_KEY: "lost"}
    for name, days, told in (
        ("forgotten", 15, now - 86400),
        ("told longer", 15, now + 86400),
        ("new", 13, now - 86400),
        ("never told", 13, None),
    ):
        said = {} if told is None else names.end_told(told)
        compute.servers[name] = server(
            "SHELVED_OFFLOADED",
            id=name,
            metadata=ours | said,
            updated=datetime.fromtimestamp(now - days * 86400, UTC),
        )
    async with fleet_over(compute, tmp_path, orphan_grace_s=0.05):
        await eventually(lambda: "forgotten" not in compute.servers)
        lists = compute.lists
        await eventually(lambda: compute.lists > lists + 3)
        assert set(compute.servers) == {"told longer", "new", "never told"}


async def test_a_region_that_has_left_the_catalog_closes_no_hub_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    compute, elsewhere = Compute(), replace(PLAN, region="Left")
    async with fleet_over(compute, tmp_path, region="Left") as fleet:
        kept = await booted(fleet, compute, elsewhere)
    # Its cloud may be that of a region of another name: nothing there is taken for nobody's, either.
    async with fleet_over(compute, tmp_path, orphan_grace_s=0.0) as fleet:
        other = await booted(fleet, compute)
        lists = compute.lists
        await eventually(lambda: compute.lists > lists + 3)
        assert [record.attempt_id for record in fleet.live()] == [other]
        assert [record.attempt_id for record in fleet.stranded] == [kept]
        assert compute.deleted == []
        assert metrics.INSTANCES.labels(region="Left", state="Booting")._value.get() == 1
    async with fleet_over(compute, tmp_path, region="Left") as fleet:
        await fleet.end(kept, STOPPED)
        await until(fleet, kept, is_(Ended))


async def test_an_orphan_is_left_alone_during_its_grace(tmp_path: Path) -> None:
    compute = Compute()
    compute.servers["orphan"] = server(id="orphan", metadata={names.HUB_KEY: HUB_ID})
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.boot("server-1")
        await until(fleet, attempt, is_(Booting))
        assert "orphan" in compute.servers


async def test_the_console_of_an_instance_that_never_spoke_is_kept_for_the_operator(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        await fleet.end(attempt, failure("boot-silent"))
        await until(fleet, attempt, is_(Ended))
        assert fleet.console(attempt) == "the console of server-1"


async def test_a_fault_of_our_own_in_one_round_does_not_leave_the_hub_blind(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        compute.faults["list"] = [RuntimeError("can't start new thread")]  # type: ignore[list-item]
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        compute.boot("server-1")
        await until(fleet, attempt, is_(Booting))
        assert not compute.faults["list"]


async def test_a_create_that_dies_of_our_own_fault_is_looked_up_and_not_left_hanging(tmp_path: Path) -> None:
    compute = Compute()
    compute.works_all_the_same = True
    compute.faults["create"] = [RuntimeError("surprise")]  # type: ignore[list-item]
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(ALICE, PLAN, 1).attempt_id
        assert (await until(fleet, attempt, is_(Building))).server_id == "server-1"


async def test_what_is_made_carries_what_a_person_and_the_hub_need_and_no_secret(tmp_path: Path) -> None:
    compute = Compute()
    async with fleet_over(compute, tmp_path) as fleet:
        attempt = fleet.launch(Owner("Ada.Lovelace@access-ci.org", "gpu"), PLAN, 1).attempt_id
        await until(fleet, attempt, is_(Building))
        new = compute.created[0]
        assert new.name == f"js2-ada-lovelace-gpu-minimal-{attempt[:6]}"
        assert new.metadata["exoCreatorUsername"] == "Ada.Lovelace@access-ci.org"
        assert new.metadata[names.ATTEMPT_KEY] == attempt
        assert new.tags == (names.hub_tag(HUB_ID),)
        ticket = new.user_data.split()[1]
        assert ticket not in str(dict(new.metadata)) + new.name + new.description + repr(new)


@pytest.mark.parametrize(("idle", "word"), [("delete", "deletes"), ("shelve", "shelves"), ("keep", "keeps")])
def test_a_dashboard_says_what_becomes_of_an_unused_instance(idle: Idle, word: str) -> None:
    assert f"the hub {word} it" in names.description(record(plan=replace(PLAN, idle=idle)))
