"""What the handshake hears from the fleet: one assignment for one guest, and one more after a reboot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from js2spawner.cloud.errors import Unreachable
from js2spawner.failures import failure
from js2spawner.fleet.book import FleetBook
from js2spawner.handshake.messages import Activity, Assignment, Health, HomeReport, Lease, Report
from js2spawner.handshake.messages import Hello as HelloMessage
from js2spawner.instance import (
    Assigned,
    Booting,
    Ended,
    Ending,
    Greeted,
    Leaving,
    Plan,
    Record,
    Running,
    Shelved,
    Shelving,
)
from tests.unit.fleet.stand_ins import ALICE, DEADLINE_S, Compute, Homes, booted, eventually, fleet_over, until
from tests.unit.lives import HOME, PLAN

GIVEN = Assignment("given", "alice", 20001, False, ("lab",), {}, "10.0.0.9", 8888)


def hello(attempt: str, boot: str) -> HelloMessage:
    return HelloMessage(attempt, "t", "c", "server-1", boot, "1")


def report(stage: str, assignment: str = "given", problem: str = "", home: str = "none") -> Report:
    health, at_home = Health(0, 0, 0, 0, 0, 0), HomeReport(home)  # type: ignore[arg-type]
    return Report(stage, assignment, problem, "", health, Activity(0, "none"), True, 0, home=at_home)  # type: ignore[arg-type]


@dataclass
class Spawner:
    """Hands over and notes that it did."""

    book: FleetBook
    handed: list[str] = field(default_factory=list)
    reports: int = 0

    def take_report(self, report: Report) -> None:
        self.reports += 1

    def lease_notice(self) -> Lease | None:
        return None

    async def hand_over(self, record: Record) -> None:
        self.handed.append(record.attempt_id)
        self.book.offer(record.attempt_id, GIVEN)


@dataclass
class Keeper:
    """Notes what guests say of their homes."""

    heard: list[str] = field(default_factory=list)

    def took_report(self, record: Record, report: HomeReport) -> None:
        self.heard.append(report.state)


@asynccontextmanager
async def greeted(tmp_path: Path, plan: Plan = PLAN) -> AsyncIterator[tuple[FleetBook, str]]:
    compute = Compute()
    async with fleet_over(compute, tmp_path, homes=Homes()) as fleet:
        book = FleetBook(fleet)
        attempt = await booted(fleet, compute, plan)
        await book.admitted(attempt, "channel", hello(attempt, "boot-1"))
        yield book, attempt


async def listening(book: FleetBook, attempt: str) -> None:
    book.offer(attempt, GIVEN)
    for stage in ("account", "notebook", "listening"):
        await book.report(attempt, report(stage))


async def test_a_hello_is_durable_when_it_is_answered(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        stored = await book.fleet.find(attempt)
        assert stored is not None
        assert isinstance(stored.state, Greeted)
        assert stored.channel_hash == "channel"


async def test_an_assignment_is_given_again_until_it_is_acknowledged_and_then_to_nobody(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        book.offer(attempt, GIVEN)
        assert book.assignment(attempt) is book.assignment(attempt) is GIVEN
        await book.report(attempt, report("account", assignment=""))
        assert book.assignment(attempt) is GIVEN
        await book.report(attempt, report("account"))
        assert book.assignment(attempt) is None
        assert book.expected(attempt).assignment_taken


async def test_the_way_to_a_running_server(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        assert isinstance(book.fleet.get(attempt).state, Running)


async def test_a_rebooted_instance_is_handed_over_once_more_and_stays_running(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        spawner = Spawner(book)
        await book.listen(spawner, book.fleet.get(attempt))
        await book.admitted(attempt, "channel", hello(attempt, "boot-2"))
        assert spawner.handed == [attempt]
        assert book.assignment(attempt) is GIVEN
        assert not book.expected(attempt).assignment_taken
        assert isinstance(book.fleet.get(attempt).state, Running)
        await book.report(attempt, report("account"))
        assert book.assignment(attempt) is None
        assert book.expected(attempt).assignment_taken
        assert book.fleet.get(attempt).boot_id == "boot-2"


async def test_a_reboot_while_the_hub_was_away_waits_for_the_spawner(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        await book.admitted(attempt, "channel", hello(attempt, "boot-2"))
        assert book.assignment(attempt) is None
        spawner = Spawner(book)
        await book.listen(spawner, book.fleet.get(attempt))
        assert book.assignment(attempt) is GIVEN


async def test_a_hello_of_the_same_boot_asks_for_nothing_anew(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        spawner = Spawner(book)
        await book.listen(spawner, book.fleet.get(attempt))
        await book.admitted(attempt, "channel", hello(attempt, "boot-1"))
        assert spawner.handed == []


async def test_an_assignment_taken_from_a_hub_that_died_is_gone_on_with(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        book.offer(attempt, GIVEN)
        await book.report(attempt, report("listening", assignment="of-the-dead-hub"))
        assert book.assignment(attempt) is None
        assert isinstance(book.fleet.get(attempt).state, Running)


async def test_a_guest_that_cannot_go_on_ends_a_start_but_never_a_running_server(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        orders = await book.report(attempt, report("failed", problem="notebook"))
        assert not orders.stop
        assert isinstance(book.fleet.get(attempt).state, Running)


async def test_an_instance_of_a_user_that_claims_to_be_a_build_goes_on_as_it_was(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        before = book.fleet.get(attempt)
        for stage in ("building", "built"):
            await book.report(attempt, report(stage))
        assert book.fleet.get(attempt) == before


async def test_what_a_guest_failed_at_is_named(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        book.offer(attempt, GIVEN)
        await book.report(attempt, report("account"))
        assert isinstance(book.fleet.get(attempt).state, Assigned)
        orders = await book.report(attempt, report("failed", problem="gpu"))
        state = book.fleet.get(attempt).state
        assert isinstance(state, Ending | Ended)
        assert state.because.name == "gpu"
        assert orders.stop


async def test_a_ticket_shown_twice_ends_the_attempt(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        book.quarantine(attempt, "shown twice")
        assert book.expected(attempt).quarantined


async def test_two_attempts_of_one_owner_are_heard_by_their_own_spawners(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        kept, other = Spawner(book), Spawner(book)
        await book.listen(kept, book.fleet.get(attempt))
        second = book.fleet.launch(ALICE, PLAN, 1)
        await book.listen(other, second)
        await book.admitted(attempt, "channel", hello(attempt, "boot-2"))
        await book.report(attempt, report("listening"))
        assert (kept.handed, kept.reports) == ([attempt], 1)
        assert (other.handed, other.reports) == ([], 0)


async def test_nothing_meant_for_a_guest_is_kept_or_offered_once_its_attempt_is_over(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        book.offer(attempt, GIVEN)
        await book.listen(Spawner(book), book.fleet.get(attempt))
        await book.fleet.end(attempt, failure("stopped"))
        assert book.assignment(attempt) is None
        assert book.ears == {}
        book.offer(attempt, GIVEN)
        assert book.assignment(attempt) is None


async def test_a_guest_learns_that_its_attempt_has_ended(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        book.fleet.desks["IU"].cloud.compute.faults["delete"] = [Unreachable("down")] * 1000
        await book.fleet.end(attempt, failure("stopped"))
        expected = book.expected(attempt)
        assert expected.closed
        assert expected.channel_hash == "channel"
        assert (await book.report(attempt, report("listening"))).stop


async def test_an_unknown_attempt_is_unknown(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, _attempt):
        assert book.expected("stranger") is None


# ---- leaving, and a word from the hub -------------------------------------------------------------------------------

AT_HOME = replace(PLAN, home=HOME)


@pytest.mark.parametrize("idle", ["delete", "shelve"])
async def test_a_guest_that_is_to_leave_is_told_so_and_heard_when_it_has(tmp_path: Path, idle: str) -> None:
    async with greeted(tmp_path, replace(AT_HOME, idle=idle)) as (book, attempt):
        await listening(book, attempt)
        await book.fleet.part(attempt, failure("stopped"))
        assert isinstance(book.fleet.get(attempt).state, Leaving)
        assert not book.expected(attempt).closed
        assert (await book.report(attempt, report("listening"))).leave_within_s == PLAN.deadlines.leave_s
        orders = await book.report(attempt, report("left", home="clean"))
        if idle == "delete":
            assert isinstance(book.fleet.get(attempt).state, Ending | Ended)
            assert orders.stop
        else:
            assert isinstance(book.fleet.get(attempt).state, Shelving)
            assert not orders.stop, "its guest must still be there when it comes back"
            assert not book.expected(attempt).closed


async def test_a_guest_that_holds_on_to_its_home_is_believed(tmp_path: Path) -> None:
    async with greeted(tmp_path, replace(AT_HOME, idle="shelve")) as (book, attempt):
        await until(book.fleet, attempt, lambda r: not r.lacks_home)
        await listening(book, attempt)
        await book.fleet.part(attempt, failure("stopped"))
        await book.report(attempt, report("left", home="busy"))
        assert book.fleet.homes.asked == ["attach"]
        await until(book.fleet, attempt, lambda r: isinstance(r.state, Shelved) and not r.home_attached)


async def test_a_running_server_is_not_ended_by_a_guest_that_says_it_has_left(tmp_path: Path) -> None:
    async with greeted(tmp_path) as (book, attempt):
        await listening(book, attempt)
        await book.report(attempt, report("left", home="clean"))
        assert isinstance(book.fleet.get(attempt).state, Running)


async def test_nobody_is_given_the_assignment_of_a_server_that_leaves(tmp_path: Path) -> None:
    async with greeted(tmp_path, AT_HOME) as (book, attempt):
        await listening(book, attempt)
        await book.fleet.end(attempt, failure("stopped"))
        book.offer(attempt, GIVEN)
        assert book.assignment(attempt) is None
        assert book.expected(attempt).assignment_taken


async def test_there_is_a_word_for_a_guest_once_for_each_change_of_its_orders(tmp_path: Path) -> None:
    async with greeted(tmp_path, AT_HOME) as (book, attempt):
        await listening(book, attempt)
        assert not book.has_word(attempt)
        waiting = asyncio.create_task(book.changed(attempt, DEADLINE_S))
        await asyncio.sleep(0)
        await book.fleet.end(attempt, failure("stopped"))
        await asyncio.wait_for(waiting, DEADLINE_S)
        assert book.has_word(attempt)
        await book.report(attempt, report("listening"))
        assert not book.has_word(attempt), "it knows, and is not made to report without end"
        assert not book.has_word("stranger")


async def test_no_word_is_remembered_of_what_is_gone(tmp_path: Path) -> None:
    async with greeted(tmp_path, AT_HOME) as (book, attempt):
        await listening(book, attempt)
        await book.fleet.end(attempt, failure("stopped"))
        await book.report(attempt, report("left", home="clean"))
        await until(book.fleet, attempt, lambda r: isinstance(r.state, Ended))
        other = book.fleet.launch(ALICE, PLAN, 1).attempt_id
        await book.fleet.end(other, failure("stopped"))
        await until(book.fleet, other, lambda r: isinstance(r.state, Ended))
        assert book._told == {}


async def test_what_a_guest_says_of_its_home_is_handed_on_and_a_bad_one_is_named(tmp_path: Path) -> None:
    async with greeted(tmp_path, AT_HOME) as (book, attempt):
        book.homes = keeper = Keeper()
        book.offer(attempt, GIVEN)
        await book.report(attempt, report("home", home="mounted"))
        state = book.fleet.get(attempt).state
        assert isinstance(state, Assigned)
        assert state.stage == "home"
        assert keeper.heard == ["mounted"]
        await book.report(attempt, report("failed", problem="home"))
        await eventually(lambda: book.fleet.get(attempt).because is not None)
        assert book.fleet.get(attempt).because.name == "home-unreadable"


async def test_a_guest_that_comes_back_from_the_shelf_keeps_its_channel_and_gets_a_new_assignment(
    tmp_path: Path,
) -> None:
    async with greeted(tmp_path, replace(AT_HOME, idle="shelve")) as (book, attempt):
        await listening(book, attempt)
        await book.fleet.part(attempt, failure("stopped"))
        await book.report(attempt, report("left", home="clean"))
        await until(book.fleet, attempt, lambda r: isinstance(r.state, Shelved) and not r.home_attached)
        book.fleet.bring_back(attempt)
        record = await until(book.fleet, attempt, lambda r: isinstance(r.state, Booting) and not r.lacks_home)
        assert record.api_token == ""
        expected = book.expected(attempt)
        assert (expected.channel_hash, expected.assignment_taken) == ("channel", False)
        await book.admitted(attempt, "channel", hello(attempt, "boot-2"))
        assert isinstance(book.fleet.get(attempt).state, Greeted)
        await listening(book, attempt)
        assert isinstance(book.fleet.get(attempt).state, Running)
